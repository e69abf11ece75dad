"""Report all faults of a file in one message."""

import re
from collections.abc import Iterator, Sequence

# Messages about several records usually differ only in the values that they quote.
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}|-?\d[\d.e+-]*|\b(?:None|nan|inf)\b")
_NAMED = 3  # records that are named for each fault


def numbered(faults: Sequence[str]) -> str:
    """Return faults as one line of text; several faults are counted and numbered.

    Example:
        >>> numbered(["lr is negative"])
        'lr is negative'
        >>> numbered(["lr is negative", "no seed"])
        '2 faults: (1) lr is negative; (2) no seed'
    """
    if len(faults) == 1:
        return faults[0]
    listed = (f"({number}) {fault}" for number, fault in enumerate(faults, start=1))
    return f"{len(faults)} faults: " + "; ".join(listed)


class Faults:
    """The faults of a file. Records with the same fault are counted instead of listed.

    Example:
        >>> faults = Faults()
        >>> for id in (4, 5):
        ...     faults.add("image", id, f"width must be positive, got {4 - id}")
        >>> faults.add("category", 1, "no 'name'")
        >>> print(faults)
        2 faults: (1) image 4: width must be positive, got 0 (also in 1 other image: 5); \
(2) category 1: no 'name'
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}
        self._others: dict[tuple[str, str], list[str]] = {}
        self._count: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._first)

    def add(self, kind: str, name: object, problem: str) -> None:
        """Add the fault of a record.

        Args:
            kind: What the record is, such as 'image'.
            name: Id or name of the record.
            problem: What is wrong with the record.
        """
        key = kind, _VALUES.sub("", problem)
        self._count[key] = self._count.get(key, 0) + 1
        if key not in self._first:
            self._first[key], self._others[key] = f"{kind} {name}: {problem}", []
        elif len(self._others[key]) < _NAMED:
            self._others[key].append(str(name))

    def add_general(self, problem: str) -> None:
        """Add a fault that concerns the whole file."""
        self._first["", problem] = problem
        self._count["", problem] = 1

    def __iter__(self) -> Iterator[str]:
        return (text + self._also(*key) for key, text in self._first.items())

    def __str__(self) -> str:
        return numbered(list(self))

    def _also(self, kind: str, pattern: str) -> str:
        others = self._count[kind, pattern] - 1
        if not others:
            return ""
        plural = {"category": "categories"}.get(kind, f"{kind}s") if others > 1 else kind
        names = ", ".join(self._others[kind, pattern])
        return f" (also in {others:,} other {plural}: {names}{', ...' * (others > _NAMED)})"
