"""What a batch would do: every bounce, its preset, where its stems go, and what is done already.

No bounce is opened and nothing is written: the walk gives size and time of each file, and the
ledger says of which size and time it has seen them.
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
    """Where a bounce stands before the batch begins."""

    NEW = "new"  # never seen, or another file, preset or model than then
    WAITS = "waiting"  # begun by a service that was ended
    GONE = "stems gone"  # done, but its stems were removed since
    DONE = "done"  # or skipped
    FAILED = "failed"  # and left alone until `stembridge retry`


#: What a batch works on.
TO_DO = frozenset({PlanState.NEW, PlanState.WAITS, PlanState.GONE})


@dataclass(frozen=True)
class Item:
    """One bounce. source is relative to the folder, place to the output folder."""

    found: FoundFile
    source: Path
    recipe: Recipe
    place: PurePosixPath
    state: PlanState
    job: Job | None = None

    @property
    def is_to_do(self) -> bool:
        """Whether a batch works on it."""
        return self.state in TO_DO


@dataclass(frozen=True)
class Plan:
    """The bounces in the order of their paths, and what else lies there.

    not_read: files that cannot be bounces. links: how many, and left alone. unreadable: folders
    that could not be looked into.
    """

    items: tuple[Item, ...]
    not_read: tuple[NotRead, ...] = ()
    links: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def to_do(self) -> tuple[Item, ...]:
        """What a batch works on."""
        return tuple(item for item in self.items if item.is_to_do)

    @cached_property
    def _places(self) -> dict[str, PurePosixPath]:
        return {item.source.as_posix(): item.place for item in self.items}

    def choose(self, source: PurePath, taken: Mapping[str, str]) -> PurePosixPath:
        """The place of a bounce, if it is still free; of one that came later, what is free then.

        So names do not depend on the order in which jobs are done.
        """
        planned = self._places.get(source.as_posix())
        others = {name: owner for name, owner in taken.items() if owner != source.as_posix()}
        if planned is not None and OutputNames(others).is_free(planned):
            return planned
        return OutputNames(taken).assign(source)


def make_plan(folder: Path, out_dir: Path, resolver: PresetResolver, ledger: Ledger | None) -> Plan:
    """The plan for what lies in `folder` now. Never raises for what it finds there.

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
    """The plan for a walk. jobs: of each bounce the one that counts."""
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
    """Where a bounce stands, given the job that counts. exists: asked for the manifest."""
    if job is None or not job.is_for(found.size, found.mtime_ns, recipe):
        return PlanState.NEW
    if job.has_no_stems:
        return PlanState.DONE
    if job.state is State.DONE:
        # A set is complete exactly when its manifest is there.
        there = job.manifest_path is not None and exists(job.manifest_path)
        return PlanState.DONE if there else PlanState.GONE
    return PlanState.FAILED if job.state is State.FAILED else PlanState.WAITS
