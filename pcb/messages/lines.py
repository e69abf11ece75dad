"""Print whole lines to a terminal or a file that several processes write to."""

from __future__ import annotations

import re
import sys
from typing import TextIO

# A line ends at a line break or at a carriage return. After the carriage return of a progress bar,
# text could overwrite a line of another process.
_END = re.compile(r"\r*\n\r*|\r+")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text and a line break in one write, so that other processes cannot write in between.

    Args:
        text: One or more lines, without a line break at the end.
        stream: Where to print; standard output by default.

    Example:
        >>> say("done in 3 s")
        done in 3 s
    """
    stream = sys.stdout if stream is None else stream
    stream.write(f"{text}\n")
    stream.flush()


class WholeLines:
    """A text stream that writes each line in one step, as soon as the line is complete.

    Args:
        stream: Stream to which the complete lines are written.
        label: Text to write before each line.

    Example:
        >>> lines = WholeLines(sys.stdout, "a: ")
        >>> for text in ("two ", "parts\\nthe", " end"):
        ...     _ = lines.write(text)
        a: two parts
        >>> lines.close()
        a: the end
    """

    def __init__(self, stream: TextIO, label: str = "") -> None:
        self._stream, self._label = stream, label
        self._held = ""

    def write(self, text: str) -> int:
        """Write all complete lines, and keep an incomplete last line for the next call."""
        *lines, self._held = _END.split((self._held + text).lstrip("\r"))
        for line in lines:
            say(self._label + line, self._stream)
        return len(text)

    def flush(self) -> None:
        """Do nothing, because every complete line has already been written."""

    def close(self) -> None:
        """Write the incomplete last line, if there is one; the underlying stream stays open."""
        if self._held:
            say(self._label + self._held, self._stream)
        self._held = ""
