"""Run the ``pcb`` command when Python is started with ``python -m pcb``."""

import sys

from pcb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
