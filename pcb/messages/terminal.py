"""Work that goes on for hours, also after its terminal has been closed."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Errors of writing to a closed pipe, a closed terminal or a closed descriptor.
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF)


class _Lasting:
    """A text stream that discards its output when nobody can read it any more.

    Args:
        stream: standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; after a failure, all later text is discarded."""
        with self._lasting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush; a failure has the same effect."""
        with self._lasting():
            self._stream.flush()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except ValueError:
            if not self._stream.closed:
                raise
        except BlockingIOError:
            pass  # a full pipe; there may be room for the next line
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise  # such as a full disk
            # Redirect the descriptor itself, which libraries and the exit of Python also write to.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Continue when the terminal is closed, or when the process that reads the output ends.

    Later output is lost, as with ``| head``. The hang-up signal (SIGHUP) of a closed terminal or
    connection is ignored, as by ``nohup``. Ctrl-C and SIGTERM still end the process. Contexts can
    be nested. In threads, signals are left alone, as Python requires.

    Example:
        >>> with outliving_terminal():
        ...     print("still here")
        still here
    """
    _fill_closed_descriptors()
    before = sys.stdout, sys.stderr
    hang_up = None
    if threading.current_thread() is threading.main_thread():
        hang_up = signal.getsignal(signal.SIGHUP)
        if hang_up == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = map(_lasting, before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # here, where a failure is not an error
        sys.stdout, sys.stderr = before
        if hang_up == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _lasting(stream: TextIO | None) -> Any:
    if stream is None:  # the descriptor was closed when Python started
        return open(os.devnull, "w")
    return stream if isinstance(stream, _Lasting) else _Lasting(stream)


def _fill_closed_descriptors() -> None:
    """Occupy closed standard descriptors, or the next opened file would receive the output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
