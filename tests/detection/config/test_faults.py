"""Unknown keys, unsupported settings and wrong values in a config are refused."""

import glob
import json
import os
import re
import sys
import textwrap
from pathlib import Path

import mmdet
import numpy as np
import pytest
from mmcv.utils import Config

from pcb.cli.main import main
from pcb.detection import load_config
from pcb.detection.config.faults import faults, unread_variables
from pcb.detection.config.keys import unknown_keys
from pcb.detection.config.loading import save_config
from pcb.detection.config.variables import names_read
from pcb.detection.engine.training import train
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_root

BASE = repository_root() / "configs/openmoji/softmax_pcb.py"
MMDET = Path(mmdet.__path__[0]) / ".mim/configs"


@pytest.fixture
def config(tmp_path):
    """Function that writes a config which inherits from the demo's, and returns its path."""

    def write(text: str, base: Path | None = BASE, name: str = "mine.py") -> Path:
        start = f"_base_ = {str(base)!r}\n" if base else ""
        path = tmp_path / name
        path.write_text(start + textwrap.dedent(text))
        return path

    return write


@pytest.mark.parametrize(
    "text, message",
    [
        ("runner = dict(max_epoch=1)", r"runner\.max_epoch is .*did you mean 'max_epochs'"),
        ("data = dict(sample_per_gpu=1)", r"data\.sample_per_gpu .*mean 'samples_per_gpu'"),
        (
            "optimiser = dict(type='SGD')",
            r"optimiser is unknown: did you mean 'optimizer'",
        ),
        ("modle = dict(type='X')", r"modle is unknown: did you mean 'model'"),
        ("custom_hook = [dict(type='EMAHook')]", r"custom_hook is .*mean 'custom_hooks'"),
        ("checkpoint_config = dict(intervall=1)", r"checkpoint_config\.intervall .*'interval'"),
        ("log_config = dict(intervl=1)", r"log_config\.intervl .*'interval'"),
        ("lr_config = dict(steps=[1])", r"lr_config\.steps is .*'step'"),
        ("lr_config = dict(policy='stepp')", r"policy 'stepp' is not reg.*did you mean 'step'"),
        ("optimizer_config = dict(grad_clp=None)", r"optimizer_config\.grad_clp .*'grad_clip'"),
        (
            "optimizer_config = dict(grad_clip=dict(max=1))",
            r"grad_clip\.max is unknown",
        ),
        ("optimizer = dict(weight_decy=0)", r"optimizer\.weight_decy .*'weight_decay'"),
        ("optimizer = dict(type='AdmaW')", r"optimizer: type 'AdmaW' is not.*'AdamW'"),
        ("fp16 = dict(loss_scal=1)", r"fp16\.loss_scal .*'loss_scale'"),
        ("custom_hooks = [dict(type='EMAHok')]", r"custom_hooks\.0: .*'EMAHok' is.*did you mean"),
        ("custom_hooks = [dict(type='EMAHook', momentm=1)]", r"hooks\.0\.momentm .*'momentum'"),
        ("model = dict(train_cfg=dict(rcn=dict()))", r"train_cfg\.rcn is .*'rcnn'"),
        ("model = dict(train_cfg=dict(rcnn=dict(mask_sise=1)))", r"rcnn\.mask_sise .*'mask_size'"),
        ("model = dict(train_cfg=dict(rpn=dict(sampler=dict(nmu=1))))", r"sampler\.nmu .*'num'"),
        ("model = dict(test_cfg=dict(rcnn=dict(score_th=1)))", r"test_cfg\.rcnn\.score_th .*_thr'"),
        (
            "model = dict(test_cfg=dict(rcnn=dict(nms=dict(iou=1))))",
            r"rcnn\.nms\.iou is unknown",
        ),
        ("model = dict(rpn_proposal=dict())", r"model\.rpn_proposal is unknown"),
        ("model = dict(roi_head=dict(iter_loss_weights=[1]))", r"iter_loss_weights .*_weight'"),
        (
            "model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(alpa=1))))",
            r"alpa is .*'alpha'",
        ),
        ("optimizer = dict(paramwise_cfg=dict(bias_lr_mul=2.0))", r"bias_lr_mul is .*_lr_mult'"),
        (
            "optimizer = dict(paramwise_cfg=dict(custom_keys={'backbone.layer1': dict(lr=0.1)}))",
            r"custom_keys\.backbone\.layer1\.lr is unknown",
        ),
        (
            "optimizer = dict(constructor='LearningRateDecayOptimizerConstructor',"
            " paramwise_cfg=dict(num_layers=6, decay_rat=0.9))",
            r"paramwise_cfg\.decay_rat is .*'decay_rate'",
        ),
        ("data = dict(train=dict(ann_fil='x'))", r"data\.train\.ann_fil .*'ann_file'"),
        ("data = dict(train=dict(pipeline=[dict(type='RandomFlipp')]))", r"pipeline\.0: .*Flip'"),
    ],
)
def test_unknown_key_is_named_with_the_nearest_valid_one(text, message, config):
    with pytest.raises(ValueError, match=rf"mine\.py: .*{message}"):
        load_config(config(text))


