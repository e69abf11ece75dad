"""Training and testing under torchrun, with two processes on the CPU."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pcb.runs import RunFolder, repository_root

CONFIG = "tests/configs/tiny_pcb.py"

# One process of a training of its own, small enough to be compared number by number.
WORKER = """
import logging, sys
import numpy as np
import torch
from mmcv.utils import Config
from pcb.detection.runner import Runner
from pcb.detection.training import _build_loader
from pcb.distributed import process_group, rank, world_size

class Regression(torch.nn.Linear):
    def train_step(self, batch, _optimizer):
        loss = (self(batch) - batch.sum(1, keepdim=True)).square().mean()
        return {"loss": loss, "log_vars": {}, "num_samples": len(batch)}

class Images(list):
    flag = np.zeros(8, dtype=np.int64)  # their aspect ratios

with process_group(torch.device("cpu")):
    model = Regression(3, 1).double()
    for parameter in model.parameters():
        parameter.data.fill_(rank())  # all have to start from the first one's
    runner = Runner(
        model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        work_dir=sys.argv[1],
        logger=logging.getLogger("test"),
        max_epochs=1,
        device=torch.device("cpu"),
        seed=5,
    )
    runner.register_optimizer_hook({"grad_clip": None})
    batches = torch.load(f"{sys.argv[1]}/batches.pt")
    runner.run([batch.chunk(world_size())[rank()] for batch in batches])

    cfg = Config({"data": {"samples_per_gpu": 2, "workers_per_gpu": 0}})
    loader, drawn = _build_loader(cfg, Images(range(8)), seed=5), []
    for epoch in (0, 1):
        runner.data_loader, runner._epoch = loader, epoch
        runner._seed_sources()
        drawn.append((list(map(int, loader.sampler)), torch.initial_seed()))
    torch.save((dict(model.state_dict()), drawn), f"{sys.argv[1]}/{world_size()}.{rank()}.pt")
"""


@pytest.fixture
def run_pcb(tiny_options):
    """Run ``pcb`` in so many processes."""

    def run(processes, *arguments):
        options = [f"{key}={value}" for key, value in tiny_options.items()]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={processes}", "-m", "pcb", *map(str, arguments)]
        command += ["--device", "cpu", "--cfg-options", "data.samples_per_gpu=4", *options]
        outcome = subprocess.run(
            command, cwd=repository_root(), capture_output=True, text=True, timeout=300
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    return run


def test_two_processes_take_the_steps_of_one_on_the_joined_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 3, generator=generator).double() for _ in range(4)]
    torch.save(batches, tmp_path / "batches.pt")
    (tmp_path / "worker.py").write_text(WORKER)
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={processes}", str(tmp_path / "worker.py"), str(tmp_path)]
        subprocess.run(command, cwd=repository_root(), check=True, timeout=120)
    (single, _), first, second = (torch.load(tmp_path / f"{n}.pt") for n in ("1.0", "2.0", "2.1"))
    for state, _ in (first, second):
        torch.testing.assert_close(state, single, rtol=0, atol=1e-12)
    assert single["weight"].abs().min() > 0.1  # something has been learned

    orders, seeds = zip(*first[1], *second[1], strict=True)
    for epoch in (0, 1):  # each process has its half of the images
        assert sorted(orders[epoch] + orders[2 + epoch]) == list(range(8))
    assert orders[0] != orders[1]
    assert len(set(seeds)) == 4


def test_two_processes_train_one_run_and_predict_what_one_predicts(run_pcb, tmp_path):
    run = RunFolder(tmp_path / "seed0")
    output = run_pcb(2, "train", CONFIG, "--work-dir", run.path)
    assert output.count("Trained: ") == 1
    log = run.read_log()
    # 24 images in two epochs, four a process and step.
    assert [record["iter"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(record["loss"]) for record in log)
    assert run.read_environment()["processes"] == 2
    # Each object is seen in each of three iterations, on whichever process.
    assert run.read_confusion()["instance_count"].min() > 0
    assert list(run.read_confusion_history()) == [1, 2]

    files = [run.predictions(iou_type) for iou_type in ("bbox", "segm")]
    predictions, matrices = [], []
    for processes in (2, 1):
        run_pcb(processes, "test", CONFIG, run.checkpoint)
        predictions.append([file.read_bytes() for file in files])
        matrices.append(run.read_confusion())
        for file in files:
            file.unlink()
    assert predictions[0] == predictions[1] and len(predictions[0][0]) > 2
    counts = [found["ground_truth_box_count"] for found in matrices]
    np.testing.assert_array_equal(*counts)
    assert counts[0].min() > 0
    boxes = [found["ground_truth_boxes"] for found in matrices]
    np.testing.assert_allclose(*boxes, rtol=0, atol=1e-6)
    assert {path.name for path in files[0].parent.iterdir()} == {"source.json"}
