"""When PCB acted, which each training tells at its end; hooks with state, and resuming them."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.runner import HOOKS, EpochBasedRunner, Hook, IterBasedRunner
from torch import nn

from pcb.detection import CrossEntropyPCBLoss
from pcb.detection.checkpoint import read_checkpoint, save_checkpoint
from pcb.detection.engine.inference import predict
from pcb.detection.engine.runner import Runner
from pcb.detection.engine.training import train
from pcb.runs.folder import RunFolder
from tests.support.crashes import CHECKPOINTS, differences
from tests.support.tiny import CONFIG

pytestmark = pytest.mark.slow

LOSS = "model.roi_head.bbox_head.loss_cls"


def last_line(capsys) -> str:
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"custom_hooks": []},
            "PCB was active from epoch 2 (iteration 4) to epoch 2, with strength 0.4",
        ),
        (
            {"custom_hooks": [{"type": "NumClassCheckHook"}, {"type": "LossEpochUpdateHook"}]},
            "PCB was active from epoch 2 (iteration 4) to epoch 2, with strength 0.4",
        ),
        ({f"{LOSS}.alpha": 0.0}, "PCB was never active: its strength (alpha) is 0, so the"),
        (
            {f"{LOSS}.start_epoch": 3},
            "PCB was never active: PCB starts in epoch 3 (start_epoch), but",
        ),
        (
            {LOSS: {"_delete_": True, "type": "CrossEntropyLoss"}},
            "PCB was never active: the model has no loss with PCB",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:PCB starts in epoch")
def test_last_line_tells_when_pcb_acted(options, message, tmp_path, tiny_options, capsys):
    train(CONFIG, tmp_path / "run", cfg_options=tiny_options | options, device="cpu")
    assert last_line(capsys).startswith(message)


def without_classes(tiny_options, tmp_path, classes):
    """Overrides that remove all training objects of these classes."""
    content = json.loads(Path(tiny_options["data.train.ann_file"]).read_text())
    left_out = {content["categories"][c]["id"] for c in classes}
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] not in left_out]
    (tmp_path / "train.json").write_text(json.dumps(content))
    names = [content["categories"][c]["name"] for c in classes]
    return {**tiny_options, "data.train.ann_file": str(tmp_path / "train.json")}, names


@pytest.mark.filterwarnings("ignore:PCB should be active")
def test_classes_that_training_never_saw_are_named(tmp_path, tiny_options, capsys):
    options, (one, other) = without_classes(tiny_options, tmp_path, [1, 5])
    train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    assert last_line(capsys).startswith(
        f"PCB was never active: 2 of 8 classes never occurred in training ({one}, {other}), and"
    )
    options[f"{LOSS}.required_classes"] = "present"
    train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu", replace=True)
    assert last_line(capsys) == (
        "PCB was active from epoch 2 (iteration 4) to epoch 2, with strength 0.4"
    )


def test_resumed_training_tells_what_happened_before_it(tmp_path, tiny_options, capsys):
    run = train(CONFIG, tmp_path / "run", cfg_options=tiny_options, device="cpu")
    whole = last_line(capsys)
    train(CONFIG, run.path, cfg_options=tiny_options, device="cpu", resume=True)
    assert last_line(capsys) == whole  # even if nothing was left to train
    longer = {**tiny_options, "runner.max_epochs": 3}
    train(CONFIG, run.path, cfg_options=longer, device="cpu", resume=True)
    assert last_line(capsys) == (
        "PCB was active from epoch 2 (iteration 4) to epoch 3, with strength 0.4"
    )

    state = read_checkpoint(run.checkpoint)
    del state["meta"]["pcb_acted"]  # as in an earlier version
    save_checkpoint(run.checkpoint, state)
    train(CONFIG, run.path, cfg_options=longer, device="cpu", resume=True)
    assert last_line(capsys) == (
        "PCB was never active: training ended before the iteration in which PCB would have become "
        "active; the resumed checkpoint does not say whether PCB was active up to iteration 9"
    )


class Part(nn.Module):
    """A detector that consists of a classifier and its loss."""

    def __init__(self, **settings):
        super().__init__()
        self.classifier = nn.Linear(2, 4)
        self.loss = CrossEntropyPCBLoss(num_classes=3, alpha=0.4, n_iter=1, **settings)

    def train_step(self, batch, _optimizer=None, **_kwargs):
        inputs, labels = batch
        loss = self.loss(self.classifier(inputs), labels)
        return {"loss": loss, "log_vars": {"loss": loss.item()}, "num_samples": len(labels)}

    val_step = train_step


class Objects(torch.utils.data.Dataset):
    """Replaces a dataset of mmdet; of three classes, 0 and 2 occur."""

    CLASSES = ("cat", "dog", "owl")
    labels = (0, 2, 3, 0, 2, 2)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.ones(2), self.labels[index]

    def get_ann_info(self, index):
        label = self.labels[index]
        return {"labels": np.array([label] if label < 3 else [], dtype=np.int64)}


class Counting(Objects):
    def instance_count(self):
        return np.array([2, 0, 3])


class Wrapper:
    """Replaces RepeatDataset or ConcatDataset."""

    def __init__(self, name, dataset):
        setattr(self, name, dataset)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return Objects()[index]


@pytest.mark.parametrize(
    "dataset",
    [Objects(), Counting(), Wrapper("dataset", Objects()), Wrapper("datasets", [Counting()] * 2)],
    ids=["annotations", "counts", "repeated", "joined"],
)
@pytest.mark.parametrize("by", ["epoch", "iteration"])
def test_mmcvs_own_runners_know_epoch_and_present_classes(by, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # mmcv waits before each epoch
    model = Part(start_epoch=2, required_classes="present")
    settings = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "work_dir": str(tmp_path),
        "logger": logging.getLogger("test"),
    }
    loader = torch.utils.data.DataLoader(dataset, batch_size=3)
    if by == "epoch":
        runner = EpochBasedRunner(**settings, max_epochs=2)
    else:
        runner = IterBasedRunner(**settings, max_iters=4)
    runner.register_hook_from_cfg({"type": "LossEpochUpdateHook"})
    strengths = []

    class Watch(Hook):
        def after_train_iter(self, runner):
            strengths.append(runner.model.loss.balance.current_strength())

    runner.register_hook(Watch())
    runner.run([loader], [("train", 1)])
    assert model.loss.balance.required_classes() == [0, 2]
    assert strengths == [0.0, 0.0, 0.4, 0.4]


def test_loss_without_the_present_classes_warns():
    model = Part(required_classes="present")
    batch = torch.ones(3, 2), torch.tensor([0, 1, 2])
    with pytest.warns(UserWarning, match="will wait for all classes. Add .*LossEpochUpdateHook"):
        model.train_step(batch)
    model.eval()
    Part(required_classes="present").eval().train_step(batch)  # testing needs no warning


AVERAGES = [
    {"type": "EMAHook", "momentum": 0.1, "interval": 2, "priority": "LOWEST"},
    {"type": "ExpMomentumEMAHook", "momentum": 0.1, "total_iter": 5},  # averages buffers as well
]


@pytest.mark.parametrize("hook", AVERAGES, ids=lambda hook: "-".join(map(str, hook.values())))
def test_running_averages_of_weights_are_tested_and_resumed_to_the_bit(
    hook, tmp_path, tiny_options, monkeypatch
):
    options = {**tiny_options, **CHECKPOINTS, "custom_hooks": [hook]}
    whole = train(CONFIG, tmp_path / "whole", cfg_options=options, device="cpu")
    assert whole.read_confusion()["epoch"] == 2
    state = read_checkpoint(whole.checkpoint)
    assert not [name for name in state["state_dict"] if name.startswith("ema_")]
    name = "roi_head.bbox_head.fc_cls.weight"
    last = state["state_of_hooks"][f"ema_{name.replace('.', '_')}"]  # after the last step
    assert not torch.equal(state["state_dict"][name], last)
    options["custom_hooks"] = []
    plain = train(CONFIG, tmp_path / "plain", cfg_options=options, device="cpu")
    options["custom_hooks"] = [hook]
    assert torch.equal(read_checkpoint(plain.checkpoint)["state_dict"][name], last)
    assert differences_of_matrices(whole, plain) == []

    run_iter = Runner.run_iter
    for iteration in (3, 4):  # inside an epoch, and at its end

        def stopping(runner, *args, stop=iteration, **kwargs):
            if runner.iter + 1 == stop:
                raise KeyboardInterrupt
            run_iter(runner, *args, **kwargs)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Runner, "run_iter", stopping)
            train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu", resume=True)
    run = train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu", resume=True)
    assert differences(run, whole) == []
    own = (read_checkpoint(r.checkpoint)["state_of_hooks"] for r in (run, whole))
    for one, other in zip(*(state.values() for state in own), strict=True):
        assert torch.equal(one, other)
    predict(run.path, run.checkpoint, run.path, device="cpu")
    assert run.predictions("segm").is_file()


def differences_of_matrices(run: RunFolder, expected: RunFolder) -> list[str]:
    ours, theirs = run.read_confusion(), expected.read_confusion()
    return [name for name in theirs if not np.array_equal(ours[name], theirs[name])]


def test_checkpoint_of_mmcv_with_averages_is_tested(tmp_path, tiny_options):
    """mmcv saves the buffers of EMAHook among the weights."""
    options = {**tiny_options, "runner.max_epochs": 1, "custom_hooks": [AVERAGES[0]]}
    options[f"{LOSS}.start_epoch"] = 1
    run = train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    state = read_checkpoint(run.checkpoint)
    state["state_dict"] |= state.pop("state_of_hooks")
    save_checkpoint(run.checkpoint, state)
    predict(run.path, run.checkpoint, run.path, device="cpu")
    train(CONFIG, run.path, 0, {**options, "runner.max_epochs": 2}, resume=True, device="cpu")


def test_resuming_with_other_hooks_keeps_the_earlier_run(tmp_path, tiny_options):
    one_epoch = {**tiny_options, "runner.max_epochs": 1, f"{LOSS}.start_epoch": 1}
    run = train(
        CONFIG, tmp_path / "run", 0, {**one_epoch, "custom_hooks": [AVERAGES[0]]}, device="cpu"
    )
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(
        ValueError, match=r"only the checkpoint contains the buffer ema_\w+\. Resume"
    ):
        train(CONFIG, run.path, 0, tiny_options, resume=True, device="cpu")
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


@HOOKS.register_module(force=True)
class KeepingHook(Hook):
    """Stores values of many types and a count in the runner's meta."""

    def after_train_iter(self, runner):
        kept = runner.meta.setdefault("kept", {"count": 0})
        kept["count"] += 1
        kept |= {"best": np.float32(0.5), "nan": float("nan"), "path": RunFolder("x").path}
        kept |= {"set": {1}, "many": np.arange(2), "odd": object(), "tuple": (1, "a", None, b"x")}


