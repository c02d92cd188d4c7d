"""Recursive filters as products of matrices: the same as frame by frame, by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dsp.filters import TILE_FRAMES, RecursiveFilter
from bridge.dsp.loudness import k_weighting
from tests.hypothesis_profiles import examples

# ITU-R BS.1770-4, tables 1 and 2: both filters at 48 kHz.
STANDARD = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621),
)


def test_k_weighting_matches_the_standard() -> None:
    np.testing.assert_allclose(k_weighting(48_000), STANDARD, rtol=1e-8)


def frame_by_frame(audio: np.ndarray, rate_hz: float) -> np.ndarray:
    heard = audio.astype(np.float64)
    for b0, b1, b2, a1, a2 in k_weighting(rate_hz):
        heard = scipy.signal.lfilter((b0, b1, b2), (1.0, a1, a2), heard, axis=1)
    return heard


@pytest.mark.parametrize("rate_hz", [8_000.0, 44_100.0, 192_000.0])
@settings(max_examples=examples(15))
@given(cuts=st.lists(st.integers(0, 300), max_size=6), channels=st.integers(1, 3))
def test_filtering_in_blocks_matches_scipy(rate_hz: float, cuts: list[int], channels: int) -> None:
    """With an offset, which at high rates is what rounding makes worst."""
    rng = np.random.default_rng(0)
    audio = 0.3 + 0.3 * rng.standard_normal((channels, 400 * TILE_FRAMES)).astype(np.float32)
    made, edges = RecursiveFilter(k_weighting(rate_hz), channels), sorted(cuts)
    parts = np.split(audio, [TILE_FRAMES * edge for edge in edges], axis=1)
    found = np.concatenate([made.process(part) for part in parts], axis=1)
    assert np.abs(found - frame_by_frame(audio, rate_hz)).max() < 2e-6
