"""Runs are grouped, compared with a baseline, and remarked on."""

from pathlib import Path

import pytest

from pcb.runs.comparison import distinct_names, group_runs, remarks
from pcb.runs.folder import RunFolder

PLAIN = {"type": "CrossEntropyPCBLoss", "alpha": 0.0, "momentum": 0.75}
PCB = {**PLAIN, "alpha": 0.4, "momentum": 0.92, "start_epoch": 4}


def make(root: Path, name: str, ap: float = 0.1, loss: dict = PLAIN, lr: float = 0.001) -> str:
    run = RunFolder(root / name).create()
    head = {"type": "StandardRoIHead", "bbox_head": {"loss_cls": loss}}
    if loss is not PLAIN:
        head |= {"type": "IterativeRoIHead", "n_iter": 3}
    optimizer = {"type": "AdamW", "lr": lr}
    run.config_file.write_text(
        f"model = {dict(roi_head=head)!r}\noptimizer = {optimizer!r}\npcb = {{}}\n"
    )
    run.write_metrics({"segm": {"AP": ap, "APr": float("nan")}})
    return str(run.path)


def pairing(runs, **options) -> list[tuple[str, str | None]]:
    configs = group_runs(runs, **options)
    return [(config.name, config.baseline and config.baseline.name) for config in configs]


def test_runs_are_grouped_by_config_and_paired_by_seed(tmp_path):
    runs = [make(tmp_path, f"o/softmax/seed{seed}", ap) for seed, ap in ((0, 0.2), (1, 0.3))]
    runs += [make(tmp_path, f"o/softmax_pcb/seed{n}", ap, PCB) for n, ap in ((1, 0.35), (2, 0.9))]
    plain, pcb = group_runs([*runs, runs[0]])  # a repeated run counts once
    assert (plain.name, list(plain.runs)) == ("softmax", [0, 1])
    assert plain.estimate("segm", "AP").mean == pytest.approx(0.25)
    assert pcb.baseline is plain and list(pcb.pairs) == [1]
    assert pcb.difference("segm", "AP").values == pytest.approx((0.05,))
    assert pcb.difference("segm", "APr").n == pcb.difference("bbox", "AP").n == 0
    assert remarks([plain, pcb]) == [
        "softmax_pcb is compared with softmax over one seed (1). One seed cannot show how "
        "much of the difference is due to chance, so there is no confidence interval."
    ]


@pytest.mark.parametrize(
    "kind, strength", [("SeesawPCBLoss", "alpha"), ("EQLv2PCBLoss", "alpha_pcb")]
)
def test_pcb_that_never_acted_is_remarked(tmp_path, kind, strength):
    loss = {"type": kind, strength: 0.4, "start_epoch": 4}
    for epochs in (3, 4):
        run = RunFolder(make(tmp_path, "o/seesaw_pcb/seed0", loss=loss))
        with open(run.config_file, "a") as file:
            file.write(f"runner = {{'max_epochs': {epochs}}}\n")
        remarked = any("PCB never acted in" in text for text in remarks(group_runs([run])))
        assert remarked == (epochs == 3)


@pytest.mark.parametrize(
    "names, expected",
    [
        (["rfs_pcb", "softmax_pcb", "softmax", "rfs"], "softmax<softmax_pcb rfs<rfs_pcb"),
        (["softmax", "rfs"], "softmax<rfs"),  # neither with PCB: with the first
        (["softmax", "eqlv2_pcb", "rfs", "rfs_pcb"], "softmax<eqlv2_pcb rfs<rfs_pcb"),
        (["rfs_pcb", "softmax_pcb"], "rfs_pcb<softmax_pcb"),
        (["softmax_pcb", "rfs_pcb", "softmax"], "softmax<softmax_pcb softmax<rfs_pcb"),
        (
            ["softmax", "softmax_pcb", "softmax_pcb_literal"],
            "softmax<softmax_pcb softmax<softmax_pcb_literal",
        ),
        (["softmax-lr2", "softmax_pcb-lr2"], "softmax-lr2<softmax_pcb-lr2"),
    ],
)
def test_baseline_is_the_plain_counterpart_or_the_first(names, expected):
    found = pairing([f"o/{name}/seed0" for name in names])
    assert {f"{base}<{name}" for name, base in found if base} == set(expected.split())
    order = [name for name, _ in found]
    assert sorted(order) == sorted(names)
    assert all(base is None or order.index(base) < order.index(name) for name, base in found)


