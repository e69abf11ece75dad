"""Read and write configs, and reject every key that has no effect."""

import copy
import keyword
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmcv.utils import Config, ConfigDict

from pcb.detection.config.faults import faults, ignored_keys
from pcb.detection.config.keys import TOP_LEVEL
from pcb.detection.config.overrides import apply_overrides
from pcb.messages.faults import numbered
from pcb.messages.nearest import suggestion
from pcb.messages.printable import shortened
from pcb.runs.folder import RunFolder
from pcb.storage.files import write_atomically
from pcb.storage.literals import format_literal, to_literal
from pcb.storage.repository import repository_path, repository_root

_DATA_PATHS = ("ann_file", "img_prefix")
_WRONG_ARGUMENTS = re.compile(
    "unexpected keyword argument|missing [0-9]+ required|multiple values for|not in the .* registry"
    '|must contain the key "type"|cfg must be a dict'
)
_FILE_TYPES = (".py", ".json", ".yaml", ".yml")  # those that mmcv reads
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


def load_config(
    path: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    for_training: bool = True,
) -> Config:
    """Read and check a config file, and make its data paths absolute.

    A config file is a Python program, which this function executes. If ``path`` is a folder, the
    function reads ``config.py`` in this folder, but does not execute it.

    Args:
        path: The config file, or the output folder of a training run. A relative path is looked up
            first in the current directory, then in the repository root.
        cfg_options: New values of settings. The keys are dotted, as in ``{"runner.max_epochs": 1}``
            or ``{"data.train.pipeline.2.flip_ratio": 0.0}``.
        for_training: Whether the config will be used for training. If False, fewer settings are
            checked.

    Raises:
        FileNotFoundError: The file does not exist, or the folder contains no config.
        ValueError: The file cannot be read.
        ValueError: A key is unknown, or a value is not supported, has the wrong type or cannot be
            saved. One message lists all faults.

    Example:
        >>> cfg = load_config("configs/openmoji/softmax.py", {"runner.max_epochs": 1})
        >>> cfg.runner.max_epochs
        1
    """
    cfg = _read(path)
    of_a_run = not cfg.filename or _is_of_a_run(Path(cfg.filename))
    found = apply_overrides(cfg, cfg_options or {})
    if found:
        raise ValueError(numbered(found))
    values = to_literal(_settings(cfg._cfg_dict), faults=found)
    cfg = Config(values, cfg_text=cfg.text, filename=cfg.filename)
    found += [
        f"{key!r} cannot be the name of a setting, because it is not a valid Python name: rename it"
        for key in values
        if not str(key).isidentifier() or keyword.iskeyword(key)
    ]
    if for_training:
        found += faults(values, cfg.text)
    elif not of_a_run:
        found += ignored_keys(values, cfg.text)
    if found:
        raise ValueError(f"{path}: {numbered(found)}")
    _change_data_paths(cfg, lambda path: str(repository_path(path)))
    return cfg


@contextmanager
def naming_config(config: str | Path) -> Iterator[None]:
    """Replace an error about wrong arguments with a one-line error that names the config.

    Use this context manager while mmcv builds objects from a config.

    Raises:
        ValueError: An argument in the config is wrong. Errors of other kinds are raised unchanged.

    Example:
        >>> with naming_config("mine.py"):
        ...     (lambda alpha: alpha)(alpa=1)
        Traceback (most recent call last):
        ValueError: mine.py: <lambda>() got an unexpected keyword argument 'alpa'
    """
    try:
        yield
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        line = (str(error.args[0]) if error.args else "").split("\n")[0]
        named = re.match(r"(?:\w+: )+", line)  # mmcv begins with the names of the types
        if _WRONG_ARGUMENTS.search(line):
            message = shortened(" ".join(line.split()), 200)  # mmcv appends whole dictionaries
        elif named and not isinstance(error, KeyError):
            innermost = _innermost_frame(error)
            refused = line[named.end() :] or innermost.line
            message = f"{named[0]}{refused} ({innermost.filename}, line {innermost.lineno})"
        else:
            raise
        raise ValueError(f"{config}: {message}") from error


def _innermost_frame(error: BaseException) -> traceback.FrameSummary:
    """Return the stack frame that raised the first exception in a chain of exceptions."""
    while error.__context__ is not None:
        error = error.__context__
    return traceback.extract_tb(error.__traceback__)[-1]


def _read(named: str | Path) -> Config:
    path = Path(named)
    if not path.exists():
        path = repository_path(path)
    if (path / "config.py").is_file():
        return Config(RunFolder(path).read_config())
    if path.is_file():
        return _execute(path)
    root = repository_root()
    known = sorted(
        str(p.relative_to(root))
        for p in (root / "configs").glob("*/*.py")
        if p.parent.name != "_base_"
    )
    raise FileNotFoundError(
        f"there is no config {named} in the current directory or in {root}; "
        f"{suggestion(str(named), known)}"
    )


