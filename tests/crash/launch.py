"""`python -m tests.crash.launch watch ...`: the command, with the tests' worker and their steps."""

from __future__ import annotations


def main() -> None:
    """The command line of `stembridge`, as it is."""
    from bridge import cli
    from bridge.worker import child
    from tests.crash import steps

    child._BOOT = child._BOOT.replace("bridge.worker.serve", "tests.crash.worker")
    steps.install(steps.SERVICE)
    cli.main()


if __name__ == "__main__":
    main()
