"""What to suggest when a name is wrong: the valid names that look like it, or none at all."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

LEAST_LIKENESS = 0.65  # of difflib's ratio; below it, two names share letters by accident
SHOWN = 10  # names that an error message lists


def nearest_names(
    wanted: str, known: Iterable[str], count: int = 1, least: float = LEAST_LIKENESS
) -> list[str]:
    """Return the valid names that look like a wrong one, the most alike first; often none.

    Case does not matter. Paths and dotted keys are compared part by part from their end, so that a
    long common prefix makes no two names alike.

    Args:
        wanted: the wrong name.
        known: the valid ones.
        count: how many to return at most.
        least: the likeness, from 0 to 1, that a name must have.

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


def suggestion(wanted: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the nearest valid name, or the valid names.

    Example:
        >>> suggestion("sede", ["config", "seed"])
        "did you mean 'seed'?"
        >>> suggestion("x", ["config", "seed"]), suggestion("x", [])
        ('there are: config, seed', 'there are none')
    """
    known = [str(name) for name in known]
    if alike := nearest_names(wanted, known):
        return f"did you mean {alike[0]!r}?"
    if not known:
        return "there are none"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"there are: {', '.join(known[:SHOWN])}{more}"


def _likeness(wanted: str, name: str) -> float:
    """Likeness of two names in [0, 1]: that of their least alike parts."""
    ends = (re.split(r"[/.]", text.casefold())[::-1] for text in (wanted, name))
    return min(SequenceMatcher(None, a, b).ratio() for a, b in zip(*ends, strict=False))
