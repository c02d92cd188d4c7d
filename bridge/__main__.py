"""`python -m bridge` is `stembridge`: where the program begins."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; before it the worker, if the command is going to need it."""
    from bridge.system import standard_streams

    standard_streams.guard()  # first: a file opened before could get the number of a closed stream

    from bridge.worker import prestart

    prestart.start(sys.argv[1:])

    from bridge import cli

    cli.main()


if __name__ == "__main__":
    main()
