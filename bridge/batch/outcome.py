"""What became of each bounce of a batch, and the levels of its stems."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.batch.plan import PlanState
from bridge.batch.progress import ProgressState
from bridge.ledger.states import State
from bridge.publish.manifest import Manifest
from bridge.publish.transaction import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from bridge.batch.plan import Item, Plan
    from bridge.batch.progress import BounceProgress
    from bridge.ledger.states import Job, Recipe


class OutcomeState(str, Enum):
    """What became of a bounce."""

    DONE = "done"  # by this batch
    UNCHANGED = "unchanged"  # its stems were there
    SKIPPED = "skipped"  # silent, of which its preset makes no stems
    FAILED = "failed"
    LEFT = "left"  # not begun, or given back


def read_stem_manifest(folder: Path) -> Manifest | None:
    """The manifest there; None when it is gone, or one that this version does not know."""
    try:
        return Manifest.from_json(read_manifest(folder) or {})
    except (KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Outcome:
    """One bounce. source: relative to its folder. folder: its stems'; None where there are none.

    read: gives the manifest in a folder.
    """

    source: Path
    state: OutcomeState
    preset: str
    model: str
    reason: str = ""
    code: str = ""
    folder: Path | None = None
    read: Callable[[Path], Manifest | None] = field(default=read_stem_manifest, repr=False)

    @cached_property
    def manifest(self) -> Manifest | None:
        """Of its stems, read when it is asked for: who has nothing to do needs none of them."""
        return None if self.folder is None else self.read(self.folder)


def outcomes(
    plan: Plan, jobs: Mapping[Path, Job], lines: Mapping[Path, BounceProgress]
) -> tuple[Outcome, ...]:
    """What became of each bounce that was there, or came meanwhile; in the order of their paths.

    jobs: of each bounce the one that counts, after the batch. lines: what was told of those that
    it worked on.
    """
    items = {item.source: item for item in plan.items}
    sources = sorted({*items, *lines})
    found = (_outcome(one, items.get(one), jobs.get(one), lines.get(one)) for one in sources)
    return tuple(one for one in found if one is not None)


def count_states(found: Iterable[Outcome]) -> Counter[OutcomeState]:
    """How many ended how."""
    return Counter(outcome.state for outcome in found)


def _outcome(
    source: Path, item: Item | None, job: Job | None, line: BounceProgress | None
) -> Outcome | None:
    recipe = job.recipe if job is not None else item.recipe if item is not None else None
    if recipe is None:
        return None  # it came, and went before its turn
    if job is None or (item is not None and item.state is PlanState.NEW and job == item.job):
        return _left(source, recipe, (line and line.text) or "")
    if job.state is State.FAILED or job.has_no_stems:
        end = OutcomeState.FAILED if job.state is State.FAILED else OutcomeState.SKIPPED
        why, code = job.reason or "", job.code or ""
        return Outcome(source, end, recipe.preset_name, recipe.model, why, code)
    if job.state is State.RUNNING:
        return _left(source, recipe, "another service is at it")
    if job.state is not State.DONE or job.manifest_path is None:
        return _left(source, recipe, job.reason or (line and line.text) or "")
    folder = job.manifest_path.parent
    end = (
        OutcomeState.DONE
        if line is not None and line.state is ProgressState.DONE
        else OutcomeState.UNCHANGED
    )
    return Outcome(source, end, recipe.preset_name, recipe.model, folder=folder)


def _left(source: Path, recipe: Recipe, reason: str) -> Outcome:
    return Outcome(
        source, OutcomeState.LEFT, recipe.preset_name, recipe.model, reason or "not begun"
    )
