"""`python -m bridge` is `stembridge`: where the program begins."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; first of all the worker, if the command is going to need it."""
    from bridge.worker import early

    early.start(sys.argv[1:])

    from bridge import cli

    cli.main()


if __name__ == "__main__":
    main()
