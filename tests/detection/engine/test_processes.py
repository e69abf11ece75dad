"""Training and testing under torchrun, with two processes on the CPU."""

import json
import os
import runpy
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pcb.runs.folder import RunFolder
from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_root
from pcb.storage.writing import writing_alone
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/tiny_pcb.py"
WORKER = Path(__file__).parents[2] / "support" / "process_worker.py"

# RoIs of the two processes in each step; in the second step, the first process has no positives.
ROIS = ((12, 12), (12, 12), (12, 0), (0, 0), (0, 12), (12, 12))


def run_nodes(*arguments):
    """Run ``torchrun`` as on two machines with one process each; return what they print."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2"]
    torchrun += ["--master_addr=localhost", f"--master_port={port}"]
    nodes = [
        subprocess.Popen(
            [*torchrun, f"--node_rank={node}", *map(str, arguments)],
            cwd=repository_root(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(2)
    ]
    try:
        with ThreadPoolExecutor() as readers:  # a full pipe would stall a process
            outputs = list(readers.map(lambda node: node.communicate(timeout=PATIENCE), nodes))
    finally:
        for node in nodes:
            node.terminate()  # has no effect on a node that has ended
    for node, (_, errors) in zip(nodes, outputs, strict=True):
        assert node.returncode == 0, errors
    return "".join(output for output, _ in outputs)


@pytest.fixture(scope="module")
def joined_batches():
    """Inputs for both processes: of a regression, and of a RoI head in each step."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    rois = []
    for step, sizes in enumerate(ROIS):
        parts = []
        for process, num in enumerate(sizes):
            labels = (torch.arange(num) + process) % 6  # 5 is background
            if (step, process) == (1, 0):
                labels.fill_(5)
            weights = draw(num)
            weights[:2] = 0
            parts.append((draw(num, 32, 7, 7), (labels, weights, draw(num, 4), draw(num, 4))))
        rois.append(parts)
    return [draw(8, 3) for _ in range(4)], rois


def test_two_processes_take_the_steps_of_one_on_the_joined_batch(joined_batches, tmp_path):
    batches, rois = joined_batches
    torch.save(batches, tmp_path / "batches.pt")
    torch.save(rois, tmp_path / "rois.pt")
    run_nodes(WORKER, "steps", tmp_path)
    first, second = (torch.load(tmp_path / f"{process}.pt") for process in range(2))
    worker = runpy.run_path(str(WORKER))

    single = worker["train_regression"](batches, tmp_path)
    for found in (first, second):
        torch.testing.assert_close(found["regression"], single, rtol=0, atol=1e-12)
    assert single["weight"].abs().min() > 0.1  # the training has an effect

    orders, seeds = zip(*first["drawn"], *second["drawn"], strict=True)
    for epoch in (0, 1):  # each process has its half of the images
        assert sorted(orders[epoch] + orders[2 + epoch]) == list(range(8))
    assert orders[0] != orders[1]
    assert len(set(seeds)) == 4

    # Losses are means over a process's RoIs, and 0 for a process without any.
    shares = [sum(num > 0 for num in sizes) / 2 for sizes in ROIS]
    joined = [
        (torch.cat([a[0], b[0]]), [torch.cat(both) for both in zip(a[1], b[1], strict=True)])
        for a, b in rois
    ]
    for loss, *found in zip(worker["LOSSES"], first["refined"], second["refined"], strict=True):
        expected = list(worker["refine"](loss, joined, shares))
        assert expected[-1]["state"]["bbox_head.loss_cls.num_inst_cnt"].min() > 0  # PCB acts
        for share, one, *both in zip(shares, expected, *found, strict=True):
            _compare_steps(one, both, share)


def _compare_steps(one, both, share):
    """Compare one step of a single process with that of two processes, in double precision.

    The tolerance allows for mmdet's box loss, which divides by the number of RoIs plus 1.2e-7.
    """
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-7)
    for process in both:
        assert [name for name, _ in process["terms"]] == [name for name, _ in one["terms"]]
        assert {v.dtype for v in process["state"].values()} == {torch.float64}
        for kind in ("gradients", "state"):
            close(process[kind], one[kind])
        for name, value in one["terms"]:
            if "loss" in name:
                assert dict(process["terms"])[name] == pytest.approx(share * value, abs=1e-7)
    scattered = torch.cat([process["of features"] for process in both]) / 2
    close(scattered, one["of features"])


