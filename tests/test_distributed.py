"""Sums over processes: every one takes part, also one that has nothing to add."""

import subprocess
import sys

import pytest
import torch

from pcb.distributed import process_group, rank, sum_over_processes, world_size

LOSSES = """
import torch
from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

def losses():
    for loss, activation, width in (
        (CrossEntropyLoss, "softmax", 4), (SeesawLoss, "softmax", 5), (EQLv2Loss, "sigmoid", 4)
    ):
        yield loss(3, PairwiseClassBalance(3, alpha=0.4, activation=activation)), width

def observe(loss, width, batches):
    for logits, labels in batches:
        loss(logits[:, :width], labels)
    return loss.state_dict()
"""
WORKER = (
    LOSSES
    + """
import sys
from pcb.distributed import process_group, rank

folder = sys.argv[1]
with process_group(torch.device("cpu")):
    batches = [batch[rank()] for batch in torch.load(f"{folder}/batches.pt")]
    states = [observe(*loss, batches) for loss in losses()]
    torch.save(states, f"{folder}/states{rank()}.pt")
"""
)


def test_two_processes_see_what_one_sees_of_the_joined_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    parts = [
        [
            (
                torch.randn(n, 5, generator=generator),
                torch.randint(highest + 1, (n,), generator=generator),
            )
            for n, highest in sizes
        ]
        # Samples and highest label on each process; without positives or samples on one or both.
        for sizes in (((4, 3), (6, 2)), ((5, 2), (0, 0)), ((0, 0), (0, 0)), ((3, 3), (7, 3)))
    ]
    for batch in parts:
        for _, labels in batch:
            labels[:1] = 3  # background
    parts[1][0][1][:] = 3
    torch.save(parts, tmp_path / "batches.pt")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--standalone", str(tmp_path / "worker.py"), str(tmp_path)]
    (tmp_path / "worker.py").write_text(WORKER)
    subprocess.run(command, check=True, timeout=120)

    namespace = {}
    exec(LOSSES, namespace)
    joined = [tuple(torch.cat(tensors) for tensors in zip(*batch, strict=True)) for batch in parts]
    for number, (loss, width) in enumerate(namespace["losses"]()):
        expected = namespace["observe"](loss, width, joined)
        for process in range(2):
            found = torch.load(tmp_path / f"states{process}.pt")[number]
            torch.testing.assert_close(dict(found), dict(expected))


def test_without_a_group_there_is_one_process_and_a_sum_is_what_was_given():
    tensor = torch.rand(3)
    with process_group(torch.device("cpu")):
        assert sum_over_processes(tensor) is tensor
        assert (rank(), world_size()) == (0, 1)


def test_sum_does_not_touch_what_was_given(monkeypatch):
    monkeypatch.setattr("pcb.distributed.world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(2))
    tensor = torch.ones(2)
    assert sum_over_processes(tensor).tolist() == [2, 2] and tensor.tolist() == [1, 1]


def test_group_is_left_after_an_error(monkeypatch):
    calls = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.init_process_group", calls.append)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: calls.append("left"))
    with pytest.raises(RuntimeError), process_group(torch.device("cuda")):
        raise RuntimeError
    assert calls == ["nccl", "left"]
