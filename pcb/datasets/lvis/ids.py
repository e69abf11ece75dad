"""Read ids that are text or decimal numbers instead of integers."""

import hashlib
import re
from typing import Any

import numpy as np

MOST_ID = 2**63 - 1  # ids are stored in 64 bits
# Numbers that replace text have 16 digits, so that they differ from the usual ids, and at most 53
# bits, so that they are exact as floats.
FIRST_TEXT_ID = 2**52
_WHOLE = re.compile(r"\s*0*(\d{1,19})(?:\.0*)?\s*", re.ASCII)  # 64 bits have up to 19 digits


def whole_number(value: Any) -> int | None:
    """Return the integer that a text or a decimal number stands for, or None.

    Example:
        >>> whole_number("007"), whole_number(7.0), whole_number("7a"), whole_number(7)
        (7, 7, None, None)
    """
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        number = int(match[1])
        return number if number <= MOST_ID else None
    if isinstance(value, (float, np.floating)) and value.is_integer():
        return int(value)
    return None


def id_number(value: Any) -> int | None:
    """Return the id that a value stands for: ``whole_number`` or else ``text_id``."""
    number = whole_number(value)
    return text_id(value) if number is None else number


def text_id(value: Any) -> int | None:
    """Return the number that replaces an id such as a UUID, or None if the value is no such id.

    The number is computed from the text alone, so that annotations and results that use the same
    text agree, in whatever file and order they are.

    Example:
        >>> text_id("d2b1-07"), text_id("d2b1-08"), text_id("7")
        (4918972359297631, 4859509193224387, None)
    """
    if not isinstance(value, str) or not value.strip() or whole_number(value) is not None:
        return None
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return FIRST_TEXT_ID + int.from_bytes(digest, "big") % FIRST_TEXT_ID
