"""`python -m pilotage` and the command `pilotage`."""

import sys

from pilotage.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
