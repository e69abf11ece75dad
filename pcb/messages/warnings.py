"""Show each of Python's warnings on one line.

Only the ``pcb`` commands and the notebooks use this format. Other programs that import this package
keep Python's own format.
"""

import warnings

from pcb.messages.printable import printable


def one_line_warnings() -> None:
    """Make this process show each warning on one line, without file name and line number.

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
