"""A folder, recipes and a clock for tests of the ledger."""

from __future__ import annotations

from pathlib import Path

from bridge.ledger.states import Recipe

FOLDER = Path("/watched")
RECIPE = Recipe("stems", "hash-1", "spleeter-2stems", "1", Path("/watched/Stems"))
OTHER_RECIPE = Recipe("karaoke", "hash-2", "spleeter-2stems", "1", Path("/watched/Stems"))


class Clock:
    """Wall clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s
