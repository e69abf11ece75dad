"""``pcb grid``: check a grid, run it, and report what it found."""

from __future__ import annotations

import argparse
import sys

from pcb.grids.grid import check_options, grid_root, read_grid


def main(arguments: list[str] | None = None) -> int:
    """Check a grid, also the options of its configs, and print the folder of its runs."""
    parser = argparse.ArgumentParser(prog="python -m pcb.cli.grid", description=main.__doc__)
    parser.add_argument("grid", help="a file, or the name of one in workflow/grids/")
    name = parser.parse_args(arguments).grid
    try:
        check_options(read_grid(name))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print(grid_root(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
