"""Show each Python warning on one line."""

import warnings

from pcb.messages.printable import printable


def one_line_warnings() -> None:
    """Make Python show each warning on one line, without file name and line number.

    Example:
        >>> shown = warnings.formatwarning
        >>> one_line_warnings()
        >>> warnings.formatwarning("2 classes do not\\noccur", UserWarning, "balance.py", 218)
        'warning: 2 classes do not occur\\n'
        >>> warnings.formatwarning = shown
    """
    warnings.formatwarning = _one_line


def _one_line(message: object, *_place: object, **_line: object) -> str:
    return f"warning: {printable(' '.join(str(message).split()))}\n"
