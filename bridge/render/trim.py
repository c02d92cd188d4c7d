"""Trimming of silence at both ends of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.dsp.decibel import db_to_linear

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.dsp.processor import Audio
    from bridge.effects.space import TrimSilence


@dataclass(frozen=True)
class Span:
    """Half-open range of frames: start_frame <= n < end_frame."""

    start_frame: int
    end_frame: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.end_frame - self.start_frame


def locate(blocks: Iterable[Audio], effect: TrimSilence, rate_hz: float) -> Span:
    """Find the span with sound in any channel, with padding.

    Args:
        blocks: float32 (channels, any number of frames).
        effect: threshold and padding.
        rate_hz: sample rate.

    Returns:
        The span; the whole audio where all of it is silent, as an empty file is of no use.
    """
    threshold = db_to_linear(effect.threshold_dbfs)
    position, first, last = 0, -1, -1
    for block in blocks:
        loud = np.flatnonzero(np.abs(block).max(axis=0) > threshold)
        if loud.size:
            first = position + int(loud[0]) if first < 0 else first
            last = position + int(loud[-1])
        position += block.shape[1]
    if first < 0:
        return Span(0, position)
    pad_frames = round(effect.pad_ms / 1000.0 * rate_hz)
    return Span(max(first - pad_frames, 0), min(last + 1 + pad_frames, position))


def cut(blocks: Iterable[Audio], span: Span) -> Iterator[Audio]:
    """The frames of a span, in blocks of at least one frame."""
    position = 0
    for block in blocks:
        kept = block[:, max(span.start_frame - position, 0) : max(span.end_frame - position, 0)]
        position += block.shape[1]
        if kept.shape[1]:
            yield kept