def _execute(path: Path) -> Config:
    """Execute a config file and the files that it inherits from.

    Raises:
        ValueError: A file is not a config, or cannot be executed. The message names the file and
            the line.
    """
    if path.suffix not in _FILE_TYPES:
        raise ValueError(
            f"{path} is not a config: choose a {_FILE_TYPES[0]} file, or the folder of a training"
            " run"
        )
    search_path = list(sys.path)
    try:
        return Config.fromfile(str(path))
    except (Exception, SystemExit) as error:  # a config is a program and may raise anything
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if copied := frame.f_locals.get("temp_config_file"):
                with suppress(FileNotFoundError):  # closing fails once the folder is deleted
                    copied.close()
        raise ValueError(_why_unreadable(path, error)) from error
    finally:
        sys.path[:] = search_path  # after an error, mmcv leaves its temporary folder in sys.path


def _why_unreadable(path: Path, error: BaseException) -> str:
    """Return a one-line message about an error that was raised while a config was executed."""
    frames = list(traceback.walk_tb(error.__traceback__))
    reading = [frame for frame, _ in frames if frame.f_code.co_name == "_file2dict"]
    files = [str(frame.f_locals["filename"]) for frame in reading] or [str(path)]
    file = files[-1]
    if isinstance(error, FileNotFoundError) and len(files) > 1 and not Path(file).exists():
        beside = Path(file).parent.glob("*.py")
        hint = suggestion(file, map(str, beside))
        return f"{files[-2]}: its _base_ file {file} does not exist; {hint}"
    duplicates = reading[-1].f_locals.get("duplicate_keys") if reading else None
    if isinstance(error, KeyError) and duplicates:
        keys = ", ".join(sorted(duplicates))
        return f"{file}: several of its _base_ files set {keys}: set {keys} in only one of them"
    content = Path(file).read_bytes() if Path(file).is_file() else b""
    if isinstance(error, UnicodeDecodeError) or content.startswith(_BYTE_ORDER_MARKS):
        return f"{file} is not plain UTF-8 text: save it as UTF-8 without a byte order mark"
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        return f"{file}, line {line} contains a NUL byte, so the file is damaged: restore the file"
    if isinstance(error, SyntaxError):
        cause = error.__context__ if isinstance(error.__context__, SyntaxError) else error
        return f"{file}, line {cause.lineno}: {cause.msg}"
    if isinstance(error, KeyError) and "is reserved for config file" in str(error):
        return f"{file}: {error.args[0]}: rename that variable"
    if isinstance(error, ImportError) and not str(error):  # mmcv's own error omits the module
        error = error.__context__ or error
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, ImportError) and not reading:
        return f"{file}: custom_imports: {what}: check that the module's folder is in PYTHONPATH"
    if reading:  # mmcv executes a copy of the file, with the same line numbers
        copied = reading[-1].f_locals.get("temp_config_name", "")
        lines = [n for f, n in frames if copied and f.f_code.co_filename.endswith(f"/{copied}")]
        return f"{file}{f', line {lines[-1]}' if lines else ''}: {what}"
    frame, line = frames[-1]
    return f"{file}: {what} ({frame.f_code.co_filename}, line {line})"


def _is_of_a_run(file: Path) -> bool:
    """Return whether a training run saved this config file in its output folder."""
    run = RunFolder(file.parent)
    return file == run.config_file and run.environment_file.is_file()


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a config, except variables that cannot be saved, such as functions."""
    return {
        key: value for key, value in values.items() if key in TOP_LEVEL or _has_literal_form(value)
    }


def _has_literal_form(value: Any) -> bool:
    try:
        to_literal(value)
    except ValueError:
        return False
    return True


def datasets(cfg: Config, splits: Sequence[str] = ("train", "val", "test")) -> Iterator[ConfigDict]:
    """Yield the dataset configs of the splits, without wrappers such as ``ClassBalancedDataset``.

    The dataset configs are parts of ``cfg``, not copies.
    """
    data = cfg.get("data") or {}
    for split in splits:
        yield from _innermost(data.get(split) or {})


def _innermost(node: Any) -> Iterator[ConfigDict]:
    if isinstance(node, list | tuple):  # mmdet concatenates the datasets in a list
        for one in node:
            yield from _innermost(one)
    elif isinstance(node, Mapping):
        wrapped = node.get("dataset", node.get("datasets"))
        if wrapped is not None:
            yield from _innermost(wrapped)
        elif node:
            yield node


def _change_data_paths(cfg: Config, change: Callable[[str], str]) -> None:
    for dataset in datasets(cfg):
        for name in _DATA_PATHS:
            if isinstance(paths := dataset.get(name), list | tuple):  # mmdet concatenates them
                dataset[name] = [change(path) for path in paths]
            elif paths:
                dataset[name] = change(paths)


def save_config(cfg: Config, path: str | Path) -> None:
    """Write a merged config to a file as Python literals.

    Data paths inside the repository are written relative to the repository root.

    Raises:
        ValueError: A value cannot be written as a Python literal.
    """
    cfg = copy.deepcopy(cfg)
    root = repository_root()
    _change_data_paths(
        cfg,
        lambda path: str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path,
    )
    values = to_literal(cfg._cfg_dict)
    # Do not use mmcv's own dump: it does not escape quotes in strings.
    lines = [f"{key} = {format_literal(value)}" for key, value in values.items()]
    write_atomically(path, "\n".join(lines) + "\n")
