"""Whole lines, for a terminal or a file that several processes write to."""

from __future__ import annotations

import re
import sys
from typing import TextIO

# The end of a line, or the point where a progress bar returns to the beginning of its line, which
# may by then be the line of another process.
_END = re.compile(r"\r*\n\r*|\r+")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print in one write, so that no output of another process comes in between.

    ``print`` writes the text and the end of the line separately where Python does not buffer, and
    so does ``sys.exit`` with a message of several lines.

    Args:
        text: one or more lines, without the end of the last.
        stream: where to print; standard output by default.

    Example:
        >>> say("done in 3 s")
        done in 3 s
    """
    stream = sys.stdout if stream is None else stream
    stream.write(f"{text}\n")
    stream.flush()


class WholeLines:
    """A text stream that holds a line back until it is complete, and writes it at once.

    Args:
        stream: where the lines go.
        label: what each line begins with.

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
        """Write the lines that this text completes."""
        *lines, self._held = _END.split((self._held + text).lstrip("\r"))
        for line in lines:
            say(self._label + line, self._stream)
        return len(text)

    def flush(self) -> None:
        """Do nothing: a line that is not complete is still held back."""

    def close(self) -> None:
        """Write the rest as a line; the stream stays open."""
        if self._held:
            say(self._label + self._held, self._stream)
        self._held = ""
