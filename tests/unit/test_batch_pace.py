"""How long the rest takes, and what a running batch tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.batch.pace import Pace, RemainingJob, format_duration
from bridge.batch.progress import BounceProgress, Progress, ProgressState
from bridge.cli.board import overview, visible
from tests.unit.batch_items import RECIPE, item

FAST, SLOW, NEW = ("fast", "p"), ("slow", "p"), ("new", "p")


def measured() -> Pace:
    pace = Pace()
    pace.add(FAST, 100.0, 10.0)
    pace.add(SLOW, 100.0, 200.0)
    return pace


def test_each_kind_has_its_own_speed() -> None:
    assert measured().remaining_s([RemainingJob(FAST, 50.0)]) == pytest.approx(5.0)
    assert measured().remaining_s([RemainingJob(SLOW, 50.0)]) == pytest.approx(100.0)
    assert measured().remaining_s(
        [RemainingJob(FAST, 50.0), RemainingJob(SLOW, 50.0)]
    ) == pytest.approx(105.0)
    assert measured().remaining_s([RemainingJob(NEW, 20.0)]) == pytest.approx(
        21.0
    )  # as all together


def test_without_any_measure_nothing_is_claimed() -> None:
    assert Pace().remaining_s([RemainingJob(FAST, 50.0)]) is None
    assert Pace().remaining_s([RemainingJob(FAST, 50.0, share=0.01, running_s=3.0)]) is None
    assert Pace().remaining_s([]) == 0.0


def test_a_running_job_is_a_measure_of_itself() -> None:
    left = [RemainingJob(FAST, 100.0, share=0.25, running_s=5.0), RemainingJob(FAST, 100.0)]
    assert Pace().remaining_s(left) == pytest.approx(15.0 + 20.0)


def test_several_hands_share_the_work() -> None:
    jobs = [RemainingJob(FAST, 100.0)] * 4
    assert measured().remaining_s(jobs, workers=2) == pytest.approx(20.0)
    assert measured().remaining_s(jobs[:1], workers=8) == pytest.approx(10.0)


@given(
    st.lists(
        st.builds(
            RemainingJob,
            st.sampled_from([FAST, SLOW, NEW]),
            st.integers(0, 10**9).map(lambda frames: frames / 48_000),
            st.floats(0, 1),
            st.floats(0, 1e5),
        )
    ),
    st.integers(1, 9),
)
def test_an_estimate_is_a_time(left: list[RemainingJob], workers: int) -> None:
    found = measured().remaining_s(left, workers)
    assert found is not None
    assert 0 <= found < float("inf")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (599.7, "10 min"),
        (3600, "1 h 00 min"),
        (3571, "1 h 00 min"),
        (86_000, "23 h 53 min"),
    ],
)
def test_times_are_told_as_exactly_as_they_are_known(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def job(name: str, reason: str | None = None) -> Any:
    """With a reason, one that was done without stems."""
    has_no_stems = reason is not None
    return SimpleNamespace(
        source_path=Path(name), recipe=RECIPE, reason=reason, has_no_stems=has_no_stems
    )


def manifest(*, is_silent: bool = False) -> Any:
    return SimpleNamespace(duration_s=60.0, source=SimpleNamespace(is_silent=is_silent))


def test_a_batch_from_beginning_to_end_as_it_is_told() -> None:
    now_s = [0.0]
    items = {item(name): 60.0 for name in ("a.wav", "b.wav", "c.wav", "d.wav")}
    told = Progress(items, Pace(), overall=lambda _, share: share, clock=lambda: now_s[0])
    assert (told.remaining_s(), overview(told)) == (None, "0 of 4")
    told.started(job("a.wav"))
    now_s[0] = 6.0
    told.progress(job("a.wav"), "separate", 0.5)
    assert told.remaining_s() == pytest.approx(6 + 3 * 12)
    now_s[0] = 12.0
    told.done(job("a.wav"), manifest())
    assert overview(told) == "1 of 4, about 36 s left"
    told.skipped(job("b.wav"))
    told.started(job("c.wav"))
    told.failed(job("c.wav"), "why", retry=True)
    assert overview(told) == "2 of 4, about 24 s left"
    told.failed(job("c.wav"), "why", retry=False)
    told.started(job("late.wav"))  # rendered meanwhile
    told.event("paused", "paused: full", reason="full")
    assert told.paused == "full"
    told.event("resumed", "on")
    assert told.paused is None
    told.released(job("late.wav"), "stopped")
    assert overview(told).startswith("3 of 5, 1 failed")
    stands = {str(source): line.state for source, line in told.by_source().items()}
    assert stands == {
        "a.wav": ProgressState.DONE,
        "b.wav": ProgressState.SAME,
        "c.wav": ProgressState.FAILED,
        "d.wav": ProgressState.WAITING,
        "late.wav": ProgressState.LEFT,
    }


def test_silence_says_nothing_of_the_speed() -> None:
    now_s = [0.0]
    items = {item(name): 60.0 for name in ("a.wav", "b.wav", "c.wav")}
    told = Progress(items, Pace(), overall=lambda _, share: share, clock=lambda: now_s[0])
    told.started(job("a.wav"))
    now_s[0] = 0.1
    told.done(job("a.wav"), manifest(is_silent=True))
    told.skipped(job("b.wav", "skipped: silent"))
    assert (told.remaining_s(), overview(told)) == (None, "2 of 3")
    skipped = told.by_source()[Path("b.wav")]
    assert (skipped.state, skipped.text) == (ProgressState.SKIPPED, "skipped: silent")


@given(
    st.lists(st.sampled_from(list(ProgressState)), max_size=60),
    st.integers(1, 20),
)
def test_the_window_is_around_what_runs(stands: list[ProgressState], room: int) -> None:
    lines = [BounceProgress(str(number), FAST, state=stand) for number, stand in enumerate(stands)]
    shown = visible(lines, room)
    assert len(shown) == min(room, len(lines))
    running = [line for line in lines if line.state is ProgressState.RUNNING]
    assert running[:1] == [line for line in shown if line in running][:1]