def test_state_of_hooks_is_restored_or_reported_as_not_saved(tmp_path, tiny_options):
    options = {**tiny_options, "custom_hooks": [{"type": "KeepingHook"}]}
    one_epoch = {**options, "runner.max_epochs": 1, f"{LOSS}.start_epoch": 1}
    with pytest.warns(UserWarning, match=r"not saved in checkpoints: meta\.kept\.odd is of type"):
        run = train(CONFIG, tmp_path / "run", 0, one_epoch, device="cpu")
    assert read_checkpoint(run.checkpoint)["meta"]["kept"]["count"] == 3
    train(CONFIG, run.path, 0, options, resume=True, device="cpu")
    kept = read_checkpoint(run.checkpoint)["meta"]["kept"]
    assert kept["count"] == 6 and np.isnan(kept["nan"])
    assert (kept["best"], kept["path"], kept["many"], kept["odd"]) == (0.5, "x", [0, 1], None)


def test_training_starts_from_weights_that_fit(tmp_path, tiny_options, capsys):
    first = {**tiny_options, "runner.max_epochs": 1, f"{LOSS}.start_epoch": 1}
    start = train(CONFIG, tmp_path / "start", 0, first, device="cpu")
    options = {**first, "load_from": str(start.checkpoint), "optimizer.lr": 0.0}
    run = train(CONFIG, tmp_path / "run", 1, options, device="cpu")
    ours, theirs = (read_checkpoint(r.checkpoint)["state_dict"] for r in (run, start))
    name = "roi_head.bbox_head.fc_cls.weight"
    assert torch.equal(ours[name], theirs[name])
    noted = run.read_environment()["load_from"]
    assert noted["file"] == str(start.checkpoint) and len(noted["sha256"]) == 64
    assert run.read_config()["load_from"] == str(start.checkpoint)

    start.checkpoint.unlink()  # a resumed training does not need it
    train(CONFIG, run.path, 1, {**options, "runner.max_epochs": 2}, resume=True, device="cpu")
    assert run.read_environment()["load_from"] == noted


