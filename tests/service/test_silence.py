"""Silent bounces in a watched folder: stems by default, and none where the preset skips them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import soundfile

from bridge.ledger.states import State
from bridge.ledger.store import Ledger
from bridge.service.event_log import FILE, EventLog
from bridge.service.job_runner import Tally
from tests.bounces import render, silence, wav_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.watch_service import Studio

FRAMES = 2400
REASON = f"skipped: silent, all {FRAMES:,} frames are digital silence; "


def render_silence(path: Path, frames: int = FRAMES) -> Path:
    path.write_bytes(wav_bytes(silence(frames), time_reference=48_000))
    return path


@pytest.fixture
def skipping(studio: Studio) -> Studio:
    """A studio whose preset skips silent bounces."""
    path = studio.root / "skipping.yaml"
    path.write_text("schema: 1\nsummary: no stems of silence\nbounce: {skip_silent: true}\n")
    studio.preset = str(path)
    return studio


def test_silence_and_one_frame_become_stems_as_any_bounce_does(studio: Studio) -> None:
    render_silence(studio.folder / "silence.wav")
    render(studio.folder / "one.wav", frames=1, time_reference=48_000)
    assert studio.once() == Tally(done=2)
    studio.check_complete()
    assert studio.manifest("silence")["warnings"][0].startswith("silent: all 2,400 frames")
    for stem in studio.manifest("silence")["stems"]:
        assert not soundfile.read(studio.stems / "silence" / stem["path"])[0].any()
    assert studio.manifest("one")["warnings"] == []
    assert studio.once() == Tally()


def test_a_skipped_bounce_is_done_and_not_tried_again(skipping: Studio) -> None:
    bounce = render_silence(skipping.folder / "silence.wav")
    render(skipping.folder / "mix.wav")
    assert skipping.once() == Tally(done=1, silent=1)
    assert skipping.published() == ["mix"]
    job = next(job for job in skipping.jobs() if job.path == bounce)
    assert (job.state, job.code, job.manifest_path) == (State.DONE, "silent", None)
    assert job.has_no_stems
    assert str(job.reason).startswith(REASON)
    assert skipping.heard.of("skipped") == ["silence.wav"]
    assert skipping.heard.of("failed") == []
    assert skipping.once() == Tally()
    assert Ledger(skipping.settings.ledger_path).retry() == 0
    os.utime(bounce)  # touched: looked at again
    assert skipping.once() == Tally(silent=1)
    assert skipping.leftovers() == []


def test_a_skipped_bounce_gets_stems_from_another_preset_or_render(skipping: Studio) -> None:
    bounce = render_silence(skipping.folder / "silence.wav")
    assert skipping.once() == Tally(silent=1)
    skips, skipping.preset = skipping.preset, "stems"
    assert skipping.once() == Tally(done=1)
    assert skipping.published() == ["silence"]
    skipping.preset = skips
    render(bounce, seed=3)
    assert skipping.once() == Tally(done=1)
    assert skipping.manifest("silence")["source"]["peak_dbfs"] is not None


def test_stems_of_an_earlier_render_stay(skipping: Studio) -> None:
    """As after a failure: nothing is taken away that was not replaced."""
    bounce = render(skipping.folder / "mix.wav")
    sound = bounce.read_bytes()
    assert skipping.once() == Tally(done=1)
    before = skipping.manifest("mix")
    render_silence(bounce)
    assert skipping.once() == Tally(silent=1)
    assert skipping.manifest("mix") == before
    bounce.write_bytes(sound)
    assert skipping.once() == Tally(done=1)  # of the newest job there are no stems
    skipping.check_complete()


def test_the_log_says_why(skipping: Studio) -> None:
    render_silence(skipping.folder / "silence.wav")
    log = EventLog(skipping.root / "log", skipping.folder)
    skipping.heard = log  # type: ignore[assignment]
    skipping.once()
    log.close()
    lines = [json.loads(line) for line in (skipping.root / "log" / FILE).read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "skipped"]
    assert (line["level"], line["bounce"], line["code"]) == ("info", "silence.wav", "silent")
    assert line["reason"].startswith(REASON)
