"""`python -m tlj`: the same as the command `tlj`."""

import sys

from tlj.cli import main

if __name__ == "__main__":
    sys.exit(main())
