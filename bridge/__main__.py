"""`python -m bridge` is `stembridge`."""

from bridge.cli import main

main()
