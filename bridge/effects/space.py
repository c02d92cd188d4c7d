"""Colour, echo and room, and the ends of a file."""

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

# What pedalboard's reverb (JUCE's, after Freeverb) multiplies its levels with.
_REVERB_DRY_SCALE, _REVERB_WET_SCALE = 2.0, 3.0


class Saturation(Effect):
    """tanh, divided by the drive: soft sound keeps its level, peaks are rounded."""

    effect_name = "saturation"
    about = "rounds peaks with tanh, which adds odd harmonics; soft sound keeps its level"
    drive_db: float = Field(
        default=6.0, ge=0, le=40, description="a full-scale peak goes this far into the curve"
    )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """pedalboard's tanh, and the drive taken back."""
        import pedalboard

        return [pedalboard.Distortion(self.drive_db), pedalboard.Gain(-self.drive_db)]


class Delay(Effect):
    """An echo beside the sound."""

    effect_name = "delay"
    about = "echoes"
    time_ms: float = Field(default=350.0, ge=1, le=5000, description="from one to the next")
    feedback_percent: float = Field(
        default=25.0, ge=0, le=95, description="level of each echo, of the one before it"
    )
    mix_percent: float = Field(
        default=25.0, ge=0, le=100, description="echo; the rest is the sound itself"
    )

    @property
    def intended_delay(self) -> bool:
        """It is an echo."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """pedalboard's own."""
        import pedalboard

        return [
            pedalboard.Delay(
                self.time_ms / 1000.0, self.feedback_percent / 100.0, self.mix_percent / 100.0
            )
        ]


class Reverb(Effect):
    """A room beside the sound. Channels are taken in pairs, as the reverb has two at most."""

    effect_name = "reverb"
    about = "a room"
    room_percent: float = Field(default=50.0, ge=0, le=100, description="size of the room")
    damping_percent: float = Field(default=50.0, ge=0, le=100, description="loss of highs in it")
    width_percent: float = Field(default=100.0, ge=0, le=100, description="stereo width of it")
    wet_db: float = Field(default=-15.0, ge=-60, le=0, description="level of the room")
    dry_db: float = Field(
        default=0.0, ge=-60, le=0, description="level of the sound itself; -60 mutes it"
    )

    @property
    def intended_delay(self) -> bool:
        """A room answers late."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """pedalboard's own, one for each pair."""
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
    """A plugin of two channels at most, for more of them: one for each two in file order."""

    latency_frames = 0

    def __init__(self, plugins: list[Any], rate_hz: float) -> None:
        self._plugins = plugins
        self._rate_hz = rate_hz

    def process(self, block: Audio) -> Audio:
        """The same frames."""
        frames = block.shape[1]
        out = [
            plugin.process(block[2 * i : 2 * i + 2], self._rate_hz, buffer_size=frames, reset=False)
            for i, plugin in enumerate(self._plugins)
        ]
        return np.concatenate(out, axis=0)


class Fade(Effect):
    """Fades with the shape of half a cosine."""

    effect_name = "fade"
    about = "fades in at the start and out at the end, as half a cosine"
    in_s: float = Field(default=0.0, ge=0, le=60, description="length at the start")
    out_s: float = Field(default=0.0, ge=0, le=60, description="length at the end")

    @property
    def intended_delay(self) -> bool:
        """What it silences says nothing about time."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """None if there is nothing to fade."""
        lengths = [min(round(s * spec.rate_hz), spec.frames) for s in (self.in_s, self.out_s)]
        return [_FadeGain(lengths[0], lengths[1], spec.frames)] if any(lengths) else ()


class _FadeGain:
    """The gain of both fades, at a position that is counted along."""

    latency_frames = 0

    def __init__(self, in_frames: int, out_frames: int, frames: int) -> None:
        self._in_frames = in_frames
        self._out_frames = out_frames
        self._frames = frames
        self._position = 0

    def process(self, block: Audio) -> Audio:
        """The same frames."""
        at = self._position + np.arange(block.shape[1])
        self._position += block.shape[1]
        # The first and the last frame are not quite silent: between them lies the whole file.
        gain = _rise((at + 1) / (self._in_frames + 1)) * _rise(
            (self._frames - at) / (self._out_frames + 1)
        )
        faded: Audio = (block * gain).astype(np.float32)
        return faded


def _rise(share: np.ndarray) -> np.ndarray:
    """Half a cosine: 0 at 0 and below, 1 at 1 and above."""
    risen: np.ndarray = 0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0.0, 1.0))
    return risen


class TrimSilence(Effect):
    """Takes away silence at both ends of a file. It ends alignment, so it is done last of all.

    It has no nodes: `trim.locate` finds where the sound is, `trim.cut` cuts.
    """

    effect_name = "trim_silence"
    about = (
        "takes silence away at both ends of each file, which ends alignment: only with "
        "`aligned: false`, and last"
    )
    threshold_dbfs: float = Field(
        default=-60.0, ge=-100, le=-20, description="peaks up to here are silence"
    )
    pad_ms: float = Field(
        default=50.0, ge=0, le=5000, description="what stays before and after the sound"
    )

    @property
    def intended_delay(self) -> bool:
        """Alignment is given up."""
        return True

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """None: see `trim`."""
        return ()
