"""Hours of work that do not end with the terminal they were started from."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# A closed pipe, a terminal that is gone, a closed descriptor.
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF)


class _Lasting:
    """A text stream that falls silent when nobody reads it any more, rather than raise.

    Args:
        stream: standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write; where that fails, nothing from then on."""
        with self._lasting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, likewise."""
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
            pass  # a full pipe that nobody empties now; the next line may find room
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise  # a full disk, say
            # The descriptor itself: libraries write to it too, and Python flushes it at its end.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Go on when the terminal is closed, or whoever reads the output ends.

    What is printed is lost from then on, as with ``| head``; a hang-up (SIGHUP), which a closed
    terminal or connection sends, is ignored as by ``nohup``. Ctrl-C and SIGTERM still end the
    process. Contexts may be nested; in threads and where Python's streams have been replaced, as
    in notebooks, only what applies is done.

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
            stream.flush()  # while a failure is no error
        sys.stdout, sys.stderr = before
        if hang_up == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _lasting(stream: TextIO | None) -> Any:
    if stream is None:  # Python's own, of a descriptor that was closed when it started
        return open(os.devnull, "w")
    return stream if isinstance(stream, _Lasting) else _Lasting(stream)


def _fill_closed_descriptors() -> None:
    """Else the next file that is opened becomes standard output, and gets what is printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
