"""``python -m pcb``: the same as the console script ``pcb``."""

import sys

from pcb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
