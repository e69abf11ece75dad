"""Make class names, paths and table cells safe to display.

A class name in a user's file may contain an escape sequence for terminals, an unpaired surrogate
(which cannot be encoded as UTF-8), a spreadsheet formula, or 5000 letters. Two classes may also
have the same name. Therefore, all modules identify classes by their labels and use names only for
display. Modules that read class names from a file convert the names with :func:`display_names`.

This module needs only the standard library.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 60  # maximum length of a displayed name; the longest name in LVIS v1 has 44 characters
JOINERS = "\u200c\u200d"  # invisible, but part of the spelling of Persian words and of emoji
VARIANTS = "\ufe0e\ufe0f"  # choose whether an emoji is shown as text or as a picture

# Control characters, format characters (including those that reverse the direction of text),
# unpaired surrogates, and separators of lines and paragraphs.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# If a cell begins with one of these characters, spreadsheets treat the cell as a formula. The last
# four are the full-width forms of = + - @ (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: str, keep: str = "") -> str:
    r"""Return text in which all characters without a visible form are escaped.

    These characters are control characters (commands to a terminal), line breaks, marks that
    reverse the direction of text, zero-width characters other than joiners, and unpaired surrogates
    (which cannot be encoded as UTF-8).

    Args:
        text: Any text.
        keep: Characters that are not escaped, for example a line break.

    Example:
        >>> print(printable("\x1b[31mred\n"), printable("caf\u00e9 \u202e\ud800"))
        \x1b[31mred\n café \u202e\ud800
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in keep and char not in JOINERS and unicodedata.category(char) in _INVISIBLE
        else char
        for char in text
    )


def shortened(text: str, length: int = LONGEST) -> str:
    """Cut text to at most ``length`` characters; an ellipsis marks where it was cut.

    Example:
        >>> shortened("slightly smiling face", 17)
        'slightly smiling…'
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def short_repr(value: object, length: int = 80) -> str:
    """Return the ``repr`` of a value for an error message, cut to at most ``length`` characters.

    Example:
        >>> short_repr("1"), short_repr(list(range(100)), 12)
        ("'1'", '[0, 1, 2, 3…')
    """
    return shortened(repr(value), length)


def display_names(names: Iterable[str]) -> list[str]:
    r"""Convert class names to names that are printable, short and distinct.

    Long names are cut, and names that look the same get numbers. Two names look the same if they
    differ only in spaces, underscores, invisible characters, or the part that is cut off. Names
    that have already been converted do not change.

    Args:
        names: (C,) class names from a file, in label order.

    Returns:
        (C,) class names for display, in label order.

    Example:
        >>> display_names(["fox", "hot_dog", "fox", "hot dog", "fox (2)"])
        ['fox (1)', 'hot_dog (1)', 'fox (3)', 'hot dog (2)', 'fox (2)']
        >>> print(*display_names(["a\x1b[2J", " ", "y" * 5000]), sep=", ")
        a\x1b[2J, (no name), yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
    """
    shown = [shortened(_one_name(name)) for name in names]
    looks = [look(name) for name in shown]
    count = Counter(looks)
    taken = set(looks)  # a numbered name must not look like the name of a different class
    numbers = dict.fromkeys(count, 0)
    for label, name in enumerate(shown):
        own = looks[label]
        while count[own] > 1 and look(shown[label]) in taken:
            numbers[own] += 1
            shown[label] = _numbered(name, numbers[own])
        taken.add(look(shown[label]))
    return shown


def look(name: str) -> str:
    r"""Return a key for a name; two names that look the same to a reader have the same key.

    Example:
        >>> look("hot_dog") == look(" hot  dog"), look("caf\u00e9") == look("cafe\u0301")
        (True, True)
    """
    seen = "".join(char for char in name.replace("_", " ") if char not in JOINERS + VARIANTS)
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV text that is safe to open in a spreadsheet.

    Text that looks like a formula gets a leading apostrophe, so that spreadsheets treat the cell as
    text. Numbers are not changed.

    Example:
        >>> print(csv_text([["true", "change"], ["=1+1", -0.5], ["hot, dog", 1]]), end="")
        true,change
        '=1+1,-0.5
        "hot, dog",1
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    formula = value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)
    return ("'" if formula else "") + printable(value)


def _one_name(name: str) -> str:
    """Make a name printable, and convert every kind of space to an ordinary space."""
    blanks = (" " if unicodedata.category(char) == "Zs" else char for char in str(name))
    return printable("".join(blanks)).strip() or "(no name)"


def _numbered(name: str, number: int) -> str:
    end = f" ({number})"
    return shortened(name, LONGEST - len(end)) + end
