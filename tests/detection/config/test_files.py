"""The config files: each builds its model, and those of LVIS equal the published experiments."""

import functools
import gzip
import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.parallel import collate
from mmcv.runner import fp16_utils
from mmdet.datasets import build_dataset
from mmdet.models import build_detector, build_head

from pcb import scaled_momentum
from pcb.datasets.lvis import read_annotations
from pcb.datasets.openmoji.design import DESIGNS, image_counts
from pcb.detection import load_config
from pcb.detection.box_head_loss import NEW_BUFFERS
from pcb.detection.checkpoint import read_checkpoint
from pcb.detection.config.loading import datasets
from pcb.detection.engine.device import to_device
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import build_model, train
from pcb.evaluation import evaluate
from pcb.grids.grid import read_grid
from pcb.metrics import METRICS
from pcb.runs import default_work_dir
from pcb.runs.settings import BALANCE, REFINEMENT, strength_argument
from pcb.storage.repository import repository_root

REFERENCE = Path(__file__).parents[2] / "reference"
OFFICIAL = json.loads(gzip.decompress((REFERENCE / "state_dict_keys.json.gz").read_bytes()))

DATASETS = ("openmoji", "lvis_v0_5", "lvis_v1")
BASELINES = ("softmax", "rfs", "eqlv2", "seesaw")
PAIRS = [(f"{d}/{b}", f"{d}/{b}_pcb") for d, b in product(DATASETS, BASELINES)]
PAIRS.append(("lvis_v1/seesaw_r101", "lvis_v1/seesaw_pcb_r101"))
LITERAL = "openmoji/softmax_pcb_literal"
CONFIGS = [name for pair in PAIRS for name in pair] + [LITERAL]
LVIS = [name for name in CONFIGS if name.startswith("lvis")]


def path_of(name: str) -> Path:
    return repository_root() / "configs" / f"{name}.py"


def load(name, options=None):
    return load_config(path_of(name), options)


def named_in(name: str) -> str:
    """The official config named in a config's first line."""
    return path_of(name).read_text().splitlines()[0].split()[-1].removesuffix(".")


def baseline_of(name: str) -> str:
    return name.split("/")[1].split("_")[0]


@functools.cache
def build_without_weights(name):
    """A config's detector, whose tensors have a shape but no memory."""
    with torch.device("meta"):
        return build_detector(load(name).model)