@pytest.mark.parametrize(
    "text, message",
    [
        ("evaluation = dict(metric='proposal')", r"evaluation\.metric .*'segm' .*got 'proposal'"),
        ("evaluation = dict(interval=0)", r"evaluation\.interval must be .*at least 1, got 0"),
        ("evaluation = dict(save_best='segm_mAP')", "save_best is 'segm_mAP', .*segm_APf"),
        ("evaluation = dict(metric='segm', save_best='bbox_AP')", "save_best is 'bbox_AP', "),
        ("evaluation = dict(intervall=2)", r"evaluation\.intervall is .*'interval'"),
        ("evaluation = 1", "evaluation must be a dictionary, got 1"),
        ("evaluation = dict()\ndata = dict(val=None)", r"evaluation needs data\.val .*to None"),
        ("workflow = [('train', 1), ('val', 1)]", "workflow is .*set evaluation"),
        ("resume_from = 'x.pth'", "resume_from is 'x.pth', .*`pcb train --resume`"),
        ("auto_resume = True", "auto_resume is True, .*--resume"),
        ("seed = 3", "seed is 3, .*--seed"),
        ("work_dir = 'x'", "work_dir is 'x', .*--work-dir"),
        ("device = 'cuda'", "device is 'cuda', .*--device"),
        ("gpu_ids = range(2)", r"gpu_ids is \[0, 1\], .*torchrun"),
        ("total_epochs = 3", "total_epochs is 3, .*set runner.max_epochs"),
        ("log_level = 'DEBUG'", "log_level is 'DEBUG'"),
        ("mp_start_method = 'spawn'", "mp_start_method is 'spawn'"),
        ("dist_params = dict(backend='mpi')", "dist_params is"),
        ("auto_scale_lr = dict(enable=True)", "auto_scale_lr.enable is True, .*optimizer.lr"),
        ("runner = dict(type='IterBasedRunner', max_iters=9)", "runner.type is 'IterBasedRunner'"),
        ("runner = dict(max_iters=9)", "runner.max_iters is 9"),
        ("checkpoint_config = dict(max_keep_ckpts=3)", "max_keep_ckpts is 3, .*latest.pth"),
        ("checkpoint_config = dict(out_dir='x')", "out_dir is 'x'"),
        ("log_config = dict(hooks=[dict(type='TensorboardLoggerHook')])", "hooks.0 is Tensorboard"),
        ("data = dict(persistent_workers=True)", "data.persistent_workers is True"),
        ("data = dict(train_dataloader=dict(shuffle=False))", "train_dataloader.shuffle is False"),
        ("data = dict(train_dataloader=dict(drop_last=True))", "drop_last is unknown"),
        ("train_cfg = dict(rpn=dict())", "train_cfg is .* set model.train_cfg"),
        ("param_scheduler = [dict(type='LinearLR')]", "param_scheduler is .*MMDetection 3"),
        ("custom_hooks = [dict(type='CheckpointHook')]", "CheckpointHook, .*checkpoint_config"),
        ("custom_hooks = [dict(type='EvalHook')]", "EvalHook, .*set evaluation"),
        ("custom_hooks = [dict(type='OptimizerHook')]", "OptimizerHook, .*optimizer_config"),
        ("custom_hooks = [dict(type='StepLrUpdaterHook', step=1)]", "use lr_config"),
        ("custom_hooks = 'EMAHook'", "custom_hooks must be a list"),
        ("custom_hooks = [dict(type='EMAHook', resume_from='x')]", "custom_hooks.0.resume_from is"),
        ("optimizer_config = dict(type='Fp16OptimizerHook')", "set fp16"),
        ("optimizer = dict(lr=-1)", "optimizer.lr must be a number, at least 0, got -1"),
        ("optimizer = dict(lr=None)", "optimizer.lr must be a number, at least 0, got None"),
        ("optimizer = dict(lr=True)", "optimizer.lr must be a number, at least 0, got True"),
        ("optimizer = dict(lr=[0.1])", "optimizer.lr must be a number"),
        ("runner = dict(max_epochs=-1)", "runner.max_epochs must be a whole number, at least 1"),
        ("data = dict(workers_per_gpu=-1)", "data.workers_per_gpu must be .*at least 0"),
        ("lr_config = dict(_delete_=True, step=[1])", "lr_config has no policy"),
        ("fp16 = True", "fp16 must be a dictionary"),
        ("fp16 = dict(loss_scale='dynamc')", "fp16.loss_scale must be .*, got 'dynamc'"),
        ("model = 'MaskRCNN'", "model must be a dictionary, got 'MaskRCNN'"),
        ("data = [1]", r"data must be a dictionary, got \[1\]"),
        ("optimizer = [dict(type='SGD', lr=0.1)]", "optimizer must be a dictionary"),
        ("runner = 'EpochBasedRunner'", "runner must be a dictionary"),
        ("data = dict(train_dataloader=3)", "data.train_dataloader must be a dictionary, got 3"),
        ("log_config = 10", "log_config must be a dictionary, got 10"),
        ("log_config = dict(hooks=dict(type='WandbLoggerHook'))", "hooks must be a list"),
        ("optimizer_config = dict(grad_clip=5)", "grad_clip must be a dictionary, got 5"),
        ("optimizer_config = dict(grad_clip=dict(max_norm=None))", "max_norm must be .*, got None"),
        (
            "custom_hooks = [dict(type='EMAHook', priority='HIHG')]",
            "hooks.0.priority must .* 'HIHG'",
        ),
        (
            "custom_hooks = [dict(type='EMAHook', priority=101)]",
            "priority must .* 100\\] .* got 101",
        ),
    ],
)
def test_unsupported_setting_is_refused_with_a_remedy(text, message, config):
    with pytest.raises(ValueError, match=rf"mine\.py: .*{message}"):
        load_config(config(text))


