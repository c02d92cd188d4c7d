"""Segments and overlap-add, as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from separator.chunking import (
    OverlapAdd,
    Queue,
    Segmenter,
    SegmentPlan,
    SegmentSpan,
    TransitionPlan,
    regroup,
)


@st.composite
def plans(draw: st.DrawFn) -> SegmentPlan:
    length = draw(st.integers(1, 60))
    return SegmentPlan(length, draw(st.integers(1, length)), draw(st.integers(0, length - 1)))


@st.composite
def cuts(draw: st.DrawFn, total: int) -> list[int]:
    """Block sizes, zeros among them, that add up to `total`."""
    points = sorted(draw(st.lists(st.integers(0, total), max_size=8)))
    return [b - a for a, b in zip([0, *points], [*points, total], strict=True)]


def blocks_of(signal: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(signal, np.cumsum(sizes)[:-1], axis=-1)


@given(plans(), st.integers(0, 400))
def test_every_frame_lies_in_a_segment_and_every_segment_begins_inside(
    plan: SegmentPlan, total: int
) -> None:
    count = plan.count(total)
    covered = np.zeros(total, int)
    for i in range(count):
        assert plan.start(i) < total
        start = max(plan.start(i), 0)
        covered[start : plan.start(i) + plan.length_frames] += 1
    assert (covered > 0).all()
    if total:
        assert plan.start(count) >= total, "one more segment would begin inside"


@given(plans(), st.data())
def test_segments_do_not_depend_on_the_blocks(plan: SegmentPlan, data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 300))
    signal = np.arange(1, 2 * total + 1, dtype=np.float32).reshape(2, total)

    segmenter = Segmenter(plan)
    pieces: list[tuple[SegmentSpan, np.ndarray]] = []
    for block in blocks_of(signal, data.draw(cuts(total))):
        pieces += segmenter.push(block)
    pieces += segmenter.finish()
    segments = [segment for _, segment in pieces]

    after = plan.length_frames + plan.count(total) * plan.hop_frames
    padded = np.pad(signal, ((0, 0), (plan.lead_frames, after)))
    assert len(segments) == plan.count(total)
    for i, segment in enumerate(segments):
        first = i * plan.hop_frames
        np.testing.assert_array_equal(segment, padded[:, first : first + plan.length_frames])


@given(plans(), st.integers(1, 300))
def test_windows_that_add_up_to_one_give_the_signal_back(plan: SegmentPlan, total: int) -> None:
    rng = np.random.default_rng(total)
    signal = rng.standard_normal((1, total)).astype(np.float32)
    count = plan.count(total)
    cover = np.zeros(plan.start(count) + plan.length_frames + plan.lead_frames)
    for i in range(count):
        first = i * plan.hop_frames
        cover[first : first + plan.length_frames] += 1

    segmenter, overlap_add = Segmenter(plan), OverlapAdd(plan)
    out: list[np.ndarray] = []
    for i, (cut, segment) in enumerate([*segmenter.push(signal), *segmenter.finish()]):
        first = i * plan.hop_frames
        weighted = segment / cover[first : first + plan.length_frames]
        out.append(overlap_add.push(cut, weighted.astype(np.float32)))
    tail = overlap_add.finish()
    assert tail is not None
    whole = np.concatenate([*out, tail], axis=1)[:, :total]
    np.testing.assert_allclose(whole, signal, atol=1e-5)


@st.composite
def transitions(draw: st.DrawFn) -> TransitionPlan:
    length = draw(st.integers(2, 60))
    more, step = draw(st.integers(0, 30)), draw(st.integers(1, 7))
    return TransitionPlan(
        length,
        draw(st.integers(1, length)),
        draw(st.integers(0, 80)),
        power=draw(st.sampled_from([1.0, 2.0, 5.0])),
        valid_frames=lambda frames: -(-(frames + more) // step) * step,
    )


@given(transitions(), st.integers(1, 300), st.data())
def test_a_cross_fade_of_what_went_in_is_what_went_in(
    plan: TransitionPlan, total: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(total)
    signal = rng.standard_normal((2, total)).astype(np.float32)
    segmenter, overlap_add = Segmenter(plan), OverlapAdd(plan)
    out: list[np.ndarray] = []
    pieces: list[tuple[SegmentSpan, np.ndarray]] = []
    for block in blocks_of(signal, data.draw(cuts(total))):
        pieces += segmenter.push(block)
    pieces += segmenter.finish()
    for cut, segment in pieces:
        kept = segment[:, cut.before_frames : cut.before_frames + cut.frames]
        out.append(overlap_add.push(cut, kept))
    tail = overlap_add.finish()
    assert tail is not None
    np.testing.assert_allclose(np.concatenate([*out, tail], axis=1), signal, atol=1e-5)

    assert len(pieces) == plan.count(total)
    silence = np.zeros((2, 1000), np.float32)
    around = np.concatenate([silence, signal, silence], axis=1)
    for cut, segment in pieces:
        assert cut.frames == min(plan.length_frames, total - cut.start_frame)
        assert segment.shape[1] == cut.input_frames == plan.valid_frames(cut.frames)
        before, after = cut.before_frames, cut.input_frames - cut.frames - cut.before_frames
        assert after - before in {0, 1}, "as much before as after"
        first = 1000 + cut.first_frame
        np.testing.assert_array_equal(segment, around[:, first : first + cut.input_frames])


@given(st.data(), st.integers(1, 50))
def test_regroup_keeps_the_frames_and_the_least_size(data: st.DataObject, least: int) -> None:
    total = data.draw(st.integers(0, 200))
    signal = np.arange(total, dtype=np.float32)[None]
    grouped = list(regroup(iter(blocks_of(signal, data.draw(cuts(total)))), least))
    np.testing.assert_array_equal(np.concatenate([*grouped, signal[:, :0]], axis=1), signal)
    assert all(block.shape[1] >= least for block in grouped[:-1])


@given(st.data())
def test_queue_gives_the_frames_back_in_any_sizes(data: st.DataObject) -> None:
    total = data.draw(st.integers(0, 100))
    signal = np.arange(total, dtype=np.float32)[None]
    queue = Queue()
    for block in blocks_of(signal, data.draw(cuts(total))):
        queue.push(block)
    sizes = [n for n in data.draw(cuts(total)) if n]
    taken = [queue.take(n) for n in sizes]
    np.testing.assert_array_equal(np.concatenate([*taken, signal[:, :0]], axis=1), signal)
    assert queue.held_frames == 0
    with pytest.raises(ValueError, match="1 frames requested, 0 held"):
        queue.take(1)


@pytest.mark.parametrize(("length", "hop", "lead"), [(4, 0, 0), (4, 5, 0), (4, 2, -1)])
def test_impossible_plans_are_refused(length: int, hop: int, lead: int) -> None:
    with pytest.raises(ValueError, match=r"hop|lead"):
        SegmentPlan(length, hop, lead)
