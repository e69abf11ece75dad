"""Text that others wrote, made fit to be shown: class names, paths, cells of a table.

A class name comes from somebody's file. It may hold an escape sequence that a terminal obeys, half
a character that no file can be written with, a formula that a spreadsheet runs, or 5000 letters;
and two classes may bear the same name. Names are for display only, so they pass through
:func:`display_names` once, where they are read; classes are told apart by their label.

This module needs the standard library alone.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 60  # characters of a name; the longest of LVIS v1 has 44
JOINERS = "\u200c\u200d"  # invisible, but they belong to the spelling of Persian and of emoji
VARIANTS = "\ufe0e\ufe0f"  # of an emoji: as text or as a picture

# Control and format characters (also those that turn the direction of text), halves of surrogate
# pairs, separators of lines and paragraphs.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# A cell that begins so is a formula for a spreadsheet, also in full-width letters
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: str, keep: str = "") -> str:
    r"""Return ``text`` with a visible escape for each character that would act instead of show.

    Those are control characters (a terminal obeys them), line breaks, marks that turn the direction
    of text, characters without width, and lone surrogates (no file can be written with one).

    Args:
        text: any text.
        keep: characters that stay as they are, such as a line break.

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
    """Return ``text``, cut to ``length`` characters, the last of them an ellipsis.

    Example:
        >>> shortened("slightly smiling face", 17)
        'slightly smiling…'
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def display_names(names: Iterable[str]) -> list[str]:
    r"""Return the names of classes as they are shown: printable, short, and no two alike.

    Several classes whose names look the same are numbered. Names look the same also if they differ
    only in blanks, underscores or invisible characters, or only beyond the place where they are
    cut. Shown once, names stay as they are: calling this twice does no harm.

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
    taken = set(looks)  # a number must give nobody the name of another
    numbers = dict.fromkeys(count, 0)
    for label, name in enumerate(shown):
        own = looks[label]
        while count[own] > 1 and look(shown[label]) in taken:
            numbers[own] += 1
            shown[label] = _numbered(name, numbers[own])
        taken.add(look(shown[label]))
    return shown


def look(name: str) -> str:
    r"""Return what two names have in common that a reader cannot tell apart.

    Example:
        >>> look("hot_dog") == look(" hot  dog"), look("caf\u00e9") == look("cafe\u0301")
        (True, True)
    """
    seen = "".join(char for char in name.replace("_", " ") if char not in JOINERS + VARIANTS)
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return ``rows`` as CSV whose cells a spreadsheet shows and does not run.

    A text that a spreadsheet would read as a formula gets an apostrophe in front, as spreadsheets
    expect. Numbers stay numbers.

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
    """One name, printable; every kind of blank is a plain one."""
    blanks = (" " if unicodedata.category(char) == "Zs" else char for char in str(name))
    return printable("".join(blanks)).strip() or "(no name)"


def _numbered(name: str, number: int) -> str:
    end = f" ({number})"
    return shortened(name, LONGEST - len(end)) + end
