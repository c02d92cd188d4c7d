"""Session files of a job: what is staged, what is told, and signs of life while one is made."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.daw import formats
from bridge.daw.formats import FORMATS
from bridge.errors import DiskFull, FileTooLarge, OutputError, SessionError
from bridge.presets import loader as presets
from bridge.publish.manifest import Manifest
from bridge.publish.session_ownership import sha256
from bridge.render import session_files
from bridge.render.request import RenderRequest
from bridge.render.stopwatch import Stopwatch
from bridge.worker.protocol import NonFatalError
from bridge.worker.serve import ParentLogHandler
from tests.daw.sets import manifest, write_set
from tests.waiting import wait_until

if TYPE_CHECKING:
    from bridge.daw.session import Session

Heard = list[tuple[str, float]]


def made(
    tmp_path: Path, names: str, heard: Heard | None = None, *, bounce: str = "Mix.wav"
) -> tuple[Manifest, Heard, Path]:
    """The manifest with sessions, what was heard meanwhile, and the staging folder."""
    heard = [] if heard is None else heard
    staged = tmp_path / "staged"
    write_set(staged / "Mix.wav", frames=101)
    (tmp_path / "Bounces").mkdir()
    source = (staged / "Mix.wav").rename(tmp_path / "Bounces" / bounce)
    path = tmp_path / "p.yaml"
    path.write_text(f"schema: 2\nsummary: s\nsession: {names}\n")
    order = RenderRequest(source, "", presets.load(path), "v", {}, tmp_path / "Stems" / "Mix")
    watch = Stopwatch(lambda stage, share: heard.append((stage, share)), {"verify": 1.0})
    data = manifest(tmp_path / "Bounces" / "Mix.wav", frames=101)
    data["source"]["path"] = str(source)
    before = Manifest.from_json(data)
    return session_files.add_sessions(before, order, staged, watch), heard, staged


def test_they_are_staged_and_listed_in_the_order_of_the_preset(tmp_path: Path) -> None:
    after, heard, staged = made(tmp_path, "[csv, ardour, reaper]")
    assert [(each.name, each.path) for each in after.sessions] == [
        ("csv", "Mix.spotting.csv"),
        ("ardour", "Mix (Ardour)/Mix (Ardour).ardour"),
        ("reaper", "Mix.rpp"),
    ]
    for each in after.sessions:
        assert sha256(staged / each.path) == each.sha256
    assert heard[0] == ("session", 0.0)
    assert [*after.seconds] == ["verify", "session"]
    assert after.warnings == ()
    assert not (tmp_path / "Stems").exists()


def test_a_preset_without_any_costs_nothing(tmp_path: Path) -> None:
    after, heard, _ = made(tmp_path, "[]")
    assert (after.sessions, heard, after.seconds) == ((), [], {})


def refuse(error: Exception) -> object:
    def write(*_: object, **__: object) -> Path:
        raise error

    return write


def test_what_a_format_cannot_hold_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_files, "write_what_fits", refuse(SessionError("no; rename it")))
    after, *_ = made(tmp_path, "[csv, m3u8]")
    assert after.sessions == ()
    assert after.warnings == (
        "session 'csv' was not written: no; rename it",
        "session 'm3u8' was not written: no; rename it",
    )


def test_a_defect_of_ours_is_a_warning_and_its_traceback_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise struct.error("argument out of range")

    broken = replace(FORMATS["csv"], write=fail)
    monkeypatch.setattr(formats, "FORMATS", {**FORMATS, "csv": broken})
    after, *_ = made(tmp_path, "[csv, m3u8]")
    assert [each.name for each in after.sessions] == ["m3u8"]
    (warning,) = after.warnings
    assert warning == (
        "session 'csv' was not written: internal error: error: argument out of range; please "
        "report it"
    )
    (record,) = caplog.records
    assert record.getMessage() == warning
    assert record.exc_text is not None
    assert "struct.error: argument out of range" in record.exc_text


def test_the_worker_sends_such_a_record_to_its_parent() -> None:
    sent: list[object] = []

    class Line:
        def send(self, message: object) -> None:
            sent.append(message)

    log = logging.getLogger("bridge.tests.line")
    handler = ParentLogHandler(Line())  # type: ignore[arg-type]
    log.addHandler(handler)
    try:
        log.warning("of no weight")
        log.error("it failed", exc_info=ValueError("why"))
    finally:
        log.removeHandler(handler)
    (message,) = sent
    assert isinstance(message, NonFatalError)
    assert message.text == "it failed"
    assert message.traceback == "ValueError: why\n"


def test_a_bounce_that_a_format_cannot_name_costs_that_clip(tmp_path: Path) -> None:
    after, _, staged = made(tmp_path, "[m3u8, reaper]", bounce="two\nlines.wav")
    assert [each.name for each in after.sessions] == ["m3u8", "reaper"]
    assert [warning.partition("two")[0] for warning in after.warnings] == [
        "session 'm3u8' is without ",
        "session 'reaper' is without ",
    ]
    for each in after.sessions:
        assert "Mix - vocals.wav" in (staged / each.path).read_text("utf-8")


def test_a_file_that_cannot_be_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike a full disk, which will not take the stems either."""
    monkeypatch.setattr(session_files, "write_what_fits", refuse(FileTooLarge("too long")))
    after, *_ = made(tmp_path, "[csv]")
    assert after.warnings == ("session 'csv' was not written: too long",)


def test_a_disk_that_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_files, "write_what_fits", refuse(DiskFull("full: free some space")))
    with pytest.raises(OutputError):
        made(tmp_path, "[csv]")


def test_while_one_takes_long_the_worker_says_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Heard = []

    def slow(
        _name: str, _session: Session, folder: Path, *_: object, **__: object
    ) -> tuple[Path, tuple[str, ...]]:
        wait_until(lambda: len(heard) > 3, "signs of life")
        (folder / "x").write_bytes(b"")
        return folder / "x", ()

    monkeypatch.setattr(session_files, "_HEARTBEAT_S", 0.01)
    monkeypatch.setattr(session_files, "write_what_fits", slow)
    made(tmp_path, "[csv]", heard)
    assert {*heard} == {("session", 0.0)}
