"""Print whole lines to a terminal or a file that several processes write to."""

from __future__ import annotations

import re
import sys
from typing import TextIO

# A line ends at a line break, or where a progress bar returns to the beginning of the line. Without
# a line break, the progress bar could overwrite a line of another process.
_END = re.compile(r"\r*\n\r*|\r+")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text and a line break in one write, so that other processes cannot write in between.

    In contrast, ``print`` may write the text and the line break separately, and ``sys.exit`` may
    write a message of several lines in parts.

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
    """A text stream that holds each line back until it is complete, then writes it in one step.

    Args:
        stream: Stream to which the complete lines are written.
        label: Text to put in front of each line.

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
        """Write the lines that this text completes, and hold back the rest of the text."""
        *lines, self._held = _END.split((self._held + text).lstrip("\r"))
        for line in lines:
            say(self._label + line, self._stream)
        return len(text)

    def flush(self) -> None:
        """Do nothing: complete lines are already written, and an incomplete line is held back."""

    def close(self) -> None:
        """Write the held-back text as a last line, and leave the underlying stream open."""
        if self._held:
            say(self._label + self._held, self._stream)
        self._held = ""
