"""Suggest valid names that are similar to a wrong name."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

# Minimum difflib ratio of similar names. Names with a lower ratio share letters only by chance.
LEAST_LIKENESS = 0.65
# Minimum difflib ratio of a misspelling and the correct name. The ratio of `modle` and `model` is
# higher, the ratio of `my_hooks` and `hooks` is lower.
MISSPELLING = 0.78
SHOWN = 10  # maximum number of names that an error message lists


def nearest_names(
    wanted: str, known: Iterable[str], count: int = 1, least: float = LEAST_LIKENESS
) -> list[str]:
    """Return the valid names that are similar to a wrong name, most similar first.

    Case is ignored. Paths and dotted keys are compared part by part, beginning with the last part.

    Args:
        wanted: The wrong name.
        known: The valid names.
        count: Maximum number of names to return.
        least: Minimum similarity, from 0 to 1.

    Returns:
        At most ``count`` names; [] if no valid name is similar enough.

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
    """Return a question that suggests the most similar valid name; "" if no name is similar.

    Example:
        >>> did_you_mean("sede", ["config", "seed"]), did_you_mean("x", ["config", "seed"])
        ("did you mean 'seed'?", '')
    """
    alike = nearest_names(wanted, known)
    return f"did you mean {alike[0]!r}?" if alike else ""


def suggestion(wanted: str, known: Iterable[str]) -> str:
    """Return a hint to append to an error message about a wrong name.

    The hint suggests the most similar valid name. If no valid name is similar, the hint lists the
    first ``SHOWN`` valid names.

    Example:
        >>> suggestion("sede", ["config", "seed"])
        "did you mean 'seed'?"
        >>> suggestion("x", ["config", "seed"]), suggestion("x", [])
        ('available: config, seed', 'none are available')
    """
    known = [str(name) for name in known]
    if question := did_you_mean(wanted, known):
        return question
    if not known:
        return "none are available"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"available: {', '.join(known[:SHOWN])}{more}"


def _likeness(wanted: str, name: str) -> float:
    """Return the similarity of two names, from 0 to 1.

    Two paths or dotted keys are only as similar as their least similar parts.
    """
    ends = (re.split(r"[/.]", text.casefold())[::-1] for text in (wanted, name))
    return min(SequenceMatcher(None, a, b).ratio() for a, b in zip(*ends, strict=False))