def test_all_faults_are_listed_at_once_and_nothing_is_touched(config, tmp_path, capsys):
    path = config(
        "modle = dict()\nevaluation = dict(interval=0)\nrunner = dict(max_epochs=0, x=1)\n"
    )
    assert main(["train", str(path), "--work-dir", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(r"4 faults: \(1\) modle .* \(2\) .*x .*max_epochs must .*evaluation", line)
    assert not (tmp_path / "run").exists()
    assert main(["test", str(path), str(tmp_path / "latest.pth")]) == 2
    assert os.listdir(tmp_path) == [path.name]
    from pcb.study.launch import start_training

    with pytest.raises(ValueError, match="4 faults: "):
        start_training(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_mmdets_default_runtime_asks_for_is_accepted(config):
    path = config(
        """
        load_from = None
        resume_from = None
        workflow = [('train', 1)]
        log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook')])
        custom_hooks = [dict(type='NumClassCheckHook')]
        dist_params = dict(backend='nccl')
        log_level = 'INFO'
        opencv_num_threads = 0
        mp_start_method = 'fork'
        auto_scale_lr = dict(enable=False, base_batch_size=16)
        evaluation = None
        data = dict(train_dataloader=dict(samples_per_gpu=3), persistent_workers=False)
        gpu_ids = range(1)
        auto_resume = False
        """
    )
    assert load_config(path).gpu_ids == [0]


def test_variables_are_allowed(config):
    path = config(
        """
        import math
        from pathlib import Path
        model_name = 'mine'  # similar to `model`, but not a dictionary
        lr = 0.01
        dataset = dict(train=dict(img_prefix='x'))
        models = [1]
        date = '2024'
        optimizer = dict(lr=lr * math.sqrt(4))
        data = dict(dataset)
        def half(x): return x / 2
        class Helper: pass
        del models
        """
    )
    cfg = load_config(path)
    assert cfg.optimizer.lr == 0.02 and "Path" not in cfg and "Helper" not in cfg
    assert unread_variables(cfg._cfg_dict, cfg.text) == ["model_name", "date"]


@pytest.mark.parametrize("path", sorted(glob.glob(str(repository_root() / "configs/[!_]*/*.py"))))
def test_configs_of_the_kit_have_no_fault_and_no_unread_variable(path):
    cfg = load_config(path)
    assert unread_variables(cfg._cfg_dict, cfg.text) == []


FAMILIES = ("mask_rcnn", "faster_rcnn", "cascade_rcnn", "htc", "point_rend", "dcn", "seesaw_loss")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_key_of_mmdets_own_two_stage_configs_is_unknown(family):
    """Tries some configs of each family, all of whose keys mmdet reads."""
    for path in sorted((MMDET / family).glob("*.py"))[:4]:
        cfg = Config.fromfile(str(path))
        assert unknown_keys(cfg._cfg_dict) == [], path
        assert faults(cfg._cfg_dict, cfg.text) == [], path


def test_types_of_the_user_may_read_any_key(config, tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(
        textwrap.dedent(
            """
            from mmdet.models.builder import HEADS
            from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead

            @HEADS.register_module(force=True)
            class MyHead(Shared2FCBBoxHead):
                def __init__(self, **kwargs):
                    self.mine = kwargs.pop('mine', 0)
                    super().__init__(**kwargs)

            @HEADS.register_module(force=True)
            class MyStrictHead(Shared2FCBBoxHead):
                def __init__(self, mine=0, in_channels=32):
                    super().__init__(in_channels=in_channels)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    imports = "custom_imports = dict(imports=['pcb.detection', 'my_parts'])\n"
    head = "model = dict(roi_head=dict(bbox_head=dict(type='MyHead', mine=3)),"
    path = config(imports + head + " test_cfg=dict(rcnn=dict(my_threshold=1)))")
    assert load_config(path).model.roi_head.bbox_head.mine == 3
    head = "model = dict(roi_head=dict(bbox_head=dict(_delete_=True, type='MyStrictHead', min=3)))"
    with pytest.raises(ValueError, match=r"bbox_head\.min is unknown: did you mean 'mine'"):
        load_config(config(imports + head))


def test_argument_that_fails_only_when_built_is_reported_in_one_line(
    config, tmp_path, tiny_options, monkeypatch
):
    (tmp_path / "my_loss.py").write_text(
        "from mmdet.models.builder import LOSSES\n"
        "from pcb.detection import CrossEntropyPCBLoss\n"
        "@LOSSES.register_module(force=True)\n"
        "class MyLoss(CrossEntropyPCBLoss):\n"
        "    def __init__(self, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    tiny = repository_root() / "tests/configs/tiny_pcb.py"
    path = config(
        "custom_imports = dict(imports=['pcb.detection', 'my_loss'])\n"
        "model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(type='MyLoss', alpa=1))))",
        tiny,
    )
    with pytest.raises(ValueError, match=r"mine\.py: .*unexpected keyword argument 'alpa'"):
        train(path, tmp_path / "run", cfg_options=tiny_options, device="cpu")


@pytest.mark.parametrize(
    "text, message",
    [
        ("custom_hooks = [dict(type='EMAHook', momentum=2)]", "EMAHook: assert momentum > 0"),
        ("lr_config = dict(warmup='linear', warmup_ratio=2, warmup_iters=1)", "StepLr.* range"),
        (
            "model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(alpha=[0.4]))))",
            r"CrossEntropyPCBLoss: '<=' not supported .*balance\.py, line",
        ),
        ("optimizer = dict(_delete_=True, lr=0.1)", 'must contain the key "type"'),
        ("model = dict(neck=dict(_delete_=True))", 'must contain the key "type"'),
        ("model = dict(neck='FPN')", "cfg must be a dict"),
        ("model = dict(test_cfg=None)", "MaskRCNN: 'NoneType' object has no attribute 'rpn'"),
    ],
)
def test_value_that_fails_only_when_built_is_reported_in_one_line(
    text, message, config, tmp_path, tiny_options, capsys
):
    path = config(text, repository_root() / "tests/configs/tiny_pcb.py")
    options = [f"{key}={value}" for key, value in tiny_options.items()]
    command = ["train", str(path), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]
    assert main([*command]) == 2
    assert re.search(message, capsys.readouterr().err.strip().splitlines()[-1])
    assert not (tmp_path / "run/config.py").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("model = None", "used for testing: add the dictionary model.backbone"),
        ("model = dict(backbone=None)", "used for testing: add the dictionary model.backbone"),
        ("model = dict(backbone='ResNet')", "model.backbone must be a dictionary"),
        ("data = None", "used for testing: add the dictionary data.val"),
        ("data = dict(val=None)", "used for testing: add the dictionary data.val"),
        ("data = dict(val=[])", "used for testing: add the dictionary data.val|cannot inherit"),
    ],
)
def test_config_that_cannot_be_tested_names_what_is_missing(
    text, message, config, tmp_path, capsys
):
    path = str(config(text))
    assert main(["test", path, path, "--work-dir", str(tmp_path / "run")]) == 2  # no checkpoint
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line) and "Traceback" not in line


@pytest.mark.parametrize(
    "content, message",
    [
        (b"x = '\xe9'\n", r"is not plain UTF-8 text"),
        ("x = 1\n".encode("utf-16"), r"is not plain UTF-8 text"),
        (b"\xef\xbb\xbfx = 1\n", r"without a byte order mark"),
        (b"x = 1\ny = '\0'\n", r", line 2 contains a NUL byte"),
        (b"x = 1\ny = (\n", r", line 2: '\(' was never closed"),
        (b"x = 1\ny = 1 / 0\n", r", line 2: ZeroDivisionError: division by zero"),
        (b"def f():\n    raise OSError('no')\nf()\n", r", line 2: OSError: no"),
        (b"import no_such_module\n", r", line 1: ModuleNotFoundError: No module named"),
        (b"import sys\nsys.exit(0)\n", r", line 2: SystemExit: 0"),
        (b"text = 'x'\n", r"text is reserved for config file: rename"),
        (
            b"_base_ = 'nowhere.py'\n",
            r"its _base_ file \S+nowhere\.py does not exist; did you mean",
        ),
        (b"_base_ = ['one.py', 'two.py']\n", r"several of its _base_ files set shared"),
        (b"_base_ = 'one.py'\nx = {{_base_.nothing}}\n", r"KeyError: 'nothing'"),
        (b"_base_ = 'one.py'\nshared = dict(a=1)\n", r"TypeError: shared=.*cannot inherit"),
        (b"custom_imports = dict(imports=['no_such'])\n", r"custom_imports: Mod.*no_such.*PYTHON"),
    ],
)
@pytest.mark.parametrize("as_base", [False, True])
def test_file_that_cannot_be_read_is_named_in_one_line(content, message, as_base, tmp_path, capsys):
    for name in ("one.py", "two.py", "nowhere1.py"):
        (tmp_path / name).write_text("shared = 1\n")
    path, named = tmp_path / "config.py", "config.py"
    path.write_bytes(content)
    if as_base and b"custom_imports" not in content and b"text =" not in content:
        path, named = tmp_path / "child.py", "config.py"
        path.write_text("_base_ = 'config.py'\n")
    before = list(sys.path)
    assert main(["train", str(path), "--work-dir", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line) and named in line and "Traceback" not in line
    assert sys.path == before and not (tmp_path / "run").exists()


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_other_file_formats_get_the_same_checks(suffix, config):
    text = json.dumps({"_base_": str(BASE), "optimiser": {"type": "SGD"}, "note": 1})
    path = config(text, None, f"mine{suffix}")
    with pytest.raises(ValueError, match="optimiser is unknown: did you mean 'optimizer'"):
        load_config(path)
    path = config(text.replace("optimiser", "my-key"), None, f"mine{suffix}")
    with pytest.raises(ValueError, match="'my-key' cannot be the name of a setting"):
        load_config(path)


@pytest.mark.parametrize(
    "expression, value",
    [
        ("np.float64(0.25)", 0.25),
        ("np.float32(0.25)", 0.25),
        ("np.int64(3)", 3),
        ("np.bool_(True)", True),
        ("np.str_('x')", "x"),
        ("np.arange(3)", [0, 1, 2]),
        ("np.array(['a', 'b'])", ["a", "b"]),
        ("[dict(a=[np.float64(1)])]", [{"a": [1.0]}]),
        ("Path('a') / 'b'", "a/b"),
        ("range(3)", [0, 1, 2]),
        ("(1, (2, 3))", (1, (2, 3))),
        ("{1, 2}", {1, 2}),
        ("set()", set()),
        ("float('inf')", float("inf")),
        ("dict(a=[-math.inf, (1e999,)])", {"a": [float("-inf"), (float("inf"),)]}),
        ("1e-400", 0.0),
        ("2j", 2j),
        ("b'x'", b"x"),
        ("{1: 'one', (2, 3): None}", {1: "one", (2, 3): None}),
        ("Level.LOW", 1),
        ("Word.A", "a"),
        ("'quo\"te\\' \\\\ \\n \\udce9 {}'", "quo\"te' \\ \n \udce9 {}"),
        ("'long ' * 60", "long " * 60),
        ("collections.OrderedDict(b=1, a=2)", {"b": 1, "a": 2}),
    ],
)
def test_value_is_read_back_as_it_trained(expression, value, config, tmp_path):
    path = config(
        "import collections, enum, math\nimport numpy as np\nfrom pathlib import Path\n"
        "class Level(enum.IntEnum):\n    LOW = 1\n"
        "class Word(str, enum.Enum):\n    A = 'a'\n"
        f"pcb = dict(value={expression})\n",
        repository_root() / "configs/openmoji/softmax.py",
    )
    cfg = load_config(path)
    plain = cfg._cfg_dict.to_dict()["pcb"]["value"]
    assert plain == value and type(plain) is type(value)
    run = RunFolder(tmp_path / "run")
    save_config(cfg, run.config_file)
    assert run.read_config()["pcb"]["value"] == value
    again = load_config(run.path)
    assert again._cfg_dict.to_dict() == cfg._cfg_dict.to_dict()
    assert Config.fromfile(str(run.config_file)).pcb["value"] == value  # also if executed


@pytest.mark.parametrize(
    "expression, message",
    [
        ("lambda x: x", r"max_norm is a lambda, which cannot be saved"),
        ("math.sqrt", r"max_norm is the function sqrt"),
        ("Path", r"max_norm is the class Path"),
        ("math.nan", r"max_norm is not a number \(nan\)"),
        ("[dict(a=np.nan)]", r"max_norm\.0\.a is not a number"),
        ("torch.float32", r"max_norm is of type torch\.dtype"),
        ("torch.ones(2)", r"max_norm is of type torch\.Tensor"),
        ("math", r"TypeError: cannot pickle 'module' object"),  # mmcv copies what it merges
        ("object()", r"max_norm is of type builtins\.object"),
        ("np.datetime64('2024-01-01')", r"max_norm is of type numpy\.datetime64"),
        ("frozenset([1])", r"max_norm is of type builtins\.frozenset"),
    ],
)
def test_value_that_cannot_be_read_back_is_refused_by_key(expression, message, config, tmp_path):
    path = config(
        "import math\nimport numpy as np\nimport torch\nfrom pathlib import Path\n"
        f"optimizer_config = dict(grad_clip=dict(max_norm={expression}))\n",
        repository_root() / "configs/openmoji/softmax.py",
    )
    with pytest.raises(ValueError, match=rf"mine\.py: .*{message}"):
        train(path, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_values_of_overrides_are_converted_too(tmp_path):
    options = {"optimizer.lr": np.float64(0.5), "data.val.img_prefix": Path("/x")}
    cfg = load_config("configs/openmoji/softmax.py", options)
    assert type(cfg.optimizer.lr) is float and cfg.data.val.img_prefix == "/x"
    with pytest.raises(ValueError, match=r"optimizer\.lr is a lambda"):
        load_config("configs/openmoji/softmax.py", {"optimizer.lr": lambda: 1})


def test_config_of_a_run_is_checked_only_before_training_again(config, tmp_path):
    """Runs of earlier versions may hold settings that are refused now, and stay readable."""
    run = RunFolder(tmp_path / "run")
    save_config(load_config(BASE), run.config_file)
    with open(run.config_file, "a") as file:
        file.write("seed = 3\noptimiser = {}\n")
    assert load_config(run.path, for_training=False).seed == 3
    run.write_environment({"seed": 0})
    assert load_config(run.config_file, for_training=False).optimiser == {}
    for again in (run.path, run.config_file):
        with pytest.raises(ValueError, match=r"2 faults: .*optimiser is .*seed is"):
            load_config(again)
    save_config(load_config(BASE), run.config_file)
    with pytest.raises(
        ValueError, match="seed is 5, which is not supported: use the option --seed"
    ):
        load_config(run.path, {"seed": 5})


def test_testing_allows_settings_that_only_training_refuses(config):
    path = config("evaluation = dict(interval=24)\nworkflow = [('val', 1)]\n")
    assert load_config(path, for_training=False).evaluation == {"interval": 24}
    with pytest.raises(ValueError, match="did you mean 'optimizer'"):
        load_config(config("optimiser = dict(lr=1)"), for_training=False)


def test_variable_that_is_set_too_late_is_refused(tmp_path):
    (tmp_path / "base.py").write_text(
        f"_base_ = {str(BASE)!r}\nepochs = 12\nrunner = dict(max_epochs=epochs)\n"
    )
    mine = tmp_path / "mine.py"
    for text in ("epochs = 12\n", "epochs = 3\nrunner = dict(max_epochs=epochs)\n", "other = 3\n"):
        mine.write_text(f"_base_ = 'base.py'\n{text}")
        load_config(mine)
    mine.write_text("_base_ = 'base.py'\nepochs = 3\n")
    with pytest.raises(ValueError, match=r"mine\.py changes epochs, but .*base\.py has"):
        load_config(mine)


@pytest.mark.parametrize(
    "text",
    [
        "num_gpus = 8\nwork_root = 'x'\nmax_epochs = 3\nmy_hooks = [1]\n",
        "data_cfg = dict(a=1)\nrunner_cfg = dict()\nextra_hooks = [dict(type='X')]\n",
        "import re, datetime\npattern = re.compile('x')\nnow = datetime.datetime.now()\n",
        "foo = float('nan')\nbar = object()\n",
    ],
)
def test_helper_is_not_mistaken_for_a_misspelt_setting(text, config):
    load_config(config(text))


def test_misspelt_setting_that_is_changed_in_place_is_refused(config):
    with pytest.raises(ValueError, match="did you mean 'optimizer'"):
        load_config(config("optimiser = dict(type='SGD')\noptimiser['lr'] = 0.1\n"))


@pytest.mark.parametrize("value", [{"a": 1}, [1], 3])
def test_dictionary_is_not_replaced_by_something_else(value):
    if isinstance(value, dict):
        with pytest.raises(ValueError, match=r"runner\.a"):
            load_config(BASE, {"runner": value})
        return
    with pytest.raises(ValueError, match=r"'runner' refers to a dictionary .*such as runner\.type"):
        load_config(BASE, {"runner": value})


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("custom_imports", {"imports": ["json"]}, "Set custom_imports in the config"),
        ("custom_imports.imports", ["json"], "Set custom_imports in the config"),
        (
            "data.train.pipeline",
            {"type": "Resize"},
            r"list of length [0-9]+, but .*\. Pass a list",
        ),
        ("data.train.pipeline", {"99": {}}, r"list of length [0-9]+, but .*\. Pass a list"),
        (None, 1, "key None must be a string"),
    ],
)
def test_override_that_would_be_lost_or_crash_is_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        load_config(BASE, {key: value})


def test_override_of_one_entry_of_a_list():
    cfg = load_config(BASE, {"data.train.pipeline": {"0": {"to_float32": True}}})
    assert cfg.data.train.pipeline[0].to_float32


def test_names_read_of_several_files():
    text = "/a/one.py\na = 1\nb = {{_base_.c.d}}\n/a/two.py\ne = a\n/a/three.yaml\nx: [}\n"
    assert names_read(text) == {"a", "c"}


def test_override_of_a_variable_is_refused_and_all_faults_are_listed():
    config = "configs/openmoji/softmax.py"
    for options in ({"num_classes": 4}, {"num_classes.x": 1}):
        with pytest.raises(ValueError, match="already used the variable num_classes"):
            load_config(config, options)
    with pytest.raises(ValueError, match=r"2 faults: .*runner\.max_epoch.*optimizer\.lrr"):
        load_config(config, {"runner.max_epoch": 1, "optimizer.lrr": 1})
