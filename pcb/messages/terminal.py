"""Keep a long-running command alive after its terminal has been closed."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Errors when writing to a closed pipe, a closed terminal or a closed descriptor.
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF)


class _Lasting:
    """A text stream that discards all output after its terminal or pipe has been closed.

    Args:
        stream: Standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; if the terminal or pipe is closed, discard this text and all later text."""
        with self._lasting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write all buffered text; if the terminal or pipe is closed, discard the text instead."""
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
            pass  # the pipe is full, but may have room for the next line
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise  # for example if the disk is full
            # Redirect the descriptor itself, because libraries and the end of Python also use it.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Keep this process running even if its terminal or output pipe is closed.

    In the ``with`` block, all output to a closed terminal or pipe is discarded. If the block starts
    in the main thread, the signal SIGHUP is also ignored, as under ``nohup``. Ctrl-C and SIGTERM
    still end the process. Blocks can be nested.

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
            stream.flush()  # inside the context, where a closed stream is not an error
        sys.stdout, sys.stderr = before
        if hang_up == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _lasting(stream: TextIO | None) -> Any:
    if stream is None:  # the descriptor was closed when Python started
        return open(os.devnull, "w")
    return stream if isinstance(stream, _Lasting) else _Lasting(stream)


def _fill_closed_descriptors() -> None:
    """Open ``/dev/null`` in place of each closed standard stream: input, output or error.

    Otherwise, text for standard output could be written to a file that is opened later.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
