"""What is not read is told once by the service, and excluded folders are no source of events."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bridge.intake import settle
from bridge.intake.intake import Intake
from tests.bounces import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.intake.intake import Settled
    from bridge.intake.not_read import NotRead
    from tests.watch_service import Studio

FAST = settle.SettleTimes(riff_quiet_s=0.1, quiet_s=0.3)


class Seen:
    """What an intake in its own thread has found."""

    def __init__(self, folder: Path, *, polling: bool) -> None:
        self.folder = folder
        self.bounces: list[str] = []
        self.not_read: list[str] = []
        self._stop = threading.Event()
        self._intake = Intake(
            folder,
            output_dirs=[folder / "Stems"],
            on_settled=self._settled,
            known=lambda *_: False,
            warn=lambda _: None,
            times=FAST,
            polling_times=FAST,
            rescan_s=60.0,
            polling_s=0.1,
            polling=polling,
            on_not_read=self._not_read,
        )
        self._thread = threading.Thread(target=self._intake.run, args=(self._stop,))
        self._thread.start()
        assert self._intake.wait_idle(10)

    def _settled(self, settled: Settled) -> None:
        self.bounces.append(settled.path.relative_to(self.folder).as_posix())

    def _not_read(self, files: list[NotRead]) -> None:
        self.not_read += [one.path.relative_to(self.folder).as_posix() for one in files]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline_s, (self.bounces, self.not_read)
            time.sleep(0.01)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture(params=[False, True], ids=["events", "polling"])
def seen(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Seen]:
    (tmp_path / "there.mid").write_bytes(b"MThd")
    made = Seen(tmp_path, polling=request.param)
    yield made
    made.end()


def test_what_appears_later_is_named_too_and_nothing_twice(seen: Seen) -> None:
    assert seen.not_read == ["there.mid"]
    midi = seen.folder / "new.mid"
    for _ in range(3):  # as a DAW saves again and again
        midi.write_bytes(b"MThd")
    (seen.folder / "sub").mkdir()
    (seen.folder / "sub" / "set.als").write_bytes(b"gzip")
    render(seen.folder / "mix.wav")
    seen.wait_for(lambda: {"new.mid", "sub/set.als"} <= {*seen.not_read})
    seen.wait_for(lambda: seen.bounces == ["mix.wav"])
    midi.write_bytes(b"MThd again")
    render(seen.folder / "last.wav")  # what came before it has been looked at by then
    seen.wait_for(lambda: "last.wav" in seen.bounces)
    assert sorted(seen.not_read) == ["new.mid", "sub/set.als", "there.mid"]


@pytest.mark.parametrize("bin_name", ["#recycle", "$RECYCLE.BIN", "@Recycle", ".Trash-1000"])
def test_a_bounce_that_is_thrown_away_is_not_found_again(seen: Seen, bin_name: str) -> None:
    bounce = render(seen.folder / "mix.wav")
    seen.wait_for(lambda: seen.bounces == ["mix.wav"])
    thrown = seen.folder / bin_name / "files"
    thrown.mkdir(parents=True)
    bounce.rename(thrown / "mix.wav")
    (thrown / "old.mid").write_bytes(b"MThd")
    (seen.folder / "Stems").mkdir()
    (seen.folder / "Stems" / "of the output.mid").write_bytes(b"MThd")
    render(seen.folder / "last.wav")
    seen.wait_for(lambda: "last.wav" in seen.bounces)
    assert seen.bounces == ["mix.wav", "last.wav"]
    assert seen.not_read == ["there.mid"]


def test_the_service_names_them_and_the_log_keeps_them(studio: Studio) -> None:
    for name in ("song.mid", "set.als", "notes.txt", "mix.wav.asd"):
        (studio.folder / name).write_bytes(b"x")
    render(studio.folder / "mix.wav")
    tally = studio.once()
    assert (tally.done, tally.failed) == (1, 0)
    assert studio.heard.of("not-read") == [
        "not read: 2 files: set.als (Ableton Live project), song.mid (MIDI)"
    ]
    assert studio.heard.of("left-alone") == ["not read: notes.txt"]
    facts = [fact for name, fact in studio.heard.facts if name == "not-read"]
    assert json.loads(json.dumps(facts)) == [
        {
            "files": [
                {"file": "set.als", "format": "Ableton Live project"},
                {"file": "song.mid", "format": "MIDI"},
            ]
        }
    ]
