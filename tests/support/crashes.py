"""Trainings that crash where one wants them to, are resumed, and compared with one that did not.

``make reliability`` goes through all of it, which takes minutes, and writes docs/interruption.md;
tests/detection/engine/test_interruption.py has a few of the cases.

Python tells an audit hook whatever is about to be opened, renamed or removed. So a crash can be put
before every change of a folder, which is after the one before it. For a crash in the middle of a
write, the kernel is told how large a file may become: it kills a process that goes beyond.
"""

import contextlib
import json
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcb.detection.checkpoint import read_checkpoint
from pcb.detection.engine.training import train
from pcb.runs.folder import RunFolder
from tests.support.tiny import CONFIG

# Two epochs of three iterations, with a checkpoint after the second and the third of each.
CHECKPOINTS = {"checkpoint_config": {"interval": 2, "by_epoch": False}}

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


@dataclass(frozen=True)
class Change:
    """One change of a folder.

    Attributes:
        event: Python's name of it; ``open`` is for writing.
        file: name of the file, also where it is written aside.
        appends: whether what is written goes to the end of what is there.
    """

    event: str
    file: str
    appends: bool = False


class Watch:
    """An audit hook, which counts the changes of a folder and can crash at one of them.

    Args:
        folder: the folder.
        before: number of the change before which the process is killed.
        within: number of the change, a write, in which it is killed.
        sizes: bytes of each file by name, half of which are written when that happens.
    """

    def __init__(
        self,
        folder: Path,
        before: int | None = None,
        within: int | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = str(folder)
        self.process = os.getpid()
        self.before, self.within, self.sizes = before, within, sizes or {}
        self.changes: list[Change] = []

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in EVENTS or not isinstance(arguments[0], str | Path):
            return
        path = str(arguments[0])
        if os.getpid() != self.process or not f"{path}/".startswith(f"{self.folder}/"):
            return
        flags = arguments[2] if event == "open" else os.O_WRONLY
        if not flags & os.O_ACCMODE:
            return  # for reading
        change = Change(event, plain_name(path), bool(flags & os.O_APPEND) and event == "open")
        number = len(self.changes)
        self.changes.append(change)
        if number == self.before:
            os.kill(self.process, signal.SIGKILL)
        if number == self.within:
            there = os.path.getsize(path) if change.appends and os.path.exists(path) else 0
            allow_bytes(there + 50 if change.appends else self.sizes.get(change.file, 20) // 2)


def plain_name(path: str) -> str:
    """Name of a file, also where it is written aside as ``.<name>.<32 digits>``."""
    name = Path(path).name
    return name[1:-33] if name.startswith(".") and len(name) > 34 else name


def allow_bytes(count: int) -> None:
    """Let the kernel kill this process when a file becomes larger."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def in_child(work: Callable[..., None], *arguments: Any, kill_after: float | None = None) -> int:
    """Do something in a process of its own, forked from one that has only imported everything.

    Args:
        work: a function of a module.
        arguments: of it.
        kill_after: seconds after which the process is killed.

    Returns:
        Its exit status, or the negative number of the signal that ended it.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["pcb.detection.engine.training"])
    child = processes.Process(target=work, args=arguments)
    child.start()
    child.join(kill_after)
    child.kill()
    child.join()
    return child.exitcode


def train_tiny(
    folder: Path,
    options: Mapping[str, Any],
    where: Mapping[str, Any] | None = None,
    told: Path | None = None,
) -> None:
    """Train, or go on with it.

    Args:
        folder: the run folder.
        options: overrides of the config.
        where: to crash, see :class:`Watch`.
        told: file to write the changes to when training is done.
    """
    if where is not None:
        watch = Watch(folder, **where)
        sys.addaudithook(watch)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        train(CONFIG, folder, 0, {**CHECKPOINTS, **options}, resume=True, device="cpu")
    if told is not None:
        told.write_text(json.dumps([vars(change) for change in watch.changes]))


def changes_of_training(folder: Path, options: Mapping[str, Any]) -> list[Change]:
    """Every change of a folder in which a training goes through undisturbed."""
    told = folder.with_name(f"{folder.name}-changes.json")
    if in_child(train_tiny, folder, options, {}, told) != 0:
        raise RuntimeError("the undisturbed training failed")
    return [Change(**change) for change in json.loads(told.read_text())]


def crash(folder: Path, options: Mapping[str, Any], **where: Any) -> None:
    """Train until a crash; see :class:`Watch` for where."""
    status = in_child(train_tiny, folder, options, where)
    if status not in (-signal.SIGKILL, -signal.SIGXFSZ):
        raise RuntimeError(f"the training did not crash, but ended with {status}")


def resume(folder: Path, options: Mapping[str, Any]) -> None:
    """Go on after a crash."""
    if in_child(train_tiny, folder, options) != 0:
        raise RuntimeError(f"the training in {folder} could not be resumed")


def differences(run: RunFolder, expected: RunFolder) -> list[str]:
    """What a run has otherwise than another one, to the last bit; nothing if all is the same."""
    ours, theirs = (read_checkpoint(folder.checkpoint) for folder in (run, expected))
    parts = ("meta", "state_dict", "optimizer")
    found = [part for part in parts if not _same(ours[part], theirs[part])]
    found += [
        read.__name__.removeprefix("read_")
        for read in (RunFolder.read_confusion, RunFolder.read_confusion_history)
        if not _same(read(run), read(expected))
    ]
    logs = [[(r["iter"], r["loss"]) for r in folder.read_log()] for folder in (run, expected)]
    if logs[0] != logs[1]:
        found.append("log")
    ours, theirs = ({f.relative_to(r.path) for f in r.path.rglob("*")} for r in (run, expected))
    return found + sorted(map(str, ours ^ theirs))


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, Mapping):
        return list(ours) == list(theirs) and all(_same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(theirs, np.ndarray):
        return np.array_equal(ours, theirs)
    return ours == theirs
