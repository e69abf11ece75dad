"""Suggestions for a wrong name: the valid names that look like it, if there are any."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

LEAST_LIKENESS = 0.65  # ratio of difflib; names that are less alike share letters by accident
MISSPELLING = 0.78  # names that are as alike as `modle` and `model`, but not `my_hooks` and `hooks`
SHOWN = 10  # names that an error message lists


def nearest_names(
    wanted: str, known: Iterable[str], count: int = 1, least: float = LEAST_LIKENESS
) -> list[str]:
    """Return the valid names that look like a wrong one, most similar first.

    Case is ignored. Paths and dotted keys are compared part by part from their end, so that a long
    common prefix does not make two names similar.

    Args:
        wanted: the wrong name.
        known: the valid names.
        count: largest number of names to return.
        least: similarity that a name must have, from 0 to 1.

    Returns:
        Up to ``count`` names; often none.

    Example:
        >>> nearest_names("sede", ["config", "seed"]), nearest_names("foxx", ["sunflower"])
        (['seed'], [])
        >>> nearest_names("configs/openmoji/sofmax.py", ["configs/openmoji/softmax.py"])
        ['configs/openmoji/softmax.py']
        >>> nearest_names("configs/openmoji/other.py", ["configs/openmoji/softmax.py"])
        []
    """
    likeness = {name: _likeness(str(wanted), name) for name in map(str, known)}
    alike = [name for name, value in likeness.items() if value >= least]
    return sorted(alike, key=lambda name: (-likeness[name], name))[:count]


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest valid name; empty if no name is similar.

    Example:
        >>> did_you_mean("sede", ["config", "seed"]), did_you_mean("x", ["config", "seed"])
        ("did you mean 'seed'?", '')
    """
    alike = nearest_names(wanted, known)
    return f"did you mean {alike[0]!r}?" if alike else ""


def suggestion(wanted: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the nearest valid name, or the valid names.

    Example:
        >>> suggestion("sede", ["config", "seed"])
        "did you mean 'seed'?"
        >>> suggestion("x", ["config", "seed"]), suggestion("x", [])
        ('there are: config, seed', 'there are none')
    """
    known = [str(name) for name in known]
    if question := did_you_mean(wanted, known):
        return question
    if not known:
        return "there are none"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"there are: {', '.join(known[:SHOWN])}{more}"


def _likeness(wanted: str, name: str) -> float:
    """Similarity of two names in [0, 1]: that of their least similar parts."""
    ends = (re.split(r"[/.]", text.casefold())[::-1] for text in (wanted, name))
    return min(SequenceMatcher(None, a, b).ratio() for a, b in zip(*ends, strict=False))