@pytest.mark.parametrize(
    "load_from, message",
    [
        ("nowhere.pth", r"the checkpoint .*nowhere\.pth does not exist"),
        ("http://x/y.pth", "load_from must be a file, got 'http://x/y.pth': download"),
        ("other", r"does not fit the config: only 0 of the model's .*, none of them in the"),
    ],
)
def test_start_that_does_not_fit_is_refused(load_from, message, tmp_path, tiny_options):
    if load_from == "other":
        load_from = str(tmp_path / "other.pth")
        torch.save({"roi_head.bbox_head.fc_cls.weight": torch.ones(3)}, load_from)
    options = {**tiny_options, "load_from": load_from}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    assert not (tmp_path / "run").exists()


HARMLESS = [
    {"type": "EmptyCacheHook"},
    {"type": "TextLoggerHook", "interval": 1},
    {"type": "CheckInvalidLossHook", "interval": 1},
    {"type": "SyncBuffersHook"},
    {"type": "DistSamplerSeedHook"},
    {"type": "NumClassCheckHook"},
]


def test_hooks_of_the_libraries_change_no_bit_and_leave_a_readable_run(tmp_path, tiny_options):
    hooks = HARMLESS
    plain = train(CONFIG, tmp_path / "plain", cfg_options=tiny_options, device="cpu")
    options = {**tiny_options, "custom_hooks": hooks}
    run = train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    assert [d for d in differences(run, plain) if not d.endswith(".log.json")] == []
    train(CONFIG, run.path, cfg_options=options, resume=True, device="cpu")
    predict(run.path, run.checkpoint, run.path, device="cpu")
    assert len(run.read_log()) == 6 and run.read_config()["custom_hooks"] == hooks
