"""``python -m pcb`` runs the ``pcb`` command."""

import sys

from pcb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
