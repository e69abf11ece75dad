"""Format rows of text as an aligned table."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as an aligned table.

    The first column is aligned to the left, all other columns to the right.

    Args:
        rows: Rows of equal length; the first row is the header.

    Example:
        >>> print(align([["", "AP", "APr"], ["softmax", "5.0", "12.5"]]))
                  AP   APr
        softmax  5.0  12.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
