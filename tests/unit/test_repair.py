"""NaN and Inf replaced: short gaps bridged, long ones silent, however the audio is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bridge.audio.repair import Repair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

VALUES = st.sampled_from([0.0, 0.5, -1.0, 0.25, 3.0]) | st.sampled_from(
    [np.nan, np.nan, np.inf, -np.inf]
)
AUDIO = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    elements=VALUES.map(np.float32),  # type: ignore[arg-type]
    fill=st.nothing(),
)


def by_the_book(audio: Audio, longest_frames: int) -> Audio:
    """The same, value by value."""
    mended = audio.copy()
    for row in mended:
        at = 0
        while at < len(row):
            end = at
            while end < len(row) and not np.isfinite(row[end]):
                end += 1
            left = float(row[at - 1]) if at else 0.0
            right = float(row[end]) if end < len(row) else 0.0
            length = end - at
            for step in range(length):
                share = (step + 1) / (length + 1)
                bridged = left + share * (right - left)
                row[at + step] = bridged if length <= longest_frames else 0.0
            at = end + 1
    return mended


def repaired(blocks: list[Audio], longest_frames: int) -> tuple[Audio, int]:
    repair = Repair(blocks[0].shape[0], longest_frames)
    return np.concatenate(list(repair.blocks(blocks)), axis=1), repair.values


@given(AUDIO, st.integers(1, 8), st.lists(st.integers(1, 39), max_size=6))
def test_it_is_as_the_book_says_in_blocks_of_any_size(
    audio: Audio, longest_frames: int, cuts: list[int]
) -> None:
    blocks = [b for b in np.split(audio, sorted(set(cuts)), axis=1) if b.shape[1]]
    kept = [block.copy() for block in blocks]
    mended, values = repaired(blocks, longest_frames)
    np.testing.assert_allclose(mended, by_the_book(audio, longest_frames), atol=1e-6)
    assert values == np.count_nonzero(~np.isfinite(audio))
    whole, _ = repaired([audio], longest_frames)
    assert np.array_equal(mended, whole)  # to the bit
    for before, after in zip(kept, blocks, strict=True):
        assert np.array_equal(before, after, equal_nan=True)  # the decoder's blocks stay its own


def test_what_is_in_order_passes_untouched() -> None:
    audio = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    (block,) = Repair(2, 88).blocks([audio])
    assert block is audio


@pytest.mark.parametrize(("frames", "silent"), [(88, False), (89, True)])
def test_a_gap_is_bridged_up_to_the_limit_and_silent_beyond(frames: int, silent: bool) -> None:
    audio = np.full((1, 1000), 0.5, np.float32)
    audio[0, 400 : 400 + frames] = np.inf
    mended, values = repaired([audio], 88)
    assert values == frames
    gap = mended[0, 400 : 400 + frames]
    assert np.array_equal(gap, np.full(frames, 0.0 if silent else 0.5, np.float32))
    assert np.count_nonzero(mended == 0.5) == (1000 - frames if silent else 1000)


def test_what_is_held_back_stays_small() -> None:
    """A plugin that gives NaN to the end of an hour: nothing piles up."""
    block = np.full((2, 4096), np.nan, np.float32)
    repair = Repair(2, 88)
    given_out = 0
    for number, mended in enumerate(repair.blocks(block for _ in range(200)), 1):
        given_out += mended.shape[1]
        assert not mended.any()
        assert number * 4096 - given_out <= 88
    assert given_out == 200 * 4096
