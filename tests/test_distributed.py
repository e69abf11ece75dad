"""Sums over processes: every one takes part, also one that has nothing to add."""

import subprocess
import sys

import torch

from pcb import PairwiseClassBalance

WORKER = """
import sys
import torch
import torch.distributed as dist
from pcb import PairwiseClassBalance

rank, store, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
balance = PairwiseClassBalance(3, alpha=0.4)
for step in range(3):
    logits, labels = torch.load(f"{folder}/{step}.pt")[rank]
    balance.observe(logits, labels)
torch.save(balance.state_dict(), f"{folder}/state{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_see_what_one_sees_of_the_joined_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    single = PairwiseClassBalance(3, alpha=0.4)
    for step, sizes in enumerate([(4, 6), (5, 0), (0, 0)]):  # none on one process, then on both
        parts = [
            (torch.randn(n, 3, generator=generator), torch.randint(3, (n,), generator=generator))
            for n in sizes
        ]
        torch.save(parts, tmp_path / f"{step}.pt")
        single.observe(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
    command = [sys.executable, "-W", "ignore", "-c", WORKER]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store"), str(tmp_path)])
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"state{rank}.pt"), single.state_dict())


def test_without_a_group_a_sum_is_what_was_given():
    from pcb.distributed import sum_over_processes

    tensor = torch.rand(3)
    assert sum_over_processes(tensor) is tensor
