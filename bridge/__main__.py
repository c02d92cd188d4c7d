"""Entry point of `python -m bridge` and of the program `stembridge`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; start the worker first if the command will need it."""
    from bridge.system import standard_streams

    standard_streams.guard()  # first, as another file could get the number of a closed stream

    from bridge.worker import prestart

    prestart.start(sys.argv[1:])

    from bridge import cli

    cli.main()


if __name__ == "__main__":
    main()
