"""Twice the rate and back: what a sine, a constant and any length become."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from separator.models.sinc import TwiceTheRate

RATES = TwiceTheRate()
EDGE_FRAMES = 64  # the filters reach 52 frames: beyond lies what the ends are repeated for


def sine(cycles_per_frame: float, frames: int) -> Tensor:
    t = torch.arange(frames, dtype=torch.float64)
    return torch.sin(2 * math.pi * cycles_per_frame * t + 0.3).float()[None, None]


def error_db(ours: Tensor, right: Tensor) -> float:
    """Of the part that no end has reached, relative to the right signal."""
    inside = slice(2 * EDGE_FRAMES, -2 * EDGE_FRAMES)
    error = (ours - right)[..., inside].double().square().mean()
    return float(10 * torch.log10(error / right[..., inside].double().square().mean()))


@pytest.mark.parametrize("cycles_per_frame", [0.001, 0.05, 0.2, 0.4])
def test_a_sine_stays_that_sine(cycles_per_frame: float) -> None:
    slow, fast = sine(cycles_per_frame, 1000), sine(cycles_per_frame / 2, 2000)
    assert error_db(RATES.up(slow), fast) < -60
    assert error_db(RATES.down(fast), slow) < -60


def test_down_removes_what_the_lower_rate_cannot_hold() -> None:
    alias = RATES.down(sine(0.3, 2000))  # 0.25 is its limit
    assert alias[..., EDGE_FRAMES:-EDGE_FRAMES].abs().max() < 0.001


@given(frames=st.integers(1, 300), level=st.floats(-1, 1, width=32))
def test_a_constant_stays_constant_to_both_ends(frames: int, level: float) -> None:
    x = torch.full((2, 3, frames), level)
    up, down = RATES.up(x), RATES.down(x)
    assert up.shape == (2, 3, 2 * frames)
    assert down.shape == (2, 3, frames // 2)
    torch.testing.assert_close(up, torch.full_like(up, level), rtol=0, atol=2e-6)
    torch.testing.assert_close(down, torch.full_like(down, level), rtol=0, atol=2e-6)


def test_rows_do_not_mix() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 200)
    for change in (RATES.up, RATES.down):
        together = change(x)
        for batch in range(2):
            for channel in range(3):
                alone = change(x[batch, channel][None, None])[0, 0]
                torch.testing.assert_close(together[batch, channel], alone)
