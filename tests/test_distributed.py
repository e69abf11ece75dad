"""Sums over processes: every process takes part, even one that has nothing to add."""

import socket
import subprocess
import sys

import pytest
import torch

from pcb.distributed import process_group, rank, sum_over_processes, world_size
from tests.support.patience import PATIENCE

# Run by each process on its part of every batch, and by the test on the whole batch.
STEPS = """
import torch
from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

def losses():
    for loss, activation, width in (
        (CrossEntropyLoss, "softmax", 4), (SeesawLoss, "softmax", 5), (EQLv2Loss, "sigmoid", 4)
    ):
        balance = PairwiseClassBalance(3, alpha=0.4, activation=activation)
        yield loss(3, balance, background="last").double(), width

def steps(loss, width, batches):
    '''Yield the loss, its gradient by the logits, and the state after each batch.'''
    for logits, labels in batches:
        logits = logits[:, :width].requires_grad_()
        value = loss(logits, labels)
        value = sum(value.values()) if isinstance(value, dict) else value
        (gradient,) = torch.autograd.grad(value, logits)
        yield value.detach(), gradient, {k: v.clone() for k, v in loss.state_dict().items()}
"""
WORKER = (
    STEPS
    + """
import sys
from pcb.distributed import process_group, rank

folder = sys.argv[1]
with process_group(torch.device("cpu")):
    batches = [batch[rank()] for batch in torch.load(f"{folder}/batches.pt")]
    found = [list(steps(*loss, batches)) for loss in losses()]
    torch.save(found, f"{folder}/{rank()}.pt")
"""
)
# Number of samples of the two processes in each step.
SIZES = ((6, 6), (6, 6), (5, 0), (0, 0), (3, 7), (0, 4), (6, 6))
WITHOUT_POSITIVES = {(1, 0), (2, 0), (4, 1)}  # (step, process)


def torchrun(*arguments):
    """Run a worker in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, timeout=PATIENCE)


@pytest.mark.slow
def test_two_processes_compute_what_one_computes_from_the_joined_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    parts = [
        [
            (
                torch.randn(n, 5, generator=generator, dtype=torch.float64),
                (torch.arange(n) + process) % 4  # 3 is background
                if (step, process) not in WITHOUT_POSITIVES
                else torch.full((n,), 3),
            )
            for process, n in enumerate(sizes)
        ]
        for step, sizes in enumerate(SIZES)
    ]
    torch.save(parts, tmp_path / "batches.pt")
    (tmp_path / "worker.py").write_text(WORKER)
    outcome = torchrun(tmp_path / "worker.py", tmp_path)
    assert outcome.returncode == 0, outcome.stderr.decode()

    namespace = {}
    exec(STEPS, namespace)  # noqa: S102
    joined = [tuple(torch.cat(tensors) for tensors in zip(*batch, strict=True)) for batch in parts]
    found = [torch.load(tmp_path / f"{process}.pt") for process in range(2)]
    for loss, *of_processes in zip(namespace["losses"](), *found, strict=True):
        expected = list(namespace["steps"](*loss, joined))
        assert loss[0].balance.is_active()
        for step, (first, second) in enumerate(zip(*of_processes, strict=True)):
            value, gradient, state = expected[step]
            for buffers in (first[2], second[2]):
                assert {buffer.dtype for buffer in buffers.values()} == {torch.float64}
                torch.testing.assert_close(buffers, state, rtol=0, atol=1e-12)
            sizes = set(SIZES[step]) - {0}
            if len(sizes) > 1:
                continue  # each averages over its own number of samples
            # If one process has no samples, half of the mean is 0.
            share = sum(n > 0 for n in SIZES[step]) / 2
            mean = (first[0] + second[0]) / 2
            torch.testing.assert_close(mean, share * value, rtol=0, atol=1e-12)
            gradients = torch.cat([first[1], second[1]]) / 2
            torch.testing.assert_close(gradients, share * gradient, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others_and_says_why(tmp_path):
    """A process fails while the others are already waiting for it."""
    (tmp_path / "worker.py").write_text(
        """
import time
import torch
from pcb.distributed import process_group, rank, sum_over_processes

with process_group(torch.device("cpu")):
    sum_over_processes(torch.ones(1))
    if rank() == 1:
        raise ValueError("what went wrong on process 1")
    try:
        sum_over_processes(torch.ones(1))
        print("summed")
    except RuntimeError:  # gloo notices that the other is gone; nccl keeps waiting
        time.sleep(3600)
    print("reached")
"""
    )
    outcome = torchrun(tmp_path / "worker.py")
    assert outcome.returncode != 0
    assert b"what went wrong on process 1" in outcome.stderr
    assert outcome.stdout == b""


def test_without_a_group_there_is_one_process_and_the_sum_is_the_tensor_itself():
    tensor = torch.rand(3)
    with process_group(torch.device("cpu")):
        assert sum_over_processes(tensor) is tensor
        assert (rank(), world_size()) == (0, 1)


def test_sum_does_not_modify_its_argument(monkeypatch):
    monkeypatch.setattr("pcb.distributed.world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(2))
    tensor = torch.ones(2)
    assert sum_over_processes(tensor).tolist() == [2, 2] and tensor.tolist() == [1, 1]


def test_group_is_closed_at_the_end_but_not_after_an_error(monkeypatch):
    """Closing an nccl group waits for processes that may be waiting for this one."""
    calls = []
    for name, value in environment_of(rank="1").items():
        monkeypatch.setenv(name, value)
    module = sys.modules["torch.distributed.rendezvous"]
    monkeypatch.setattr(module, "rendezvous", lambda *args, **kwargs: iter([("store", 1, 2)]))
    monkeypatch.setattr(
        "torch.distributed.init_process_group",
        lambda backend, device_id, **_: calls.append((backend, device_id)),
    )
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: calls.append("closed"))
    gpu = torch.device("cuda", 1)
    with process_group(gpu):
        pass
    with pytest.raises(RuntimeError), process_group(torch.device("cpu")):
        raise RuntimeError
    assert calls == [("nccl", gpu), "closed", ("gloo", None)]


VALIDATING = """
import sys
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss
from pcb.distributed import process_group, rank