@pytest.fixture(scope="module")
def mostly_empty(tiny_openmoji, tmp_path_factory):
    """Training annotations with objects on 11 of the 24 images.

    Each process has one image per step. Among the 12 steps of an epoch there is one in which only
    one process has objects, because 11 is odd, and one in which none has, because 11 < 12.
    """
    content = json.loads((tiny_openmoji / "annotations" / "train.json").read_text())
    kept = {image["id"] for image in content["images"][:11]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    path = tmp_path_factory.mktemp("annotations") / "train.json"
    path.write_text(json.dumps(content))
    return path


def test_two_nodes_train_one_run_without_rois_and_predict_what_one_predicts(
    tiny_options, mostly_empty, tmp_path
):
    options = {
        **tiny_options,
        "data.train.ann_file": str(mostly_empty),
        "data.train.filter_empty_gt": False,
        "data.samples_per_gpu": 1,
        "model.train_cfg.rpn_proposal.max_per_img": 0,  # the objects are the only RoIs
        "evaluation": {"interval": 2},
    }
    common = ["--device", "cpu", "--cfg-options", json.dumps(options)]
    run = RunFolder(tmp_path / "seed0")
    output = run_nodes(WORKER, "train", tmp_path, CONFIG, "--work-dir", run.path, *common)
    assert output.count("Training finished: ") == 1
    first, second = (torch.load(tmp_path / f"{process}.pt") for process in range(2))
    rois = list(zip(first["rois"], second["rois"], strict=True))
    assert {tuple(num > 0 for num in step) for step in rois} > {(False, False)}
    assert (True, False) in {tuple(num > 0 for num in step) for step in rois}
    for found in (first, second):
        assert all(value.isfinite().all() for value in found["state"].values())
    # Batch normalisation keeps its own statistics on each process.
    states = [
        {name: value for name, value in found["state"].items() if "running_" not in name}
        for found in (first, second)
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)

    *log, validation = run.read_log()
    assert [record["iter"] for record in log] == list(range(1, 25))
    assert all(np.isfinite(record["loss"]) for record in log)
    assert log[-1]["pcb_gate"]
    assert run.read_environment()["processes"] == 2
    # Each object is counted in each of three iterations, on one of the processes.
    assert run.read_confusion()["instance_count"].sum() == 3 * sum(map(sum, rois))
    assert list(run.read_confusion_history()) == [1, 2]

    files = [run.predictions(iou_type) for iou_type in ("bbox", "segm")]
    predictions, matrices, metrics = [], [], []
    test = ["-m", "pcb", "test", CONFIG, run.checkpoint, *common]
    for start in (run_nodes, run_alone):
        start(*test)
        predictions.append([file.read_bytes() for file in files])
        matrices.append(run.read_confusion())
        metrics.append(run.read_metrics())
        for file in files:
            file.unlink()
    assert predictions[0] == predictions[1] and len(predictions[0][0]) > 2
    # The first process's statistics are in the checkpoint, so all processes validate with them.
    assert validation["epoch"] == 2
    for found in metrics:
        assert validation["bbox_AP"] == found["bbox"]["AP"]
        assert validation["segm_AP"] == found["segm"]["AP"]
    counts = [found["ground_truth_box_count"] for found in matrices]
    np.testing.assert_array_equal(*counts)
    assert counts[0].min() > 0
    boxes = [found["ground_truth_boxes"] for found in matrices]
    np.testing.assert_allclose(*boxes, rtol=0, atol=1e-6)
    assert {path.name for path in files[0].parent.iterdir()} == {"source.json"}
    assert_second_prediction_is_refused(test, run)


def assert_second_prediction_is_refused(test, run):
    """A second prediction leaves the parts of both processes of the first one alone."""
    parts = [run.path / "predictions" / f".bbox.{process}.part" for process in range(2)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with writing_alone(run.path, "prediction"):
        for part in parts:
            write_atomically(part, "of the first")
        second = subprocess.run(
            [*torchrun, "--nproc_per_node=2", *map(str, test)],
            cwd=repository_root(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert second.returncode != 0
    assert f"process {os.getpid()} on " in second.stderr
    assert [part.read_text() for part in parts] == ["of the first"] * 2


def run_alone(*arguments):
    """Run one process without torchrun."""
    command = [sys.executable, *map(str, arguments)]
    outcome = subprocess.run(
        command, cwd=repository_root(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert outcome.returncode == 0, outcome.stderr
