"""Measures our command beside its peers: python -m tests.bench, or `make bench`."""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import machine, measure, ours, peers, report, targets
from tests.bench.experiments import Laboratory
from tests.bench.results import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.targets import Target

PARTS = ("htdemucs", "spleeter", "growth", "stages")
MODELS = {"htdemucs": "htdemucs", "spleeter": "spleeter:2stems"}
DEFAULT_ROUNDS = 5
DEFAULT_SECONDS = 60.0
HELP_RUNS = 10
MOST_SECONDS = 600  # the official Spleeter separates no more by default
MOST_MINUTES = 240  # of 24 bits in a WAV of 4 GB
DEFAULT_MINUTES = (1.0, 10.0)


@dataclass
class Findings:
    """The document that gets the sections, if any, and the targets that they tell of."""

    document: Path | None
    targets: list[Target] = field(default_factory=list)

    def add(self, name: str, *parts: str) -> None:
        """Prints a section and writes it, at once: a later part may fail."""
        body = "\n\n".join(part for part in parts if part)
        print(f"\n{body}\n", flush=True)
        if self.document:
            before = self.document.read_text(encoding="utf-8")
            self.document.write_text(report.replaced(before, {name: body}), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    place = peers.folder()
    place.mkdir(parents=True, exist_ok=True)
    if chosen.install:
        return _install(place)
    if chosen.write:  # before an hour of work, not after
        report.replaced(
            chosen.write.read_text(encoding="utf-8"), dict.fromkeys(_sections(chosen), "")
        )
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as scratch:
        laboratory = Laboratory(Path(scratch), place, chosen.rounds, chosen.seconds, _note)
        _measure(chosen, laboratory, _provenance(chosen, arguments))
    return 0


def _measure(chosen: argparse.Namespace, laboratory: Laboratory, provenance: str) -> None:
    findings = Findings(chosen.write)
    findings.add("machine", report.machine(machine.describe()))
    for part in chosen.only or PARTS:
        if part in MODELS:
            _race(part, laboratory, findings, provenance)
        elif part == "growth":
            _growth(laboratory, tuple(chosen.minutes), findings, provenance)
        else:
            _stages(laboratory, findings, provenance)
    header = ("target", "wanted", "measured", "kept")
    rows = [target.row() for target in findings.targets]
    findings.add("targets", report.table(header, rows) if rows else "", provenance)


def _race(part: str, laboratory: Laboratory, findings: Findings, provenance: str) -> None:
    model = MODELS[part]
    limits = laboratory.limits() if model == "htdemucs" else None
    found = laboratory.race(model)
    if limits:
        limits = limits.best_with(laboratory.limits())
    findings.add(
        part,
        report.race(found),
        report.likeness_by_stem(found),
        report.limits(found, limits) if limits else "",
        report.peer_versions(found),
        provenance,
    )
    findings.targets += targets.of_race(found, limits)


def _growth(
    laboratory: Laboratory, minutes: tuple[float, ...], findings: Findings, provenance: str
) -> None:
    lengths = [length for model in MODELS.values() for length in laboratory.growth(model, minutes)]
    findings.add("growth", report.growth(lengths), provenance)
    findings.targets += targets.of_growth(lengths)


def _stages(laboratory: Laboratory, findings: Findings, provenance: str) -> None:
    tables = []
    for model in MODELS.values():
        entries = laboratory.presets(model)
        tables.append(report.stages(model, entries))
        findings.targets += targets.of_presets(model, entries)
    log = laboratory.scratch / "help.log"
    times = Spread.of([measure.run(ours.show_help(), log).wall_s for _ in range(HELP_RUNS)])
    tables.append(f"`stembridge --help`: {times.median:.2f} s (least {times.least:.2f} s).")
    findings.add("stages", *tables, provenance)


def _install(place: Path) -> int:
    """All peers, and the file that says how to call them."""
    ready = []
    for peer in peers.PEERS.values():
        try:
            ready.append(peers.install(peer, place, _note))
        except peers.NotMeasured as reason:
            _note(f"{peer.name}: {reason}")
    print(peers.write_howto(place, ready).read_text(encoding="utf-8"))
    return 0 if len(ready) == len(peers.PEERS) else 1


def _sections(chosen: argparse.Namespace) -> list[str]:
    return ["machine", *(chosen.only or PARTS), "targets"]


def _provenance(chosen: argparse.Namespace, arguments: Sequence[str]) -> str:
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    command = shlex.join(("python", "-m", "tests.bench", *arguments))
    return f"{today}; {chosen.seconds:g} s of music, rounds: {chosen.rounds}; `{command}`."


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _within(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    """A number of that kind between two others, for argparse."""

    def parsed(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{least} to {most}")
        return value

    return parsed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=_within(int, 1, 100), default=DEFAULT_ROUNDS, help="of every race"
    )
    parser.add_argument(
        "--seconds",
        type=_within(float, 10, MOST_SECONDS),
        default=DEFAULT_SECONDS,
        help="of music in races; less to try it",
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="may be given twice")
    parser.add_argument(
        "--minutes",
        nargs="+",
        type=_within(float, 0.1, MOST_MINUTES),
        default=DEFAULT_MINUTES,
        help="of growth",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the sections into FILE")
    parser.add_argument("--install", action="store_true", help="make the peers ready, no more")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
