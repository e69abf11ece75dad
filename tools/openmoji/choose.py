"""Choose the emojis that become classes of OpenMoji-LT, and pair those that look alike.

``python -m tools.openmoji.choose`` writes ``icons.json`` in a few minutes. Run this command again
for a different release of OpenMoji or after changing this module. You do not need this command to
make the dataset, because ``icons.json`` is part of the repository.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from pcb.datasets.openmoji.design import DESIGNS
from pcb.datasets.openmoji.icons import COLOURS_ALONE, PLAIN, Icon, draw, openmoji_codes
from pcb.datasets.openmoji.scene import OPAQUE
from pcb.storage.repository import repository_path
from tools.openmoji.similarity import congruence, similarities, similarity

# Minimum similarity and maximum congruence of look-alikes. A larger congruence would mean that the
# two icons are the same picture in two positions or colours.
LEAST_SIMILAR, LARGEST_CONGRUENCE = 0.60, 0.90
DUPLICATE = 0.97  # maximum congruence of two classes of a dataset
LEAST_FILLED = 0.12  # minimum fraction of the icon's square that is opaque
LEAST_COLOURED = 0.6  # minimum fraction of the opaque part that stays opaque without outlines

# These pairs are similar and not congruent, but report.py shows that a classifier distinguishes
# their icons in fewer than nine of ten cases.
INDISTINGUISHABLE = {
    ("1F6C0", "1F6C1"),  # bath, bathtub
    ("1F40E", "1F410"),  # horse, goat
    ("1F475", "1F9D3"),  # older woman, older adult
}

# Words in the names of signs such as letters, arrows and simple shapes.
_SIGN = re.compile(
    "(^|_)(squared|letters?|ideograph|input|keycap|circled|button|arrows?|circle|square|diamond"
    "|triangle|octagon|hexagon|ellipse|rectangle|oval|clock|sign|symbol|mark|heart|aries|taurus"
    "|gemini|cancer|leo|virgo|libra|scorpius|sagittarius|capricorn|aquarius|pisces|ophiuchus"
    "|black|white|power)(_|$)"
)

_NO_CANDIDATE = re.compile(
    "(^|_)(flags?|emoji_modifier|emoji_component|regional_indicator|black_rightwards_arrow)(_|$)"
)

# The pairs of "mini" were chosen visually from the most similar pairs and then measured with
# report.py. A person sees both the similarity and the difference, and no class is more similar to
# any other class than to its look-alike. Singletons are unlike all other classes.
MINI_PAIRS = (
    ("1F34E", "1F345"),  # red apple, tomato
    ("1F648", "1F649"),  # see-no-evil monkey, hear-no-evil monkey
    ("1F3D4", "26F0"),  # snow capped mountain, mountain
    ("1F4B0", "1F954"),  # money bag, potato
    ("1F47D", "1F480"),  # alien, skull
    ("1F696", "1F698"),  # oncoming taxi, oncoming automobile
    ("1F466", "1F474"),  # boy, older man
    ("1F327", "1F329"),  # cloud with rain, cloud with lightning
    ("1F69A", "1F691"),  # delivery truck, ambulance
    ("1F42A", "1F42B"),  # dromedary, bactrian camel
    ("1F40F", "1F411"),  # ram, sheep
    ("1F400", "1F9A1"),  # rat, badger
    ("1F6A4", "1F6E5"),  # speedboat, motor boat
    ("1F431", "1F439"),  # cat face, hamster face
    ("270B", "1F590"),  # raised hand, raised hand with fingers splayed
    ("1F3C5", "1F949"),  # sports medal, third place medal
)
MINI_SINGLETONS = (
    "1F680",  # rocket
    "1F335",  # cactus
    "1F33B",  # sunflower
    "1F427",  # penguin
    "1F98B",  # butterfly
    "1F419",  # octopus
    "1F980",  # crab
    "1F422",  # turtle
)


Pairs = Sequence[tuple[str, str]]  # pairs of codes


def choose_full() -> tuple[Pairs, list[str]]:
    """Choose the classes of the dataset size "full", including all classes of "mini".

    A pair consists of two look-alikes. A singleton is a class without a look-alike.

    Returns:
        pairs: Pairs of icon codes.
        singletons: Icon codes of the singletons.
    """
    design = DESIGNS["full"]
    things, others = candidates()
    free = [icon for icon in things if icon.code not in MINI_SINGLETONS]
    pairs = look_alikes(free, MINI_PAIRS, sum(design.pairs))
    singletons = list(MINI_SINGLETONS)
    chosen = {code for pair in pairs for code in pair} | set(singletons)
    classes = [icon for icon in things if icon.code in chosen]
    for icon in things + others:
        if len(singletons) == design.singletons:
            break
        if icon.code not in chosen and _is_new(icon, classes):
            singletons.append(icon.code)
            classes.append(icon)
    return pairs, singletons


@cache
def candidates() -> tuple[tuple[Icon, ...], tuple[Icon, ...]]:
    """Find the icons that can become classes: those that consist mostly of coloured areas.

    Returns:
        things: Icons that are neither signs nor composed of several icons.
        others: Signs, followed by icons that are composed of several icons. These ``others``
            never form look-alike pairs, and become classes only if there are too few ``things``.
    """
    things, signs, combined = [], [], []
    for code in openmoji_codes():
        name = _name(code)
        if not name:
            continue
        icon = Icon(code, name)
        filled, coloured = (
            (draw(icon, r)[..., 3] >= OPAQUE).mean() for r in (PLAIN, COLOURS_ALONE)
        )
        if filled < LEAST_FILLED or coloured < LEAST_COLOURED * filled:
            continue
        if "200D" in code:
            combined.append(icon)
        else:
            (signs if _SIGN.search(name) else things).append(icon)
    return tuple(things), tuple(signs + combined)


def look_alikes(icons: Sequence[Icon], taken: Pairs = (), count: int | None = None) -> Pairs:
    """Form pairs of icons that are similar but distinguishable.

    Each icon is in at most one pair.

    Args:
        icons: Icons to pair.
        taken: Pairs that are already chosen.
        count: Number of pairs, including ``taken``; None for as many as possible.

    Returns:
        Pairs of icon codes: first ``taken``, then the new pairs from most to least similar.
    """
    similar = np.triu(similarities(icons), 1)
    pairs = list(taken)
    used = {code for pair in pairs for code in pair}
    classes = [icon for icon in icons if icon.code in used]
    for flat in np.argsort(-similar, axis=None, kind="stable"):
        i, j = np.unravel_index(flat, similar.shape)
        first, second = icons[i], icons[j]
        if len(pairs) == count or similar[i, j] < LEAST_SIMILAR:
            break
        if {first.code, second.code} & used or (first.code, second.code) in INDISTINGUISHABLE:
            continue
        if congruence(first, second) <= LARGEST_CONGRUENCE and (
            _is_new(first, classes) and _is_new(second, classes)
        ):
            pairs.append((first.code, second.code))
            used |= {first.code, second.code}
            classes += [first, second]
    return pairs


def _is_new(icon: Icon, classes: Iterable[Icon]) -> bool:
    """Return whether an icon looks different from every icon in ``classes``."""
    # Most classes are clearly dissimilar, so the slow search over positions is not needed for them.
    near = (other for other in classes if similarity(icon, other) > 0.5)
    return all(congruence(icon, other) <= DUPLICATE for other in near)


def _name(code: str) -> str:
    """Return the Unicode name of an emoji; "" if the emoji cannot become a class.

    For example, flags and keycaps cannot become classes.

    Example:
        >>> _name("1F34E"), _name("1F43B-200D-2744-FE0F"), _name("1F1E6"), _name("0031-FE0F-20E3")
        ('red_apple', 'bear_face_snowflake', '', '')
    """
    points = [point for point in code.split("-") if point not in ("200D", "FE0F")]
    names = [unicodedata.name(chr(int(point, 16)), "") for point in points]
    joined = "_".join(re.sub("[^a-z0-9]+", "_", name.lower()).strip("_") for name in names)
    combined = len(points) > 1 and "200D" not in code
    return "" if combined or not all(names) or _NO_CANDIDATE.search(joined) else joined


def main() -> None:
    """Choose the icons of all dataset sizes and write ``icons.json``."""
    icons = {icon.code: icon for group in candidates() for icon in group}

    def describe(pairs: Pairs, singletons: Sequence[str]) -> dict:
        rows = [
            {
                "icons": [first, second],
                "similarity": round(similarity(icons[first], icons[second]), 4),
                "congruence": round(congruence(icons[first], icons[second]), 4),
            }
            for first, second in pairs
        ]
        return {"pairs": rows, "singletons": list(singletons)}

    content = {
        "mini": describe(MINI_PAIRS, MINI_SINGLETONS),
        "full": describe(*choose_full()),
    }
    codes = {code for pair in content["full"]["pairs"] for code in pair["icons"]}
    codes.update(content["full"]["singletons"])
    content["names"] = {code: icons[code].name for code in sorted(codes)}
    path = repository_path("pcb/datasets/openmoji/icons.json")
    path.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")
    print(f"{path}: {len(codes)} icons, {len(content['full']['pairs'])} pairs of look-alikes")


if __name__ == "__main__":
    main()