folder, validates = sys.argv[1], sys.argv[2] == "True"

def train(loss_type, activation):
    torch.manual_seed(0)
    balance = PairwiseClassBalance(3, alpha=0.4, start_epoch=2, activation=activation)
    model, criterion = DistributedDataParallel(nn.Linear(2, 3)), loss_type(3, balance)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    labels = torch.arange(6) % 3

    def step():
        losses = criterion(model(torch.randn(6, 2)), labels)
        return sum(losses.values()) if isinstance(losses, dict) else losses

    for epoch in (1, 2, 3):
        balance.set_epoch(epoch)
        model.train()
        torch.manual_seed(epoch + 10 * rank())
        for _ in range(3):
            optimizer.zero_grad()
            step().backward()
            optimizer.step()
        if validates and rank() == 0:
            model.eval()
            model_of_one = model.module
            with torch.no_grad():
                for _ in range(5):
                    criterion(model_of_one(torch.randn(6, 2)), labels)
    return criterion.state_dict() | model.state_dict()

with process_group(torch.device("cpu")):
    losses = ((CrossEntropyLoss, "softmax"), (SeesawLoss, "softmax"), (EQLv2Loss, "sigmoid"))
    torch.save([train(*loss) for loss in losses], f"{folder}/{validates}{rank()}.pt")
"""


@pytest.mark.slow
def test_one_process_of_two_validates(tmp_path):
    """The process does not wait for the other one, and its state stays the same."""
    (tmp_path / "worker.py").write_text(VALIDATING)
    for validates in (False, True):
        outcome = torchrun(tmp_path / "worker.py", tmp_path, validates)
        assert outcome.returncode == 0, outcome.stderr.decode()
    found = [
        torch.load(tmp_path / f"{validates}{process}.pt")
        for validates in (False, True)
        for process in (0, 1)
    ]
    assert found[0][0]["balance.instance_count"].tolist() == [3 * 3 * 4] * 3
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


def environment_of(rank: str = "0", world_size: str = "2", port: str = "29500") -> dict[str, str]:
    """Return the environment that torchrun gives to a process."""
    numbers = {"WORLD_SIZE": world_size, "RANK": rank, "MASTER_PORT": port}
    return {**numbers, "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "x"}


@pytest.mark.parametrize(
    "environment, message",
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is set, but RANK, MASTER_ADDR, MASTER_PORT are not. .* unset",
        ),
        ({"RANK": "1"}, "RANK is set, but WORLD_SIZE, MASTER_ADDR, MASTER_PORT are not"),
        (
            {"WORLD_SIZE": "2", "RANK": "0"},
            "WORLD_SIZE, RANK are set, but MASTER_ADDR, MASTER_",
        ),
        (
            environment_of(rank="2"),
            "RANK must be less than WORLD_SIZE=2, got 2",
        ),
        (environment_of(rank="1", world_size="1"), "RANK must be less than WORLD_SIZE=1, got 1"),
        (environment_of(world_size="0"), "RANK must be less than WORLD_SIZE=0, got 0"),
        (
            environment_of(world_size="two"),
            "WORLD_SIZE must be a whole number, got 'two'; start the proc",
        ),
        (environment_of(rank="-1"), "RANK must be a whole number, got '-1'"),
        (environment_of(port="99999"), "MASTER_PORT must lie in"),
        (
            {**environment_of(), "PCB_WAIT_MINUTES": "soon"},
            "PCB_WAIT_MINUTES must lie in \\(0, 1440\\], got 'soon'",
        ),
    ],
)
def test_incomplete_environment_is_an_error(environment, message, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), process_group(torch.device("cpu")):
        pass


@pytest.mark.parametrize("rank", ["0", "1"])
def test_waiting_for_others_ends_with_an_error(rank, monkeypatch, capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in environment_of(rank=rank, port=port).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    monkeypatch.setenv("PCB_WAIT_MINUTES", "0.02")
    message = f"process with RANK={rank} could not reach .* at 127.0.0.1:{port}.*: start all 2 proc"
    with pytest.raises(ValueError, match=message), process_group(torch.device("cpu")):
        pass
    printed = capfd.readouterr().err
    assert f"The process with RANK={rank} waits up to 0.02 min for the other processes" in printed
    assert "frame #" not in printed  # from torch's own stack trace


def test_port_in_use_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        for name, value in environment_of(port=str(taken.getsockname()[1])).items():
            monkeypatch.setenv(name, value)
        cpu, message = torch.device("cpu"), "this port is in use: set a different MASTER_PORT"
        with pytest.raises(ValueError, match=message), process_group(cpu):
            pass
