"""Training and testing under torchrun, with two processes on the CPU."""

import subprocess
import sys

import numpy as np
import pytest

from pcb.runs import RunFolder, repository_root

CONFIG = "tests/configs/tiny_pcb.py"


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

    files = [run.predictions(iou_type) for iou_type in ("bbox", "segm")]
    predictions = []
    for processes in (2, 1):
        run_pcb(processes, "test", CONFIG, run.checkpoint)
        predictions.append([file.read_bytes() for file in files])
        for file in files:
            file.unlink()
    assert predictions[0] == predictions[1] and len(predictions[0][0]) > 2
    assert {path.name for path in files[0].parent.iterdir()} == {"source.json"}
