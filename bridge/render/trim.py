"""Where the sound of a file begins and ends, and the file cut down to it."""

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
    """Frames from start_frame up to, without, end_frame."""

    start_frame: int
    end_frame: int

    @property
    def frames(self) -> int:
        """How many."""
        return self.end_frame - self.start_frame


def locate(blocks: Iterable[Audio], effect: TrimSilence, rate_hz: float) -> Span:
    """The frames with sound in any channel, and the pad around them.

    blocks: float32 (channels, any number of frames). Audio that is silent throughout stays whole:
    an empty file would help nobody.
    """
    threshold = db_to_linear(effect.threshold_dbfs)
    position, first, last = 0, -1, -1
    for block in blocks:
        heard = np.flatnonzero(np.abs(block).max(axis=0) > threshold)
        if heard.size:
            first = position + int(heard[0]) if first < 0 else first
            last = position + int(heard[-1])
        position += block.shape[1]
    if first < 0:
        return Span(0, position)
    pad_frames = round(effect.pad_ms / 1000.0 * rate_hz)
    return Span(max(first - pad_frames, 0), min(last + 1 + pad_frames, position))


def cut(blocks: Iterable[Audio], span: Span) -> Iterator[Audio]:
    """The frames of the span, in blocks of at least one frame."""
    position = 0
    for block in blocks:
        kept = block[:, max(span.start_frame - position, 0) : max(span.end_frame - position, 0)]
        position += block.shape[1]
        if kept.shape[1]:
            yield kept
