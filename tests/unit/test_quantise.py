"""Rounding: PCM comes back to the bit, and the stems of a frame still sum to the mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.audio.quantise import BITS, dequantise, quantise, quantise_set
from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from numpy.typing import NDArray

any_bits = st.sampled_from(BITS)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)


@given(data=st.data(), bits=st.sampled_from((8, 16, 24)))
def test_pcm_comes_back_to_the_bit(data: st.DataObject, bits: int) -> None:
    full = 2 ** (bits - 1)
    values = data.draw(hnp.arrays(np.int32, shapes, elements=st.integers(-full, full - 1)))
    as_float = dequantise(values, bits)
    assert as_float.dtype == np.float32
    assert np.array_equal(quantise(as_float, bits), values)


@given(data=st.data(), bits=any_bits)
def test_error_is_half_a_step_at_most(data: st.DataObject, bits: int) -> None:
    step = 2.0 ** (1 - bits)
    elements = st.floats(-1, 1 - 2 * step)
    block = data.draw(hnp.arrays(np.float64, shapes, elements=elements))
    error = quantise(block, bits) * step - block
    assert np.abs(error).max() <= step / 2


@given(
    data=st.data(),
    bits=st.sampled_from((8, 16, 24)),
    stems=st.integers(1, 12),
    frames=st.integers(1, 5000),
)
def test_stems_still_sum_to_the_mixture(
    data: st.DataObject, bits: int, stems: int, frames: int
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    blocks = {f"s{n}": random.uniform(-0.9, 0.9, (2, frames)) for n in range(stems)}
    done = quantise_set(blocks, bits)
    total = sum(values.astype(np.float64) for values in done.stems.values())
    exact = sum(block for block in blocks.values()) * 2.0 ** (bits - 1)
    # Half a step, and what float64 itself rounds in a sum of that size.
    assert np.abs(total - exact).max() <= 0.5 + 1e-6
    assert list(done.stems) == list(blocks)
    assert set(done.clipped.values()) == {0}


@given(cut=st.integers(1, 4999), bits=any_bits)
def test_blocks_do_not_matter(cut: int, bits: int) -> None:
    random = np.random.default_rng(1)
    blocks = {name: random.uniform(-1.2, 1.2, (2, 5000)) for name in "abc"}
    whole = quantise_set(blocks, bits)
    first = quantise_set({name: block[:, :cut] for name, block in blocks.items()}, bits)
    second = quantise_set({name: block[:, cut:] for name, block in blocks.items()}, bits)
    for name, values in whole.stems.items():
        assert np.array_equal(values, np.hstack([first.stems[name], second.stems[name]]))
        assert whole.clipped[name] == first.clipped[name] + second.clipped[name]


def one(value: float) -> NDArray[np.float64]:
    return np.full((1, 1), value)


def test_half_rounds_to_even() -> None:
    values = np.array([[0.5, 1.5, 2.5, -0.5, -1.5]]) / 2**15
    assert quantise(values, 16).tolist() == [[0, 2, 2, 0, -2]]


@pytest.mark.parametrize("bits", BITS)
def test_full_scale_is_reached_and_not_passed(bits: int) -> None:
    full = 2 ** (bits - 1)
    done = quantise_set({"up": one(1.0), "down": one(-1.0)}, bits)
    # The step that +1.0 lacks is not lost: the next stem has room for it.
    assert int(done.stems["up"][0, 0]) == full - 1
    assert int(done.stems["down"][0, 0]) == -full + 1
    assert done.clipped == {"up": 0, "down": 0}


def test_what_clips_is_counted_and_stays_out_of_the_next_stem() -> None:
    done = quantise_set({"hot": one(1.5), "low": one(-2.0), "quiet": one(0.25)}, 16)
    assert {name: int(values[0, 0]) for name, values in done.stems.items()} == {
        "hot": 32767,
        "low": -32768,
        "quiet": 8192,
    }
    assert done.clipped == {"hot": 1, "low": 1, "quiet": 0}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_never_written(bad: float) -> None:
    block = np.zeros((2, 3000), np.float32)
    block[1, 2999] = bad
    with pytest.raises(PromiseBroken, match="stem bass holds NaN or Inf"):
        quantise_set({"drums": np.zeros((2, 3000)), "bass": block}, 24)


def test_unknown_depth() -> None:
    with pytest.raises(PromiseBroken, match="20-bit"):
        quantise(one(0.0), 20)


def test_nothing_is_nothing() -> None:
    assert quantise(np.zeros((2, 0), np.float32), 16).shape == (2, 0)