def test_only_counterparts_are_baselines_on_request():
    runs = [f"o/{name}/seed0" for name in ("softmax", "rfs", "eqlv2_pcb", "rfs_pcb")]
    pairs = [("softmax", None), ("rfs", None), ("rfs_pcb", "rfs"), ("eqlv2_pcb", None)]
    assert pairing(runs, or_first=False) == pairs


def test_folders_of_other_names_are_configs_of_their_own(tmp_path):
    runs = [make(tmp_path, f"mine/{name}") for name in ("model", "model_pcb", "seed00")]
    RunFolder(runs[0]).write_environment({"seed": 3})
    RunFolder(runs[1]).write_environment({"seed": 3})
    model, pcb, odd = sorted(group_runs(runs), key=lambda config: config.name)
    assert [list(config.runs) for config in (model, pcb, odd)] == [[3], [3], [None]]
    assert pcb.baseline is model and list(pcb.pairs) == [3] and not odd.pairs


def test_one_config_in_two_places_is_two_configs(tmp_path):
    runs = [make(tmp_path, f"{place}/o/softmax/seed0") for place in ("before", "after")]
    assert pairing(runs) == [("before", None), ("after", "before")]


def test_differences_other_than_pcb_are_named(tmp_path):
    runs = [make(tmp_path, f"o/softmax/seed{n}") for n in (0, 1)]
    runs += [make(tmp_path, f"o/softmax_pcb/seed{n}", loss=PCB, lr=0.002) for n in (0, 1)]
    compared, more = remarks(group_runs(runs))
    assert compared == "softmax_pcb is compared with softmax over 2 seeds (0, 1)."
    assert more == (
        "softmax_pcb differs from softmax in settings other than those of PCB: "
        "optimizer.lr (0.002 instead of 0.001)."
    )


MACHINE = {"device": "cpu", "cpu": "Abacus 1", "cpu_capability": "AVX2", "threads": 1}


@pytest.mark.parametrize(
    "ours, theirs, named",
    [
        (
            MACHINE,
            MACHINE | {"cpu_capability": "AVX512"},
            ["cpu_capability ('AVX512' instead of 'AVX2')"],
        ),
        (MACHINE, MACHINE | {"cpu": "Abacus 2", "threads": 4}, ["cpu ('Abacus 2'", "threads (4"]),
        (MACHINE | {"torch": "2.11.0"}, MACHINE | {"torch": "2.12.0"}, ["torch ('2.12.0' instead"]),
        (MACHINE, MACHINE | {"device": "A GPU"}, ["device ('A GPU' instead of 'cpu')"]),
        (MACHINE, MACHINE | {"seed": 7, "commit": "abc"}, []),
        ({"device": "cpu"}, MACHINE, []),  # an earlier version did not record the processor
        (MACHINE | {"device": "A GPU"}, MACHINE | {"device": "A GPU", "threads": 4}, []),
    ],
)
def test_other_machines_and_versions_are_named(tmp_path, ours, theirs, named):
    runs = [make(tmp_path, "o/softmax/seed0"), make(tmp_path, "o/softmax_pcb/seed0", loss=PCB)]
    for run, environment in zip(runs, (ours, theirs), strict=True):
        RunFolder(run).write_environment(environment)
    found = [text for text in remarks(group_runs(runs)) if "same conditions" in text]
    assert len(found) == bool(named)
    assert all(part in found[0] for part in named)


def test_runs_of_a_config_that_differ_are_named(tmp_path):
    runs = [make(tmp_path, "o/rfs/seed0"), make(tmp_path, "o/rfs/seed1", lr=0.5)]
    differing, alone = remarks(group_runs(runs))
    assert differing == (
        "The runs of o/rfs differ in optimizer.lr (0.5 instead of 0.001), so their mean mixes "
        "results of different settings."
    )
    assert alone == "There is only one config, so there is nothing to compare it with."


def test_lack_of_a_common_seed_is_remarked(tmp_path):
    runs = [make(tmp_path, "o/rfs/seed0"), make(tmp_path, "o/softmax_pcb/seed1", loss=PCB)]
    assert remarks(group_runs(runs)) == [
        "softmax_pcb and rfs have no seed in common: train both with the same seed to compare them."
    ]


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a/b/c"], ["a/b/c"]),
        (["o/plain/seed0", "o/plain/seed1"], ["seed0", "seed1"]),
        (["o/plain/seed0", "o/pcb/seed1"], ["plain/seed0", "pcb/seed1"]),
        (["o/plain", "o/pcb/seed1"], ["o/plain", "o/pcb/seed1"]),
        (["o/a/s", "o/a/s"], ["o/a/s", "o/a/s"]),
    ],
)
def test_shared_parts_are_left_out_of_names(names, expected):
    assert distinct_names(names) == expected
