"""A batch from its plan to its end; the work is done by `bridge.service.watch`, as by the service.

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

# Enough to tell how fast a model is here, few enough to be read at once.
_REMEMBERED_JOBS = 200


@contextmanager
def extra_converters(
    converter: Converter, number: int, new_worker: Callable[[], Worker]
) -> Iterator[list[Converter]]:
    """So many more converters like this one, each with a worker of its own; started, and ended."""
    made = [replace(converter, worker=new_worker()) for _ in range(number)]
    try:
        for one in made:
            one.worker.start()
        yield made
    finally:
        with ThreadPoolExecutor(max(1, number)) as threads:  # one may take its time to end
            for one in made:
                threads.submit(one.close)


@dataclass
class Batch:
    """One export folder, and what is to become of the bounces in it. Both paths are absolute.

    A context manager: at its end the ledger is closed. Raises UsageError when the stems cannot go
    there.
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
        """Which preset each bounce gets."""
        named = presets.find()  # once: a thousand bounces are looked at in one moment
        return PresetResolver(
            self.converter, self.folder, self.out_dir, self.rules, find=lambda: named
        )

    def plan(self) -> Plan:
        """What there is to do. Writes nothing; a ledger that is not there is not made."""
        return make_plan(self.folder, self.out_dir, self.resolver, self._if_there())

    def run(
        self,
        plan: Plan,
        events: EventListener,
        stop: threading.Event,
        more: Sequence[Converter] = (),
    ) -> Tally:
        """Does all that the plan leaves to do, and what is rendered into the folder meanwhile.

        What stands in the way of all jobs (a full disk) is waited for. `stop` ends it within
        seconds; running jobs are given back then. more: see `Watch`.

        Raises AlreadyWatched, LedgerError.
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
        """What is wrong with the preset of a bounce, if anything."""
        try:
            self.resolver.converter_for(item.found.path)
        except StembridgeError as error:
            return str(error)
        return None

    def outcomes(self, plan: Plan, lines: Mapping[Path, BounceProgress]) -> tuple[Outcome, ...]:
        """What became of each bounce; lines: of `Progress`, empty when nothing was to be done."""
        jobs = {item.source: item.job for item in plan.items if item.job is not None}
        ledger = self._if_there()
        if lines and ledger is not None:
            jobs = ledger.newest(self.folder, self.out_dir)
        return outcomes(plan, jobs, lines)

    def lengths_s(self, items: Iterable[Item]) -> dict[Item, float]:
        """Seconds of audio in each bounce, as its header says; 0 where that cannot be told."""
        return {item: self._length_s(item) for item in items}

    def pace(self, items: Iterable[Item]) -> Pace:
        """What earlier jobs with these models and presets took on this machine."""
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
