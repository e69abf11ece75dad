"""Run the ``pcb`` command as ``python -m pcb``."""

import sys

from pcb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
