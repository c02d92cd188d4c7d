"""Plan of a batch: each bounce with its preset, output folder and current state.

No bounce is opened and nothing is written: the scan's sizes and modification times are compared
with those in the ledger.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.intake.not_read import of_scan
from bridge.intake.scan import scan
from bridge.ledger.states import State
from bridge.publish.output_names import OutputNames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path, PurePath, PurePosixPath

    from bridge.intake.not_read import NotRead
    from bridge.intake.scan import FoundFile, Scan, Unreadable
    from bridge.ledger.states import Job, Recipe
    from bridge.ledger.store import Ledger
    from bridge.service.preset_resolver import PresetResolver


class PlanState(str, Enum):
    """State of a bounce before the batch."""

    NEW = "new"  # unknown, or with another content, preset or model than before
    WAITS = "waiting"  # queued or interrupted
    GONE = "stems gone"  # done, but its stems were deleted
    DONE = "done"  # or skipped
    FAILED = "failed"  # not attempted until `stembridge retry`


#: States that a batch converts.
TO_DO = frozenset({PlanState.NEW, PlanState.WAITS, PlanState.GONE})


@dataclass(frozen=True)
class Item:
    """One planned bounce. source is relative to the folder, place to the output folder."""

    found: FoundFile
    source: Path
    recipe: Recipe
    place: PurePosixPath
    state: PlanState
    job: Job | None = None

    @property
    def is_to_do(self) -> bool:
        """Whether the batch converts it."""
        return self.state in TO_DO


@dataclass(frozen=True)
class Plan:
    """The bounces in the order of their paths, and the folder's other content.

    not_read: files in formats that are not read. links: number of ignored links. unreadable:
    folders that could not be read.
    """

    items: tuple[Item, ...]
    not_read: tuple[NotRead, ...] = ()
    links: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def to_do(self) -> tuple[Item, ...]:
        """The bounces that the batch converts."""
        return tuple(item for item in self.items if item.is_to_do)

    @cached_property
    def _places(self) -> dict[str, PurePosixPath]:
        return {item.source.as_posix(): item.place for item in self.items}

    def choose(self, source: PurePath, taken: Mapping[str, str]) -> PurePosixPath:
        """The planned place of a bounce if it is still free, else a new free one.

        So names do not depend on the order of the jobs.
        """
        planned = self._places.get(source.as_posix())
        others = {name: owner for name, owner in taken.items() if owner != source.as_posix()}
        if planned is not None and OutputNames(others).is_free(planned):
            return planned
        return OutputNames(taken).assign(source)


def make_plan(folder: Path, out_dir: Path, resolver: PresetResolver, ledger: Ledger | None) -> Plan:
    """The plan for the current content of `folder`. Never raises because of that content.

    ledger: None where there is none yet. Raises LedgerError.
    """
    found = scan(folder, output_dirs=(out_dir,))
    return plan_from_scan(
        found,
        folder,
        recipe_for=resolver.recipe_for,
        jobs=ledger.newest(folder, out_dir) if ledger else {},
        names=OutputNames(ledger.output_names(out_dir, folder) if ledger else {}),
    )


def plan_from_scan(
    found: Scan,
    folder: Path,
    *,
    recipe_for: Callable[[Path], Recipe],
    jobs: Mapping[Path, Job],
    names: OutputNames,
    exists: Callable[[Path], bool] = os.path.lexists,
) -> Plan:
    """The plan for a scan.

    Args:
        found: the scan of `folder`.
        folder: absolute.
        recipe_for: the recipe of a bounce, by its absolute path.
        jobs: source -> its newest job.
        names: the output folders in use.
        exists: whether a path exists.
    """
    items = []
    for one in found.files:
        source, recipe = one.path.relative_to(folder), recipe_for(one.path)
        job = jobs.get(source)
        state = plan_state(one, recipe, job, exists)
        items.append(Item(one, source, recipe, names.assign(source), state, job))
    return Plan(tuple(items), of_scan(found), found.links, found.unreadable)


def plan_state(
    found: FoundFile, recipe: Recipe, job: Job | None, exists: Callable[[Path], bool]
) -> PlanState:
    """The state of a bounce.

    Args:
        found: the file as scanned.
        recipe: its current recipe.
        job: its newest job, or None.
        exists: whether a path exists; called for the manifest.
    """
    if job is None or not job.is_for(found.size, found.mtime_ns, recipe):
        return PlanState.NEW
    if job.has_no_stems:
        return PlanState.DONE
    if job.state is State.DONE:
        # A set is complete exactly when its manifest is there.
        there = job.manifest_path is not None and exists(job.manifest_path)
        return PlanState.DONE if there else PlanState.GONE
    return PlanState.FAILED if job.state is State.FAILED else PlanState.WAITS
