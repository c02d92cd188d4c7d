"""The experiments: races against the peers, growth with the length, cost of the presets, limits."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import soundfile

from tests.bench import measure, music, ours, peers
from tests.bench.compare import NotAlike, snr_db
from tests.bench.measure import CommandFailed
from tests.bench.peers import Command, NotMeasured
from tests.bench.results import Entry, Length, Limits, Race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.bench.measure import Usage
    from tests.bench.peers import Installed, Peer

REPEATS = 3  # at most, of what is compared with itself: lengths up to LONG_MINUTES, presets
LONG_MINUTES = 10
PEERS: Mapping[str, Peer] = {"htdemucs": peers.DEMUCS, "spleeter:2stems": peers.SPLEETER}


@dataclass
class Racer:
    """An entry and how to run it.

    program: the command for a track, a folder and options. stem: a stem's path in that folder.
    """

    entry: Entry
    program: Callable[..., Command]
    stem: Callable[[Path, Path, str], Path]
    options: tuple[str, ...] = ()


@dataclass
class Laboratory:
    """Where things are kept, and who hears what goes on.

    scratch: emptied run by run. place: of the installed peers. seconds: of music in races.
    """

    scratch: Path
    place: Path
    rounds: int
    seconds: float
    note: Callable[[str], None]

    def track(self, seconds: float) -> Path:
        """The bounce of that length, made once."""
        path = self.scratch / f"music-{seconds:g}s.wav"
        if not path.exists():
            music.write_bounce(path, seconds)
        return path

    def race(self, model: str) -> Race:
        """The peer and ours in turn, each in all its settings; see `Entry` for what is taken."""
        track = self.track(self.seconds)
        label, ready, reason = self._peer(PEERS[model])
        if ready:
            theirs = _peer_racers(ready, label)
        else:
            theirs = [Racer(Entry(label, peer=True, missing=reason), _none, _none)]
        racers = [*theirs, *self._our_racers(model)]
        for racer in racers:
            if racer.entry.missing is None:
                self._warm_up(racer, track)
        self._compare(model, racers, track)
        for number in range(self.rounds):
            # There and back, so that nobody always has the machine that somebody else has heated.
            for racer in racers if number % 2 == 0 else reversed(racers):
                self._timed(racer, track)
        versions = ready.versions() if ready else {}
        return Race(model, self.seconds, tuple(racer.entry for racer in racers), versions)

    def growth(self, model: str, lengths_minutes: tuple[float, ...]) -> Iterator[Length]:
        """Time and memory of ours over the length of the bounce; the first length comes first."""
        racer = our_racer(model, "")
        found = {minutes: Entry(f"{model}, {minutes:g} min") for minutes in lengths_minutes}
        self._run(our_racer(model, "first"), self.track(self.seconds), self.scratch / "out first")
        for number in range(min(self.rounds, REPEATS)):
            for minutes, entry in found.items():
                if minutes > LONG_MINUTES and number:
                    continue
                racer.entry = entry
                self._timed(racer, self.track(60 * minutes), sampled=True)
        return (Length(model, minutes, entry) for minutes, entry in found.items())

    def presets(self, model: str) -> list[Entry]:
        """Our command with each of the shipped presets, in turn."""
        names = sorted(path.stem for path in ours.PRESETS.glob("*.yaml"))
        names.sort(key=lambda name: name != ours.PLAIN_PRESET)  # what the others are compared with
        racers = [our_racer(model, name, "--preset", name) for name in names]
        for _ in range(min(self.rounds, REPEATS)):
            for racer in racers:
                self._timed(racer, self.track(self.seconds))
        return [racer.entry for racer in racers]

    def limits(self) -> Limits:
        """What the machine can do now."""
        self.note("matrix products and single segments")
        log = self.scratch / "limits.log"
        measure.run(Command((sys.executable, "-m", "tests.bench.limits")), log)
        found = json.loads(measure.last_line(log, "{"))
        return Limits(found["threads"], found["gflop_per_s"], found["segment_s"])

    # The programs

    def _peer(self, peer: Peer) -> tuple[str, Installed | None, str]:
        """Its name, itself, and why it is not there."""
        label = peer.requirements[0].replace("==", " ")
        try:
            return label, peers.install(peer, self.place, self.note), ""
        except NotMeasured as reason:
            return label, None, str(reason)

    def _our_racers(self, model: str) -> list[Racer]:
        default = our_racer(model, "stembridge")
        others = [
            our_racer(model, f"stembridge, {precision}", "--precision", precision)
            for precision in ours.precisions()
        ]
        return [default, *others]

    # The runs

    def _warm_up(self, racer: Racer, track: Path) -> None:
        """Fills caches, and measures memory, which takes time of its own."""
        usage = self._run(racer, track, self._out(racer), sampled=True)
        racer.entry.memory = usage

    def _timed(self, racer: Racer, track: Path, *, sampled: bool = False) -> None:
        entry = racer.entry
        if entry.missing is not None:
            return
        out = self._out(racer)
        usage = self._run(racer, track, out, sampled=sampled)
        if usage is None:
            return
        entry.runs.append(usage)
        if sampled and _peak(usage) >= _peak(entry.memory):
            entry.memory = usage
        if not entry.peer:
            manifest = ours.manifest(track, out)
            entry.stages.append(manifest["seconds"])
            entry.sums.append(tuple(stem["sha256"] for stem in manifest["stems"]))
        shutil.rmtree(out, ignore_errors=True)

    def _run(self, racer: Racer, track: Path, out: Path, *, sampled: bool = False) -> Usage | None:
        """None if it failed; then the entry says why, and is not run again."""
        shutil.rmtree(out, ignore_errors=True)
        try:
            log = self.scratch / "run.log"
            usage = measure.run(racer.program(track, out, *racer.options), log, sampled=sampled)
        except CommandFailed as failure:
            racer.entry.missing = str(failure)
            self.note(f"{racer.entry.name}: {failure}")
            return None
        self.note(f"{racer.entry.name}, {track.stem}: {usage.wall_s:.2f} s")
        return usage

    def _compare(self, model: str, racers: list[Racer], track: Path) -> None:
        """Our stems as the model gives them against the peer's, from the warm-up."""
        reference = next((r for r in racers if r.entry.peer and r.entry.memory is not None), None)
        if reference is None:
            return
        bare = self.scratch / "bare.yaml"
        bare.write_text(ours.BARE_PRESET, encoding="utf-8")
        theirs = self._out(reference)
        for racer in racers:
            entry, out = racer.entry, self._out(racer)
            if not entry.peer and entry.missing is None:
                bared = replace(racer, options=(*racer.options, "--preset", str(bare)))
                self._run(bared, track, out)
            if racer is reference or entry.missing is not None:
                continue
            try:
                entry.snr_db = {
                    stem: snr_db(racer.stem(track, out, stem), reference.stem(track, theirs, stem))
                    for stem in ours.stems(model)
                }
            except (NotAlike, soundfile.SoundFileError) as error:
                entry.unlike = str(error)

    def _out(self, racer: Racer) -> Path:
        return self.scratch / f"out {racer.entry.name}".replace(":", "-")


def _peak(usage: Usage | None) -> int:
    return (usage.tree_peak_bytes or 0) if usage else 0


def _peer_racers(ready: Installed, label: str) -> list[Racer]:
    """The plain command; of demucs also with a job for each core."""
    racers = [Racer(Entry(label, peer=True), ready.command, ready.stem_path)]
    cores = os.cpu_count() or 1
    if ready.peer is peers.DEMUCS and cores > 1:
        parallel = Entry(f"{label}, -j {cores}", peer=True)
        racers.append(Racer(parallel, ready.command, ready.stem_path, ("-j", str(cores))))
    return racers


def our_racer(model: str, name: str, *options: str) -> Racer:
    """Our command with these options."""
    return Racer(Entry(name), ours.split, ours.stem_path, ("--model", model, *options))


def _none(*_: object) -> Any:
    raise AssertionError("an entry without figures is not run")
