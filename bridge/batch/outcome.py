"""Results of a batch: the outcome of each bounce, with the manifest of its stems."""

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
    """Final state of a bounce."""

    DONE = "done"  # converted by this batch
    UNCHANGED = "unchanged"  # converted before
    SKIPPED = "skipped"  # silent, with a preset that skips silence
    FAILED = "failed"
    LEFT = "left"  # not started, or released


def read_stem_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if it is missing or of an unknown version."""
    try:
        return Manifest.from_json(read_manifest(folder) or {})
    except (KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Outcome:
    """The result of one bounce.

    source: path relative to the batch's folder. reason, code: of a failure or of a bounce without
    stems. folder: of its stems, or None. read: reads the manifest in a folder.
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
        """The manifest of its stems, read lazily; None without stems."""
        return None if self.folder is None else self.read(self.folder)


def outcomes(
    plan: Plan, jobs: Mapping[Path, Job], lines: Mapping[Path, BounceProgress]
) -> tuple[Outcome, ...]:
    """Outcomes of all planned and newly found bounces, sorted by path.

    Args:
        plan: the plan before the batch.
        jobs: source -> its newest job after the batch.
        lines: source -> progress of the bounces that the batch started.
    """
    items = {item.source: item for item in plan.items}
    sources = sorted({*items, *lines})
    found = (_outcome(one, items.get(one), jobs.get(one), lines.get(one)) for one in sources)
    return tuple(one for one in found if one is not None)


def count_states(found: Iterable[Outcome]) -> Counter[OutcomeState]:
    """Number of outcomes in each state."""
    return Counter(outcome.state for outcome in found)


def _outcome(
    source: Path, item: Item | None, job: Job | None, line: BounceProgress | None
) -> Outcome | None:
    recipe = job.recipe if job is not None else item.recipe if item is not None else None
    if recipe is None:
        return None  # appeared and was deleted before its turn
    if job is None or (item is not None and item.state is PlanState.NEW and job == item.job):
        return _left(source, recipe, (line and line.text) or "")
    if job.state is State.FAILED or job.has_no_stems:
        end = OutcomeState.FAILED if job.state is State.FAILED else OutcomeState.SKIPPED
        why, code = job.reason or "", job.code or ""
        return Outcome(source, end, recipe.preset_name, recipe.model, why, code)
    if job.state is State.RUNNING:
        return _left(source, recipe, "another service is converting it")
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
