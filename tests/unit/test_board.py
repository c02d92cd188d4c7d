"""The live table of a batch on a terminal, and the lines elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from bridge.batch.pace import Pace
from bridge.batch.progress import Progress
from bridge.cli import board
from tests.unit.batch_items import RECIPE, item

if TYPE_CHECKING:
    from bridge.batch.plan import Item

HOSTILE = "[red]x[/red] \x1b[31m\n.wav"
NAMES = ("a.wav", HOSTILE, *(f"Take {number:02}.wav" for number in range(30)))


def job(name: str) -> Any:
    places = {"source_path": Path(name), "output_path": Path("x")}
    return SimpleNamespace(**places, recipe=RECIPE, reason=None, has_no_stems=False)


def manifest() -> Any:
    source = SimpleNamespace(is_silent=False)
    return SimpleNamespace(duration_s=10.0, gain_db=0.0, stems=(), speed=2.0, source=source)


@pytest.fixture
def items() -> dict[Item, float]:
    return {item(name): 10.0 for name in NAMES}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 90 x 20 gets."""
    shown = io.StringIO()
    made = Console(file=shown, force_terminal=True, width=90, height=20, color_system="standard")
    monkeypatch.setattr(board, "console", lambda **_: made)
    return shown


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()


def test_the_table_shows_what_is_worked_on(screen: io.StringIO, items: dict[Item, float]) -> None:
    now_s = [0.0]
    told = Progress(items, Pace(), overall=lambda _, share: share, clock=lambda: now_s[0])
    with board.Board(told) as shown:
        told.started(job("a.wav"))
        now_s[0] = 5.0
        told.done(job("a.wav"), manifest())
        told.started(job(HOSTILE))
        now_s[0] = 7.5
        told.progress(job(HOSTILE), "separate", 0.5)
        told.event("paused", "paused: full", reason="the disk is \x1b[31mfull")
        screen.truncate(0)
        assert shown._live is not None
        shown._live.refresh()
        frame = plain(screen.getvalue())
        shown.failed(job("Take 00.wav"), f"bad: {HOSTILE}", retry=False)
        shown.done(job("a.wav"), manifest())
    lines = [line.rstrip() for line in frame if line.strip()]
    assert any(re.match(r" *bounce +state +stage +done", line) for line in lines)
    (running,) = [line for line in lines if "running" in line]
    assert re.search(r"\[red\]x\[/red\]  ?\[31m \.wav +running +separate +█{10}░{10} +50%", running)
    assert sum(" waiting" in line for line in lines) == 11  # as many as there is room for
    assert lines[-2] == "1 of 32, about 2 min 32 s left"
    assert lines[-1] == "PAUSED: the disk is  [31mfull"
    assert "\x1b[31mfull" not in screen.getvalue()
    assert len(lines) <= 20
    above = "\n".join(plain(screen.getvalue()))
    assert "FAILED Take 00.wav: bad: [red]x[/red]" in above
    assert "done   a.wav" not in above  # the table says so


def test_elsewhere_there_is_a_line_for_each(
    items: dict[Item, float], capsys: pytest.CaptureFixture[str]
) -> None:
    told = Progress(items, Pace(), overall=lambda _, share: share)
    with board.Board(told) as shown:
        for listener in (told, shown):
            listener.started(job("a.wav"))
            listener.failed(job("a.wav"), "full", retry=True)
            listener.skipped(job("a.wav"))
            listener.failed(job(HOSTILE), "bad", retry=False)
            listener.released(job("Take 01.wav"), "stopped")
            listener.event("paused", "paused: full")
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    kinds = [line.split()[1] for line in err.splitlines()]
    assert kinds == ["start", "FAILED", "same", "FAILED", "note", "note"]
    assert "will be tried again" in err.splitlines()[1]
    assert "(2 of 32, 1 failed)" in err.splitlines()[3]
