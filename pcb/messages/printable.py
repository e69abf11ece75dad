"""Text of others, made safe to show: class names, paths, cells of a table.

Class names come from somebody's file. A name may contain an escape sequence for terminals, half a
character (which no file can store), a formula for spreadsheets, or 5000 letters, and two classes
may have the same name. Names are for display only: they pass through :func:`display_names` once,
where they are read. Classes are identified by their label.

This module needs the standard library alone.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 60  # characters of a name; the longest of LVIS v1 has 44
JOINERS = "\u200c\u200d"  # invisible, but part of the spelling of Persian words and of emoji
VARIANTS = "\ufe0e\ufe0f"  # show an emoji as text or as a picture

# Control characters, format characters (also those that reverse the direction of text), lone
# surrogates, separators of lines and paragraphs.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Spreadsheets read a cell that begins with one of these as a formula, also in full-width form
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: str, keep: str = "") -> str:
    r"""Return text in which each character that would not be shown is escaped.

    These are control characters (which terminals obey), line breaks, marks that reverse the
    direction of text, characters without width, and lone surrogates (which no file can store).

    Args:
        text: any text.
        keep: characters that are not escaped, such as a line break.

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
    """Return text of at most ``length`` characters; text that is cut ends in an ellipsis.

    Example:
        >>> shortened("slightly smiling face", 17)
        'slightly smiling…'
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def short_repr(value: object, length: int = 80) -> str:
    """Return a value as an error message shows it, in at most ``length`` characters.

    Example:
        >>> short_repr("1"), short_repr(list(range(100)), 12)
        ("'1'", '[0, 1, 2, 3…')
    """
    return shortened(repr(value), length)


def display_names(names: Iterable[str]) -> list[str]:
    r"""Return names of classes that are printable, short and distinct.

    Classes whose names look the same are numbered. That includes names that differ only in blanks,
    underscores or invisible characters, or only after the point where they are cut. Names that
    this function returned are not changed by another call.

    Args:
        names: (C,) names by label, as they were read.

    Returns:
        (C,) names by label.

    Example:
        >>> display_names(["fox", "hot_dog", "fox", "hot dog", "fox (2)"])
        ['fox (1)', 'hot_dog (1)', 'fox (3)', 'hot dog (2)', 'fox (2)']
        >>> print(*display_names(["a\x1b[2J", " ", "y" * 5000]), sep=", ")
        a\x1b[2J, (no name), yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
    """
    shown = [shortened(_one_name(name)) for name in names]
    looks = [look(name) for name in shown]
    count = Counter(looks)
    taken = set(looks)  # a numbered name must not be the name of another class
    numbers = dict.fromkeys(count, 0)
    for label, name in enumerate(shown):
        own = looks[label]
        while count[own] > 1 and look(shown[label]) in taken:
            numbers[own] += 1
            shown[label] = _numbered(name, numbers[own])
        taken.add(look(shown[label]))
    return shown


def look(name: str) -> str:
    r"""Return a key that is equal for names that a reader cannot distinguish.

    Example:
        >>> look("hot_dog") == look(" hot  dog"), look("caf\u00e9") == look("cafe\u0301")
        (True, True)
    """
    seen = "".join(char for char in name.replace("_", " ") if char not in JOINERS + VARIANTS)
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV in which spreadsheets find no formula.

    Text that a spreadsheet would read as a formula gets an apostrophe in front, as spreadsheets
    expect. Numbers are not changed.

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
    """One name, printable, with plain blanks."""
    blanks = (" " if unicodedata.category(char) == "Zs" else char for char in str(name))
    return printable("".join(blanks)).strip() or "(no name)"


def _numbered(name: str, number: int) -> str:
    end = f" ({number})"
    return shortened(name, LONGEST - len(end)) + end