def flat(value, prefix="") -> dict:
    """Leaves of nested dictionaries by dotted key; lists are leaves."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves = {}
    for key, inner in value.items():
        leaves |= flat(inner, f"{prefix}.{key}" if prefix else key)
    return leaves


def test_configs_are_complete_and_no_other_exists():
    found = repository_root().glob("configs/[!_]*/*.py")
    assert {f"{path.parent.name}/{path.stem}" for path in found} == set(CONFIGS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_model_builds_for_the_classes_of_its_dataset(name):
    cfg, detector = load(name), build_without_weights(name)
    head, loss = detector.roi_head.bbox_head, detector.roi_head.bbox_head.loss_cls
    classes = {"openmoji": 40, "lvis_v0_5": 1230, "lvis_v1": 1203}[name.split("/")[0]]
    assert cfg.num_classes == classes
    assert head.num_classes == loss.num_classes == loss.balance.num_classes == classes
    assert detector.roi_head.mask_head.num_classes == classes
    assert head.fc_cls.out_features == loss.get_cls_channels(classes)
    with_pcb = "_pcb" in name
    assert type(detector.roi_head).__name__ == ["StandardRoIHead", "IterativeRoIHead"][with_pcb]
    assert (loss.balance.alpha > 0) == with_pcb
    assert path_of(name).read_text().startswith("# ")


@pytest.mark.parametrize("plain, balanced", PAIRS)
def test_pair_differs_only_in_pcb(plain, balanced):
    before, after = (flat(load(name)._cfg_dict.to_dict()) for name in (plain, balanced))
    differs = {key for key in before | after if before.get(key) != after.get(key)}
    roi_head, loss = "model.roi_head.", "model.roi_head.bbox_head.loss_cls."
    allowed = {roi_head + key for key in ("type", *REFINEMENT)}
    strength = strength_argument({"type": after[loss + "type"]})
    allowed |= {loss + key for key in (strength, *BALANCE)}
    assert {key for key in differs if not key.startswith("pcb.")} <= allowed
    assert {roi_head + "type", loss + strength} <= differs


def test_first_lines_name_the_official_configs():
    balanced = [name for name in LVIS if "_pcb" in name]
    assert sorted(map(named_in, balanced)) == sorted(OFFICIAL)
    for plain, with_pcb in PAIRS:
        if plain.startswith("lvis"):
            assert named_in(plain) == named_in(with_pcb)
            version, depth = with_pcb.split("/")[0][5:].replace("_", "."), "r101" in with_pcb
            assert f"lvis_{version}_" in named_in(plain) and ("r101" in named_in(plain)) == depth
            official_loss = {"rfs": "sample1e-3_mstrain_pcb", "softmax": "fpn_mstrain_pcb"}
            baseline = baseline_of(plain)
            assert official_loss.get(baseline, baseline) in named_in(plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LVIS if "_pcb" in name])
def test_names_and_shapes_are_official(name):
    state = build_without_weights(name).state_dict()
    shapes = {key: list(value.shape) for key, value in state.items()}
    new = {key for key in shapes if key.endswith(NEW_BUFFERS)}
    assert {key: shape for key, shape in shapes.items() if key not in new} == OFFICIAL[
        named_in(name)
    ]
    assert all(key.startswith("roi_head.bbox_head.loss_cls.") for key in new)


@pytest.mark.parametrize("name", LVIS)
def test_settings_are_the_published_ones(name):
    cfg = load(name)
    assert cfg.runner.max_epochs == 24 and cfg.lr_config.step == [16, 22]
    assert cfg.optimizer == dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert (cfg.lr_config.warmup_iters, cfg.lr_config.warmup_ratio) == (500, 0.001)
    assert cfg.fp16 == dict(loss_scale="dynamic") and cfg.optimizer_config.grad_clip is None
    assert cfg.data.samples_per_gpu * 8 == 16  # on eight GPUs
    assert (cfg.model.test_cfg.rcnn.score_thr, cfg.model.test_cfg.rcnn.max_per_img) == (1e-4, 300)
    depth = 101 if "r101" in name else 50
    assert cfg.model.backbone.depth == depth
    assert cfg.model.backbone.init_cfg.checkpoint == f"torchvision://resnet{depth}"

    baseline = baseline_of(name)
    threshold = cfg.data.train.get("oversample_thr", 0)
    assert threshold == {"softmax": 0, "rfs": 1e-3, "eqlv2": 0, "seesaw": 1e-3}[baseline]
    train_set, val_set = datasets(cfg)
    resize, flip = train_set.pipeline[2:4]
    assert resize.img_scale == [(1333, side) for side in range(640, 801, 32)]
    assert resize.multiscale_mode == "value" and flip.flip_ratio == 0.5
    assert val_set.pipeline[1].img_scale == (1333, 800) and not val_set.pipeline[1].flip

    head = build_without_weights(name).roi_head
    normed = baseline == "seesaw"
    predictors = (head.bbox_head.fc_cls, head.mask_head.conv_logits)
    assert [type(p).__name__.startswith("Normed") for p in predictors] == [normed] * 2
    assert all(getattr(p, "tempearture", 20) == 20 for p in predictors)
    balance = head.bbox_head.loss_cls.balance
    if "_pcb" in name:
        strength = {"softmax": 0.4, "rfs": 0.4, "eqlv2": 0.2, "seesaw": 0.05}[baseline]
        assert (balance.alpha, balance.start_epoch, balance.momentum) == (strength, 17, 0.99)
        assert (head.n_iter, head.iter_loss_weight, head.reg_iter) == (3, [0.2, 0.2, 0.6], 2)
        assert hasattr(head.cls_sub_module, "layer_norm") == (baseline == "eqlv2")
        assert not head.identity_init
    loss = head.bbox_head.loss_cls
    if baseline == "eqlv2":
        assert (loss.gamma, loss.mu, loss.alpha) == (12, 0.8, 4)
    if baseline == "seesaw":
        assert (loss.p, loss.q, loss.eps) == (0.8, 2.0, 1e-2)


def assert_distribution(weight, std, kind):
    """Check the standard deviation to 1%, and the kind of distribution by its largest value."""
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    largest = weight.abs().max().item() / std
    assert largest <= math.sqrt(3) * 1.01 if kind == "uniform" else largest > 4


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["softmax", "eqlv2", "seesaw"])
def test_heads_of_lvis_start_as_in_the_official_code(baseline):
    """With 1203 classes. The feedback is outside the box head, so PyTorch initialises it."""
    cfg = load(f"lvis_v1/{baseline}_pcb").model
    roi_head = dict(cfg.roi_head, train_cfg=cfg.train_cfg.rcnn, test_cfg=cfg.test_cfg.rcnn)
    head = build_head({k: v for k, v in roi_head.items() if not k.startswith("mask_")})
    torch.manual_seed(0)
    head.init_weights()
    box_head = head.bbox_head
    fc1, fc2 = box_head.shared_fcs
    assert_distribution(fc1.weight, math.sqrt(2 / (256 * 49 + 1024)), "uniform")
    assert_distribution(fc2.weight, math.sqrt(2 / (1024 + 1024)), "uniform")
    assert_distribution(box_head.fc_reg.weight, 0.0185, "normal")
    # Seesaw's normalised classifier initialises itself, after everything else.
    std = {"softmax": 0.030, "eqlv2": 0.01, "seesaw": 0.01}[baseline]
    assert_distribution(box_head.fc_cls.weight, std, "normal")
    prior = -math.log((1 - 0.001) / 0.001) if baseline == "eqlv2" else 0.0
    for layer, bias in ((fc1, 0.0), (fc2, 0.0), (box_head.fc_reg, 0.0), (box_head.fc_cls, prior)):
        torch.testing.assert_close(layer.bias, torch.full_like(layer.bias, bias))
    for feedback in (head.cls_sub_module, head.loc_sub_module):
        for layer in (feedback.layers.fc1, feedback.layers.fc2):
            assert_distribution(layer.weight, 1 / math.sqrt(3 * layer.in_features), "uniform")


def test_eqlv2_on_openmoji_starts_like_softmax_except_for_the_prior():
    heads = {}
    for baseline in ("softmax", "eqlv2"):
        torch.manual_seed(0)
        heads[baseline] = build_head(load(f"openmoji/{baseline}").model.roi_head.bbox_head)
        torch.manual_seed(0)
        heads[baseline].init_weights()
    ours, theirs = (dict(head.named_parameters()) for head in heads.values())
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == ["fc_cls.bias"]
    torch.testing.assert_close(heads["eqlv2"].fc_cls.bias.sigmoid(), torch.full((41,), 0.001))


@pytest.mark.parametrize(
    "baseline, loss",
    [
        ("softmax", dict(type="CrossEntropyLoss", use_sigmoid=False)),
        ("seesaw", dict(type="SeesawLoss", p=0.8, q=2.0, num_classes=40)),
    ],
)
def test_plain_baseline_equals_mmdets_loss(baseline, loss):
    """All losses of the box head, its accuracies, gradients and scores, over several steps."""
    config = load(f"openmoji/{baseline}").model.roi_head.bbox_head
    ours, theirs = build_head(config), build_head({**config, "loss_cls": loss})
    ours.init_weights()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(0)
    rois = torch.tensor([0.0, 10, 10, 50, 50]).repeat(64, 1)
    for _ in range(3):
        features = torch.randn(64, 32, 7, 7, generator=generator)
        labels = torch.randint(41, (64,), generator=generator)
        weights, boxes = torch.rand(64, generator=generator), torch.rand(64, 4, generator=generator)
        results = []
        for head in (ours, theirs):
            losses = head.loss(*head(features), rois, labels, weights, boxes, torch.ones(64, 4))
            parameters = list(head.parameters())
            total = sum(value for name, value in losses.items() if "loss" in name)
            results.append((losses, torch.autograd.grad(total, parameters)))
        torch.testing.assert_close(*results)
    for head in (ours, theirs):
        head.eval()
    detections = [
        head.get_bboxes(rois, *head(features), (64, 64), np.ones(4, dtype=np.float32))
        for head in (ours, theirs)
    ]
    torch.testing.assert_close(*detections)


@pytest.fixture
def options_for(tiny_lvis, tiny_openmoji):
    """Overrides that make a config read small data at the same relative paths."""

    def options_for(name):
        cfg, options = load(name), {}
        root = {**tiny_lvis, "openmoji": tiny_openmoji}[name.split("/")[0]]
        for split in ("train", "val", "test"):
            key, dataset = f"data.{split}", cfg.data.get(split)
            if dataset is None:
                continue
            if "dataset" in dataset:
                key, dataset = f"{key}.dataset", dataset.dataset
            for path in ("ann_file", "img_prefix"):
                relative = Path(dataset[path]).relative_to(repository_root() / cfg.data_root)
                options[f"{key}.{path}"] = str(root / relative)
        return options

    return options_for


def options_for_classes(num_classes):
    heads = ("bbox_head", "bbox_head.loss_cls", "mask_head")
    return {f"model.roi_head.{head}.num_classes": num_classes for head in heads}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_data_of_every_config_passes_its_pipelines(name, options_for):
    cfg = load(name, options_for(name))
    short_sides, longest = ([128], 128) if "openmoji" in name else (range(640, 801, 32), 1333)
    train_set = build_dataset(cfg.data.train)
    sample = train_set[len(train_set) - 1]
    image, meta = sample["img"].data, sample["img_metas"].data
    height, width, _ = meta["img_shape"]
    assert min(height, width) in short_sides and max(height, width) <= longest
    assert image.shape[0] == 3 and all(side % 32 == 0 for side in image.shape[1:])
    assert image.dtype == torch.float32 and image.abs().max() < 4  # normalised
    labels, boxes, masks = (sample[f"gt_{key}"].data for key in ("labels", "bboxes", "masks"))
    assert 0 < len(labels) == len(boxes) == len(masks)
    # Both went through the same changes, so a mask lies in its box except for some rim pixels.
    for (x1, y1, x2, y2), mask in zip(boxes.int().tolist(), masks.masks, strict=True):
        assert mask[y1 : y2 + 2, x1 : x2 + 2].sum() > 0.98 * mask.sum() > 0

    val_set = build_dataset(cfg.data.val, {"test_mode": True})
    tested = [val_set[i] for i in range(2)]
    for sample in tested:
        (image,), (meta,) = sample["img"], sample["img_metas"]
        assert min(meta.data["img_shape"][:2]) == max(short_sides)
        assert image.shape[0] == 3 and not meta.data["flip"]
    assert len(val_set) == len(read_annotations(cfg.data.val.ann_file).images)


@pytest.mark.parametrize("name", ["openmoji/rfs", "lvis_v0_5/seesaw_pcb", "lvis_v1/rfs"])
def test_images_are_repeated_for_their_rarest_class(name, options_for):
    """``ceil(max(1, sqrt(t / f)))``, where ``f`` is the fraction of images with a class."""
    cfg = load(name, options_for(name))
    if name.startswith("lvis"):
        cfg.data.train.oversample_thr = 0.5  # of 8 images, the published 1e-3 would repeat none
    dataset = build_dataset(cfg.data.train)
    truth = read_annotations(cfg.data.train.dataset.ann_file)
    in_image = {image["id"]: set() for image in truth.images}
    for annotation in truth.annotations:
        in_image[annotation["image_id"]].add(annotation["category_id"])
    expected = []
    for index, classes in enumerate(in_image.values()):
        fractions = [
            sum(c in other for other in in_image.values()) / len(in_image) for c in classes
        ]
        factor = max(max(1, math.sqrt(cfg.data.train.oversample_thr / f)) for f in fractions)
        expected += [index] * math.ceil(factor)
    assert dataset.repeat_indices == expected
    assert len(dataset) > len(dataset.dataset)


def test_momentum_on_openmoji_follows_its_rule():
    """It depends only on the schedule and the class counts, as the config states."""
    cfg = load("openmoji/softmax_pcb")
    start_epoch = math.ceil(cfg.runner.max_epochs * 17 / 24)
    assert cfg.lr_config.step[0] == start_epoch - 1  # PCB acts right after the first drop
    calls = min(image_counts(DESIGNS["mini"])) * (start_epoch - 1)
    for baseline in BASELINES:
        plain, balanced = (
            load(f"openmoji/{name}").model.roi_head.bbox_head.loss_cls
            for name in (baseline, f"{baseline}_pcb")
        )
        assert plain.momentum == round(scaled_momentum(calls), 2)
        assert balanced.momentum == round(scaled_momentum(3 * calls), 2)
        assert balanced.start_epoch == start_epoch
    literal = load(LITERAL).model.roi_head.bbox_head.loss_cls
    assert (literal.momentum, literal.start_epoch) == (0.99, start_epoch)


OPENMOJI = [name for pair in PAIRS for name in pair if name.startswith("openmoji")]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPENMOJI)
def test_config_of_openmoji_trains_and_evaluates(name, tmp_path, options_for):
    """One epoch on the 24 images of *tiny*, in which PCB acts once it has seen every class."""
    options = options_for(name) | options_for_classes(8)
    options |= {
        "runner.max_epochs": 1,
        "data.samples_per_gpu": 6,
        "data.workers_per_gpu": 0,
        "log_config.interval": 1,
        "lr_config.warmup": None,
        "model.roi_head.bbox_head.loss_cls.start_epoch": 1,
        "model.test_cfg.rcnn.score_thr": 1e-4,
    }
    run = train(path_of(name), tmp_path / "run", cfg_options=options, device="cpu")
    log = run.read_log()
    assert all(np.isfinite(record["loss"]) for record in log)
    assert log[-1]["pcb_classes_seen"] == 8
    strength = {"softmax": 0.4, "rfs": 0.4, "eqlv2": 0.2, "seesaw": 0.05}[baseline_of(name)]
    assert log[-1]["pcb_strength"] == (strength if "_pcb" in name else 0.0)
    assert ("loss_pcb_classes" in log[-1]) == name.endswith("seesaw_pcb")
    assert (run.read_confusion()["learned"].sum(axis=1) > 0).all()

    files = predict(run.config_file, run.checkpoint, run.path, device="cpu")
    for iou_type, file in files.items():
        assert json.loads(file.read_text())
        metrics = evaluate(options["data.val.ann_file"], file, iou_type)[iou_type]
        assert set(metrics) == set(METRICS) and 0 <= metrics["AP"] <= 1


@pytest.mark.slow
def test_config_of_lvis_trains_on_a_cpu_in_single_precision(tmp_path, options_for):
    """The same file requests half precision on a GPU. Few RoIs, and no ImageNet weights."""
    name = "lvis_v1/seesaw_pcb"
    options = options_for(name) | options_for_classes(3)
    options |= {
        "runner.max_epochs": 1,
        "data.samples_per_gpu": 4,
        "data.workers_per_gpu": 0,
        "log_config.interval": 1,
        "model.backbone.init_cfg": None,
        "model.train_cfg.rpn_proposal.max_per_img": 50,
        "model.train_cfg.rcnn.sampler.num": 16,
        "model.test_cfg.rpn.max_per_img": 10,
        "model.test_cfg.rcnn.max_per_img": 10,
        "model.roi_head.bbox_head.loss_cls.start_epoch": 1,
        "data.train.dataset.pipeline.2.img_scale": [(64, 64)],
        "data.val.pipeline.1.img_scale": (64, 64),
    }
    run = train(path_of(name), tmp_path / "run", cfg_options=options, device="cpu")
    log = run.read_log()
    assert len(log) == 2 and all(np.isfinite(record["loss"]) for record in log)
    assert log[-1]["pcb_strength"] > 0
    checkpoint = read_checkpoint(run.checkpoint)
    assert "fp16" not in checkpoint["meta"]  # no loss scale
    assert {v.dtype for v in checkpoint["state_dict"].values()} == {torch.float32, torch.int64}
    files = predict(run.config_file, run.checkpoint, run.path, device="cpu")
    evaluate(options["data.val.ann_file"], files["segm"], "segm")


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"openmoji/{b}_pcb" for b in ("softmax", "eqlv2", "seesaw")])
def test_half_precision_reaches_the_heads_and_ends_before_the_losses(
    name, options_for, monkeypatch
):
    """One step as on a GPU, but with a CPU's half precision; PCB acts."""
    monkeypatch.setattr(
        fp16_utils, "autocast", functools.partial(torch.autocast, "cpu", dtype=torch.float16)
    )
    options = options_for_classes(8)
    options["model.roi_head.bbox_head.loss_cls.start_epoch"] = 1
    options["model.roi_head.bbox_head.loss_cls.required_classes"] = [0]
    cfg = load(name, options_for(name) | options)
    dataset = build_dataset(cfg.data.train)
    model = build_model(cfg)
    loss = model.roi_head.bbox_head.loss_cls
    loss.balance.instance_count[0] = 1  # opens the gate
    fp16_utils.wrap_fp16_model(model)
    scores = []
    model.roi_head.bbox_head.fc_cls.register_forward_hook(lambda *call: scores.append(call[-1]))
    batch = to_device(collate([dataset[i] for i in range(4)], 4), torch.device("cpu"))
    outputs = model.train_step(batch, None)
    outputs["loss"].backward()
    assert [score.dtype for score in scores] == [torch.float16] * 3
    assert outputs["loss"].dtype == torch.float32 and outputs["loss"].isfinite()
    assert {buffer.dtype for buffer in loss.buffers()} == {torch.float32, torch.bool}
    assert loss.balance.confusion.isfinite().all() and loss.balance.confusion.sum() > 0


