"""Implausible values: NaN, Inf, and numbers too large for audio.

A failing plugin leaves NaN or Inf, and also the values of its diverging filters: 1e30 in a float
file, 1e200 in one of doubles, which becomes Inf as a float32. Near a value of 2**20, float32 has
steps of 1/16 of full scale: a sum with it loses all audio at usual levels, so that it cannot be
separated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import NonFiniteBounce

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

LIMIT = 2.0**20
"""Linear, 1.0 is full scale: +120 dBFS."""

_LIMIT_DBFS = round(20 * math.log10(LIMIT))

LIMIT_TEXT = f"beyond {_LIMIT_DBFS:+} dBFS"


def check_values(blocks: Iterable[Audio], subtype: str) -> Iterator[Audio]:
    """Pass blocks through, (channels, frames) float32; `subtype` is soundfile's, for the message.

    Raises NonFiniteBounce at the first implausible value.
    """
    done_frames = 0
    for block in blocks:
        if not _is_plausible(block):
            good = np.abs(block) <= LIMIT
            frame = int(np.argmin(good.all(axis=0)))
            value = float(block[int(np.argmin(good[:, frame])), frame])
            raise NonFiniteBounce(
                f"{_named(value, subtype)} at frame {done_frames + frame:,}; a plugin in the "
                "session misbehaves: bypass it and render again, or use --repair"
            )
        done_frames += block.shape[1]
        yield block


def mark_implausible(blocks: Iterable[Audio]) -> Iterator[Audio]:
    """Pass blocks through, with NaN in place of every implausible value."""
    for block in blocks:
        if _is_plausible(block):
            yield block
        else:
            yield np.where(np.abs(block) <= LIMIT, block, np.float32(np.nan))


def _is_plausible(block: Audio) -> bool:
    # Comparisons with NaN are false, and max hands it on.
    return bool(block.min(initial=0.0) >= -LIMIT and block.max(initial=0.0) <= LIMIT)


def _named(value: float, subtype: str) -> str:
    if math.isfinite(value):
        return f"a value of {value:.2g} ({20 * math.log10(abs(value)):+.0f} dBFS)"
    return "NaN, Inf or a value beyond 3e38" if subtype == "DOUBLE" else "NaN or Inf"
