"""Saturation, delay, reverb, fades and the trimming of silence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from bridge.dsp.decibel import db_to_linear
from bridge.effects.base import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Audio, Node, ProcessSpec

# Factors that pedalboard's reverb (JUCE's, after Freeverb) applies to its levels.
_REVERB_DRY_SCALE, _REVERB_WET_SCALE = 2.0, 3.0


class Saturation(Effect):
    """tanh saturation divided by the drive: soft sound keeps its level."""

    effect_name = "saturation"
    description = "tanh saturation, which adds odd harmonics; soft sound keeps its level"
    drive_db: float = Field(
        default=6.0, ge=0, le=40, description="drive of a full-scale peak into the curve"
    )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard distortion, and a gain that compensates the drive."""
        import pedalboard

        return [pedalboard.Distortion(self.drive_db), pedalboard.Gain(-self.drive_db)]


class Delay(Effect):
    """An echo, mixed with the dry sound."""

    effect_name = "delay"
    description = "echoes"
    time_ms: float = Field(default=350.0, ge=1, le=5000, description="time between echoes")
    feedback_percent: float = Field(
        default=25.0, ge=0, le=95, description="level of each echo relative to the one before"
    )
    mix_percent: float = Field(
        default=25.0, ge=0, le=100, description="share of the echoes; the rest is the dry sound"
    )

    @property
    def intended_delay(self) -> bool:
        """Always: echoes are late."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [
            pedalboard.Delay(
                self.time_ms / 1000.0, self.feedback_percent / 100.0, self.mix_percent / 100.0
            )
        ]


class Reverb(Effect):
    """A reverb, mixed with the dry sound; channels are processed in pairs."""

    effect_name = "reverb"
    description = "reverb"
    room_percent: float = Field(default=50.0, ge=0, le=100, description="size of the room")
    damping_percent: float = Field(
        default=50.0, ge=0, le=100, description="damping of high frequencies"
    )
    width_percent: float = Field(
        default=100.0, ge=0, le=100, description="stereo width of the reverb"
    )
    wet_db: float = Field(default=-15.0, ge=-60, le=0, description="level of the reverb")
    dry_db: float = Field(
        default=0.0, ge=-60, le=0, description="level of the dry sound; -60 mutes it"
    )

    @property
    def intended_delay(self) -> bool:
        """Always: reflections are late."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One pedalboard reverb for each pair of channels."""
        import pedalboard

        dry = db_to_linear(self.dry_db) if self.dry_db > -60.0 else 0.0
        settings = {
            "room_size": self.room_percent / 100.0,
            "damping": self.damping_percent / 100.0,
            "wet_level": db_to_linear(self.wet_db) / _REVERB_WET_SCALE,
            "dry_level": dry / _REVERB_DRY_SCALE,
            "width": self.width_percent / 100.0,
        }
        if spec.channels <= 2:
            return [pedalboard.Reverb(**settings)]
        pairs = [pedalboard.Reverb(**settings) for _ in range(math.ceil(spec.channels / 2))]
        return [ChannelPairs(pairs, spec.rate_hz)]


class ChannelPairs:
    """Instances of a stereo plugin, one for each pair of channels in file order."""

    latency_frames = 0

    def __init__(self, plugins: list[Any], rate_hz: float) -> None:
        self._plugins = plugins
        self._rate_hz = rate_hz

    def process(self, block: Audio) -> Audio:
        """Process a block of any length; the output has the same shape."""
        frames = block.shape[1]
        out = [
            plugin.process(block[2 * i : 2 * i + 2], self._rate_hz, buffer_size=frames, reset=False)
            for i, plugin in enumerate(self._plugins)
        ]
        return np.concatenate(out, axis=0)


class Fade(Effect):
    """Fades in and out with the shape of half a cosine."""

    effect_name = "fade"
    description = "fade-in and fade-out with the shape of half a cosine"
    in_s: float = Field(default=0.0, ge=0, le=60, description="length of the fade-in")
    out_s: float = Field(default=0.0, ge=0, le=60, description="length of the fade-out")

    @property
    def intended_delay(self) -> bool:
        """Always: silenced ends would disturb the measurement."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node; none where both fades have no length."""
        lengths = [min(round(s * spec.rate_hz), spec.frames) for s in (self.in_s, self.out_s)]
        return [_FadeGain(lengths[0], lengths[1], spec.frames)] if any(lengths) else ()


class _FadeGain:
    """Gain of both fades at the current position."""

    latency_frames = 0

    def __init__(self, in_frames: int, out_frames: int, frames: int) -> None:
        self._in_frames = in_frames
        self._out_frames = out_frames
        self._frames = frames
        self._position = 0

    def process(self, block: Audio) -> Audio:
        """Process a block of any length; the output has the same shape."""
        at = self._position + np.arange(block.shape[1])
        self._position += block.shape[1]
        # The ramp excludes 0, so that the first and last frames are not silent.
        gain = _rise((at + 1) / (self._in_frames + 1)) * _rise(
            (self._frames - at) / (self._out_frames + 1)
        )
        faded: Audio = (block * gain).astype(np.float32)
        return faded


def _rise(share: np.ndarray) -> np.ndarray:
    """Half a cosine ramp: 0 at 0 and below, 1 at 1 and above."""
    risen: np.ndarray = 0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0.0, 1.0))
    return risen


class TrimSilence(Effect):
    """Trims silence at both ends of a file, which ends alignment; the last effect of a chain.

    It has no nodes: `render.trim` locates the sound and cuts when files are written.
    """

    effect_name = "trim_silence"
    description = (
        "trims silence at both ends of each file, which ends alignment; needs `aligned: false` "
        "and must be the last effect"
    )
    threshold_dbfs: float = Field(
        default=-60.0, ge=-100, le=-20, description="highest peak that counts as silence"
    )
    pad_ms: float = Field(
        default=50.0, ge=0, le=5000, description="padding before and after the sound"
    )

    @property
    def intended_delay(self) -> bool:
        """Always: trimmed files are not aligned."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """None: see `render.trim`."""
        return ()