def test_grids_and_run_folders_accept_every_name(tmp_path):
    names = ["title: all", f"datasets: {list(DATASETS)}"]
    every = [b + with_pcb for b in BASELINES for with_pcb in ("", "_pcb")]
    (tmp_path / "all.yaml").write_text("\n".join([*names, f"configs: {every}"]))
    assert len(read_grid(tmp_path / "all.yaml").runs) == 24
    names = ["title: deep", "datasets: [lvis_v1]", "configs: [seesaw_r101, seesaw_pcb_r101]"]
    (tmp_path / "deep.yaml").write_text("\n".join(names))
    runs = [str(run) for run in read_grid(tmp_path / "deep.yaml").runs]
    assert runs == ["lvis_v1/seesaw_r101/seed0", "lvis_v1/seesaw_pcb_r101/seed0"]
    folder = default_work_dir("configs/lvis_v1/seesaw_pcb_r101.py")
    assert folder == repository_root() / "runs/lvis_v1/seesaw_pcb_r101/seed0"


@pytest.mark.parametrize(
    "name, key, value",
    [
        ("lvis_v1/rfs", "data.train.oversample_thr", 0.01),
        ("lvis_v1/seesaw_pcb", "data.train.dataset.pipeline.2.keep_ratio", False),
        ("lvis_v1/seesaw_pcb_r101", "model.roi_head.bbox_head.cls_predictor_cfg.tempearture", 10),
        ("lvis_v0_5/eqlv2_pcb", "model.roi_head.bbox_head.loss_cls.alpha_pcb", 0.1),
        ("lvis_v0_5/eqlv2", "model.roi_head.bbox_head.loss_cls.gamma", 10),
        ("lvis_v1/softmax", "optimizer_config.grad_clip", {"max_norm": 35}),  # None in the file
        ("lvis_v1/softmax", "optimizer_config", {"grad_clip": {"max_norm": 35}}),
        ("lvis_v1/softmax", "optimizer.nesterov", True),
        ("lvis_v1/softmax", "fp16", None),  # single precision, even on a GPU
    ],
)
def test_overrides_reach_their_setting(name, key, value):
    node = load(name, {key: value})
    for part in key.split("."):
        node = node[int(part) if part.isdigit() else part]
    assert node == value
