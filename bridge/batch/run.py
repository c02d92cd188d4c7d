"""A batch from its plan to its outcomes; the conversion itself is that of `bridge.service.watch`.

plan ─► watch, once ─► ledger ─► outcomes
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.audio.probe import probe
from bridge.batch.outcome import outcomes, read_stem_manifest
from bridge.batch.pace import Pace
from bridge.batch.plan import PlanState, make_plan
from bridge.batch.rules import Rules
from bridge.errors import StembridgeError
from bridge.ledger.states import State
from bridge.ledger.store import Ledger
from bridge.presets import loader as presets
from bridge.service.preset_resolver import PresetResolver
from bridge.service.watch import LEDGER_PATIENCE_S, Watch, check_folders

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bridge.batch.outcome import Outcome
    from bridge.batch.pace import Kind
    from bridge.batch.plan import Item, Plan
    from bridge.batch.progress import BounceProgress
    from bridge.convert import Converter
    from bridge.service.events import EventListener
    from bridge.service.job_runner import Tally
    from bridge.worker.client import Worker

# Enough for a reliable speed, few enough to read their manifests quickly.
_REMEMBERED_JOBS = 200


@contextmanager
def extra_converters(
    converter: Converter, number: int, new_worker: Callable[[], Worker]
) -> Iterator[list[Converter]]:
    """Copies of a converter with workers of their own, closed at the end of the context.

    Args:
        converter: the one to copy.
        number: number of copies.
        new_worker: makes a worker, not started yet.
    """
    made = [replace(converter, worker=new_worker()) for _ in range(number)]
    try:
        for one in made:
            one.worker.start()
        yield made
    finally:
        with ThreadPoolExecutor(max(1, number)) as threads:  # in parallel: closing may take long
            for one in made:
                threads.submit(one.close)


@dataclass
class Batch:
    """Conversion of one export folder. A context manager, which closes the ledger.

    Attributes:
        folder: absolute path of the export.
        out_dir: absolute path of the output folder.
        converter: for bounces without a preset of their own.
        rules: presets by pattern.

    Raises:
        UsageError: the output folder cannot be used with this folder.
    """

    folder: Path
    out_dir: Path
    converter: Converter
    rules: Rules = field(default_factory=Rules)
    _ledger: Ledger | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_folders(self.folder, self.out_dir)

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    @cached_property
    def resolver(self) -> PresetResolver:
        """Resolver of each bounce's preset."""
        named = presets.find()  # once for all bounces
        return PresetResolver(
            self.converter, self.folder, self.out_dir, self.rules, find=lambda: named
        )

    def plan(self) -> Plan:
        """The plan for the folder's current content. Writes nothing and creates no ledger."""
        return make_plan(self.folder, self.out_dir, self.resolver, self._if_there())

    def run(
        self,
        plan: Plan,
        events: EventListener,
        stop: threading.Event,
        more: Sequence[Converter] = (),
    ) -> Tally:
        """Convert the planned bounces, and those that appear in the folder meanwhile.

        Waits while a condition such as a full disk blocks all jobs.

        Args:
            plan: the current plan.
            events: listener for the jobs' progress.
            stop: ends the run within seconds; running jobs are released.
            more: converters for further jobs at a time; see `Watch`.

        Returns:
            Counts of the jobs' results.

        Raises:
            AlreadyWatched: another service converts this folder.
            LedgerError: the ledger cannot be used.
        """
        ledger = self._open()
        for item in plan.items:
            if item.state is PlanState.GONE and item.job is not None:
                ledger.restart(item.job)
        watch = Watch(
            self.folder,
            self.out_dir,
            self.converter,
            ledger,
            events,
            overrides=self.rules,
            choose_output=plan.choose,
            more=more,
            reports_not_read=False,  # the plan names them
        )
        return watch.run(stop, once=True, patient=True)

    def problem(self, item: Item) -> str | None:
        """Error text for the preset of a bounce, or None."""
        try:
            self.resolver.converter_for(item.found.path)
        except StembridgeError as error:
            return str(error)
        return None

    def outcomes(self, plan: Plan, lines: Mapping[Path, BounceProgress]) -> tuple[Outcome, ...]:
        """Outcomes of all bounces; lines: from `Progress.by_source`, empty if nothing was run."""
        jobs = {item.source: item.job for item in plan.items if item.job is not None}
        ledger = self._if_there()
        if lines and ledger is not None:
            jobs = ledger.newest(self.folder, self.out_dir)
        return outcomes(plan, jobs, lines)

    def lengths_s(self, items: Iterable[Item]) -> dict[Item, float]:
        """Duration of each bounce in seconds from its header; 0 if the header is not readable."""
        return {item: self._length_s(item) for item in items}

    def pace(self, items: Iterable[Item]) -> Pace:
        """Speeds of earlier jobs with these models and presets on this machine."""
        wanted = {(item.recipe.model, item.recipe.preset_hash) for item in items}
        ledger, pace = self._if_there(), Pace()
        jobs = ledger.jobs(states=(State.DONE,), limit=_REMEMBERED_JOBS) if ledger else ()
        for job in jobs:
            kind: Kind = (job.recipe.model, job.recipe.preset_hash)
            if kind in wanted and job.manifest_path is not None:
                manifest = read_stem_manifest(job.manifest_path.parent)
                if manifest is not None and not manifest.source.is_silent:
                    pace.add(kind, manifest.duration_s, sum(manifest.seconds.values()))
        return pace

    def _length_s(self, item: Item) -> float:
        try:
            info = probe(item.found.path, self.converter.preset.bounce)
        except StembridgeError:
            return 0.0
        return (info.frames or 0) / info.rate_hz

    def _if_there(self) -> Ledger | None:
        return self._open() if self.converter.settings.ledger_path.exists() else None

    def _open(self) -> Ledger:
        if self._ledger is None:
            path = self.converter.settings.ledger_path
            self._ledger = Ledger(path, busy_timeout_s=LEDGER_PATIENCE_S)
        return self._ledger
