"""Choose fonts for names in any writing system, and warn about characters that no font contains."""

import functools
import unicodedata
import warnings
from collections.abc import Iterable

import matplotlib as mpl
from matplotlib import font_manager

from pcb.messages.printable import JOINERS, VARIANTS

_PLACEHOLDERS = "Last Resort"  # matplotlib's font that draws a box for every character
_reported: set[str] = set()  # missing characters that have already been warned about


def font_families(texts: Iterable[str]) -> list[str]:
    """Return font families that together contain as many characters of the texts as possible.

    The families in matplotlib's settings come first. If no installed font contains a character,
    figures show a box instead, and a warning lists the character.

    Args:
        texts: The texts to be drawn.

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
        # Without this filter, matplotlib would warn about each character at every drawing.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
    if missing - _reported:
        _reported.update(missing)
        warnings.warn(_missing_text(missing), stacklevel=3)
    return families


def _missing_text(missing: Iterable[str]) -> str:
    """Return the text of the warning about characters that no font contains.

    The warning groups the characters by writing system.

    Example:
        >>> print(_missing_text("\u0e01\u732b")[:54])
        figures show boxes for CJK (\u732b), Thai (\u0e01): no installed
    """
    scripts: dict[str, list[str]] = {}
    for char in sorted(missing):
        scripts.setdefault(_script(char), []).append(char)
    shown = ", ".join(
        f"{script} ({' '.join(chars[:5])}{' ...' if len(chars) > 5 else ''})"
        for script, chars in sorted(scripts.items())
    )
    return (
        f"figures show boxes for {shown}: no installed font contains these characters. Install a "
        "font that contains them, such as a Noto font. Then delete matplotlib's list of fonts, "
        f"{mpl.get_cachedir()}/fontlist-*.json"
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
    """Return the characters that a font file contains.

    The result is empty if matplotlib cannot use the font, for example because it is a colour font.
    """
    try:
        font = font_manager.get_font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()
