"""Entries of a batch plan."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bridge.batch.plan import Item, PlanState
from bridge.intake.scan import FoundFile
from bridge.ledger.states import Recipe

RECIPE = Recipe("stems", "p", "fast", "v", Path("/Export/Stems"))


def item(name: str) -> Item:
    place = PurePosixPath(name).with_suffix("")
    return Item(FoundFile(Path("/Export") / name, 1, 1), Path(name), RECIPE, place, PlanState.NEW)
