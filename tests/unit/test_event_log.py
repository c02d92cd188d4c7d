"""The log as JSON lines, with several writers and write errors."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from bridge.ledger.states import Job, Recipe, State
from bridge.service import event_log
from bridge.service.event_log import FILE, EventLog
from bridge.service.events import CompositeListener
from tests.watch_service import Heard

RECIPE = Recipe("stems", "h", "m", "v", Path("/watched/Stems"))


def job(name: str = "mix.wav", **fields: Any) -> Job:
    places = (Path("/watched"), Path(name))
    return Job(7, *places, 1, 1, RECIPE, State.RUNNING, 2, 0.0, 1.0, 1.0, **fields)


def lines(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob(FILE + "*"), reverse=True)  # the oldest has the highest number
    return [json.loads(line) for file in files for line in file.read_text("ascii").splitlines()]


def test_each_event_is_a_line(tmp_path: Path) -> None:
    kept = EventLog(tmp_path, Path("/watched"), clock=lambda: 1_700_000_000.25)
    kept.event("paused", "paused: no room", code="disk-full", reason="no room")
    kept.started(job())
    kept.progress(job(), "separate", 0.5)
    kept.failed(job(code="silent"), "nothing there", retry=False)
    kept.failed(job(code="changed"), "changed", retry=True)
    kept.released(job(), "stopped")
    kept.skipped(job())
    kept.note("a\nnote")
    kept.close()
    found = lines(tmp_path)
    assert [line["event"] for line in found] == [
        *("paused", "started", "failed", "retry", "released", "skipped", "note"),
    ]
    levels = [line["level"] for line in found]
    assert levels == ["warning", "info", "error", "warning", "info", "info", "info"]
    for line in found:
        assert line["time"] == "2023-11-14T22:13:20.250+00:00"
        assert (line["pid"], line["folder"]) == (os.getpid(), "/watched")
    assert (found[0]["code"], found[0]["reason"]) == ("disk-full", "no room")
    assert (found[1]["job"], found[1]["bounce"], found[1]["attempt"]) == (7, "mix.wav", 2)
    assert (found[2]["code"], found[2]["reason"]) == ("silent", "nothing there")
    assert found[2]["seconds"] >= 0


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.wav")
    EventLog(tmp_path, Path("/watched")).started(job(name))
    assert lines(tmp_path)[0]["bounce"] == name


def test_files_take_turns_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "FILE_BYTES", 2000)
    kept = EventLog(tmp_path, Path("/watched"))
    for number in range(200):
        kept.event("paused", "x" * 100, number=number)
    kept.close()
    files = [path for path in tmp_path.iterdir() if path.name.startswith(FILE)]
    assert len(files) == event_log.FILES
    assert max(path.stat().st_size for path in files) <= 2000
    numbers = [line["number"] for line in lines(tmp_path)]
    assert numbers == list(range(200 - len(numbers), 200))


def write_many(folder: Path, who: str) -> None:
    event_log.FILE_BYTES = 20_000
    kept = EventLog(folder, Path("/watched"))
    for number in range(300):
        kept.event("paused", "x" * 50, who=who, number=number)


def test_two_services_share_a_log(tmp_path: Path) -> None:
    """No line is torn; of the 600, those that the files still hold are in each one's order."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, who)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = lines(tmp_path)
    assert len(found) > 300
    for who in "ab":
        numbers = [line["number"] for line in found if line["who"] == who]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("place", ["a file", "/dev/full"])
def test_write_errors_are_swallowed(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    if place == "a file":
        folder.write_text("no folder")
    else:
        if not Path(place).exists():
            pytest.skip("needs /dev/full")
        folder.mkdir()
        (folder / FILE).symlink_to(place)
    kept = EventLog(folder, Path("/watched"))
    for _ in range(3):
        kept.event("paused", "x" * 10_000)
    kept.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("moment", ["another service began a file", "this one begins a file"])
def test_a_disk_that_was_full_when_a_file_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What it did not take then is lost; what comes later is kept."""
    kept = EventLog(tmp_path, Path("/watched"))
    kept.event("one", "text")
    stream = kept._handler.stream

    class Full:
        closed = False

        def __getattr__(self, name: str) -> object:
            return getattr(stream, name)

        def close(self) -> None:
            self.closed = True
            stream.close()
            raise OSError(28, "No space left on device")

    kept._handler.stream = Full()  # type: ignore[assignment]
    if moment.startswith("another"):
        (tmp_path / FILE).rename(tmp_path / f"{FILE}.1")
    else:
        monkeypatch.setattr(kept._handler, "maxBytes", 10)
    for name in ("two", "three", "four"):
        kept.event(name, "text")
    monkeypatch.undo()
    kept.event("five", "text")
    kept.close()
    events = [line["event"] for line in lines(tmp_path)]
    assert events[0] == "one"
    assert events[-2:] == ["four", "five"]


def test_composite_listener_forwards_to_all() -> None:
    one, other = Heard(), Heard()
    everyone = CompositeListener(one, other)
    everyone.note("n")
    everyone.event("paused", "p", code="x")
    everyone.started(job())
    everyone.progress(job(), "survey", 0.5)
    everyone.skipped(job())
    everyone.failed(job(), "bad", retry=True)
    everyone.released(job(), "gone")
    kinds = [kind for kind, _ in one.events]
    assert kinds == ["note", "paused", "started", "skipped", "retry", "released"]
    assert one.events == other.events
