"""Fonts for names in any script: one that is installed, or one line that says which is missing."""

import functools
import unicodedata
import warnings
from collections.abc import Iterable

import matplotlib as mpl
from matplotlib import font_manager

from pcb.messages.printable import JOINERS, VARIANTS

_PLACEHOLDERS = "Last Resort"  # matplotlib's own font of boxes, which has every character
_said: set[str] = set()  # characters of which the line has been said


def font_families(texts: Iterable[str]) -> list[str]:
    """Return matplotlib's font families, and after them those that have what they lack.

    What no font has is drawn as a box, and said once.

    Args:
        texts: whatever is going to be drawn.

    Example:
        >>> font_families(["fox", "caf\u00e9"]) == mpl.rcParams["font.family"]
        True
    """
    families = list(mpl.rcParams["font.family"])
    drawn = {char for text in texts if not text.isascii() for char in text}
    drawn -= {*JOINERS, *VARIANTS, "\n", " "}
    if not drawn:
        return families
    missing = drawn - _characters(font_manager.findfont(font_manager.FontProperties()))
    while missing:
        found = {font.name: missing & _characters(font.fname) for font in _fonts()}
        best = max(sorted(found), key=lambda name: len(found[name]), default=None)
        if best is None or not found[best]:
            break
        families.append(best)
        missing -= found[best]
    if missing:
        # Matplotlib would say so for each character, whenever the figure is drawn.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
    if missing - _said:
        _said.update(missing)
        warnings.warn(_sentence(missing), stacklevel=3)
    return families


def _sentence(missing: Iterable[str]) -> str:
    """What no font draws, by script.

    >>> print(_sentence("\u0e01\u732b")[:57])
    figures show boxes for CJK (\u732b), Thai (\u0e01): no font on this
    """
    scripts: dict[str, list[str]] = {}
    for char in sorted(missing):
        scripts.setdefault(_script(char), []).append(char)
    shown = ", ".join(
        f"{script} ({' '.join(chars[:5])}{' ...' if len(chars) > 5 else ''})"
        for script, chars in sorted(scripts.items())
    )
    return (
        f"figures show boxes for {shown}: no font on this machine has them; install one that does, "
        f"such as a Noto font, and remove {mpl.get_cachedir()}/fontlist-*.json"
    )


def _script(char: str) -> str:
    word = unicodedata.name(char, "unknown").split()[0]
    if unicodedata.category(char)[0] not in "LM":
        return "symbols"
    return word if word == "CJK" else word.capitalize()


def _fonts() -> list[font_manager.FontEntry]:
    return [f for f in font_manager.fontManager.ttflist if not f.name.startswith(_PLACEHOLDERS)]


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """The characters that a font draws; none where matplotlib cannot use it, as of colour fonts."""
    try:
        font = font_manager.get_font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()
