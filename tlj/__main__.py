"""The command `tlj`, also as `python -m tlj`."""

import sys

from tlj.huge_pages import begin_with_huge_pages


def main() -> int:
    """Runs one verb in a process that is set up for it, and returns the exit code."""
    # First of all: what is imported before is imported twice.
    begin_with_huge_pages()
    from tlj.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
