"""The report of ``pcb doctor``: one line for each check, and a last line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pcb.messages.printable import printable

HINT = "run `make setup`"


@dataclass(frozen=True)
class Check:
    """The result of one check by ``pcb doctor``, shown as one line of the report.

    Attributes:
        name: The item that was checked.
        text: The result and, if the check failed, a remedy.
        ok: Whether the item is present and correct.
        required: Whether the item must be correct; False for optional items and for advice.
        hint: A short remedy, for use in the last line of the report.
    """

    name: str
    text: str
    ok: bool = True
    required: bool = True
    hint: str = HINT


def problems(checks: Iterable[Check]) -> list[Check]:
    """Return the failed checks of required items."""
    return [check for check in checks if check.required and not check.ok]


def report(checks: list[Check], healthy: str = "Everything is set up.") -> str:
    """Return a report with one line for each check, and a last line that says what to do.

    Args:
        checks: The checks; at least one.
        healthy: The last line if there is no problem.

    Example:
        >>> print(report([Check("torch", "2.11.0"), Check("mmdet", "missing", ok=False)]))
         ok  torch  2.11.0
        !!!  mmdet  missing
        1 problem: run `make setup`
    """
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = " ok" if check.ok else "!!!" if check.required else "  -"
        lines.append(f"{mark}  {check.name:{width}}  {printable(check.text)}")
    found = problems(checks)
    if found:
        hints = " and ".join(dict.fromkeys(check.hint for check in found))
        lines.append(f"{len(found)} problem{'s' if len(found) > 1 else ''}: {hints}")
    else:
        lines.append(healthy)
    return "\n".join(lines)
