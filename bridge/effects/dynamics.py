"""Dynamics: gate, expander, compressor, de-esser and limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bridge.dsp.decibel import db_to_linear
from bridge.dsp.single_thread import matmul
from bridge.effects.base import Effect, frequency_problem
from bridge.effects.peak_guard import PeakGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Audio, Node, ProcessSpec

# Half the length of the crossover filter, which is 60 dB down 0.5 kHz below the crossover and rings
# no longer than this around a transient. Kaiser's window (1974) for 60 dB.
_SPLIT_S = 0.002
_SPLIT_BETA = 5.65
# Frames filtered together: longer tiles multiply more zeros, shorter ones copy more.
_TILE_FRAMES = 64


class _Downward(Effect):
    """Downward expansion below a threshold with pedalboard's gate.

    The gain is (level / threshold) ** (ratio - 1), per channel.
    """

    threshold_db: float
    ratio: float
    attack_ms: float
    release_ms: float

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [
            pedalboard.NoiseGate(self.threshold_db, self.ratio, self.attack_ms, self.release_ms)
        ]


class Gate(_Downward):
    """A noise gate."""

    effect_name = "gate"
    description = "silences sound below the threshold, each channel on its own"
    threshold_db: float = Field(
        default=-50.0, ge=-100, le=0, description="level below which it closes"
    )
    ratio: float = Field(
        default=10.0, ge=4, le=100, description="decrease of the output in dB for 1 dB at the input"
    )
    attack_ms: float = Field(default=1.0, ge=0.1, le=200, description="time to open")
    release_ms: float = Field(default=100.0, ge=5, le=2000, description="time to close")


class Expander(_Downward):
    """A downward expander, keyed by the stem itself, which lowers bleed."""

    effect_name = "expander"
    description = "lowers soft sound such as bleed of other instruments, each channel on its own"
    threshold_db: float = Field(
        default=-40.0, ge=-100, le=0, description="level below which it acts"
    )
    ratio: float = Field(
        default=2.0, ge=1, le=10, description="decrease of the output in dB for 1 dB at the input"
    )
    attack_ms: float = Field(default=5.0, ge=0.1, le=200, description="time to open")
    release_ms: float = Field(default=150.0, ge=5, le=2000, description="time to close")


class Compressor(Effect):
    """A feed-forward compressor that measures each channel on its own."""

    effect_name = "compressor"
    description = "lowers loud sound, each channel on its own"
    threshold_db: float = Field(
        default=-18.0, ge=-60, le=0, description="level above which it acts"
    )
    ratio: float = Field(
        default=2.0, ge=1, le=20, description="increase of the input in dB for 1 dB at the output"
    )
    attack_ms: float = Field(default=10.0, ge=0.1, le=200, description="time to lower the gain")
    release_ms: float = Field(default=100.0, ge=5, le=2000, description="time to restore the gain")
    makeup_db: float = Field(default=0.0, ge=0, le=24, description="make-up gain")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard compressor, and a make-up gain if there is one."""
        import pedalboard

        plugins: list[Node] = [
            pedalboard.Compressor(
                threshold_db=self.threshold_db,
                ratio=self.ratio,
                attack_ms=self.attack_ms,
                release_ms=self.release_ms,
            )
        ]
        return [*plugins, pedalboard.Gain(self.makeup_db)] if self.makeup_db else plugins


class DeEsser(Effect):
    """A compressor of the high band.

    Both bands sum to the input exactly, so that nothing changes while the compressor is idle.
    """

    effect_name = "de_esser"
    description = (
        "softens sibilants by compressing the high band; audio below the threshold is unchanged"
    )
    crossover_hz: float = Field(
        default=5500.0, ge=1000, le=16_000, description="lower end of the high band"
    )
    threshold_db: float = Field(
        default=-30.0, ge=-80, le=0, description="level of the high band above which it acts"
    )
    ratio: float = Field(
        default=4.0, ge=1, le=20, description="increase of the input in dB for 1 dB at the output"
    )
    attack_ms: float = Field(default=1.0, ge=0.1, le=50, description="time to lower the gain")
    release_ms: float = Field(default=60.0, ge=5, le=500, description="time to restore the gain")

    def problem(self, spec: ProcessSpec) -> str | None:
        """The crossover is at or above half the rate."""
        if self.crossover_hz < spec.rate_hz / 2:
            return None
        return frequency_problem("de_esser", self.crossover_hz, spec, "crossover_hz")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node for crossover, compressor and sum."""
        return [_DeEss(self, spec)]


def high_band(crossover_hz: float, rate_hz: float) -> npt.NDArray[np.float64]:
    """Linear-phase high-pass: an odd number of symmetric taps, zero gain at 0 Hz."""
    half = round(_SPLIT_S * rate_hz)
    frames = np.arange(-half, half + 1)
    low = np.sinc(2.0 * crossover_hz / rate_hz * frames) * np.kaiser(frames.size, _SPLIT_BETA)
    taps: npt.NDArray[np.float64] = -low / low.sum()
    taps[half] += 1.0
    return taps


class _DeEss:
    """Subtracts the gain reduction of the compressed high band from the audio.

    The crossover is linear-phase and delays the audio by `latency_frames`.
    """

    def __init__(self, effect: DeEsser, spec: ProcessSpec) -> None:
        import pedalboard

        taps = high_band(effect.crossover_hz, spec.rate_hz)
        self.latency_frames = taps.size // 2
        self._kept: Audio = np.zeros((spec.channels, taps.size - 1), np.float32)
        # The taps shifted for each frame of a tile: one matrix product filters a tile.
        self._table: Audio = np.zeros((_TILE_FRAMES + taps.size - 1, _TILE_FRAMES), np.float32)
        for frame in range(_TILE_FRAMES):
            self._table[frame : frame + taps.size, frame] = taps
        self._compressor = pedalboard.Compressor(
            effect.threshold_db, effect.ratio, effect.attack_ms, effect.release_ms
        )
        self._rate_hz = spec.rate_hz

    def process(self, block: Audio) -> Audio:
        """Process a block; the output has the same length, latency_frames later."""
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, block.shape[1] :]
        highs = self._highs(around)
        compressed = self._compressor.process(
            highs, self._rate_hz, buffer_size=block.shape[1], reset=False
        )
        delayed = around[:, self.latency_frames : around.shape[1] - self.latency_frames]
        out: Audio = delayed - (highs - compressed)
        return out

    def _highs(self, around: Audio) -> Audio:
        """The high band of all frames with complete neighbourhoods."""
        frames = around.shape[1] - 2 * self.latency_frames
        filled = np.pad(around, ((0, 0), (0, -frames % _TILE_FRAMES)))
        seen = np.lib.stride_tricks.sliding_window_view(filled, len(self._table), axis=1)
        tiles = seen[:, ::_TILE_FRAMES].reshape(-1, len(self._table))
        made = matmul(tiles, self._table).reshape(len(around), -1)
        return np.ascontiguousarray(made[:, :frames])


class Limiter(Effect):
    """A look-ahead limiter without make-up gain; all channels get the same gain.

    Frames are limited by pedalboard's BrickwallLimiter, true peaks by `PeakGuard`. pedalboard's
    `Limiter` is a maximiser: it raises the level by up to 13 dB and clips. The true-peak mode of
    BrickwallLimiter leaves up to 0.4 dB over the ceiling on hot music (measured with 8x
    oversampling) at seven times the cost.
    """

    effect_name = "limiter"
    description = (
        "limits peaks to the ceiling, all channels by the same gain; softer sound is unchanged"
    )
    ceiling_dbtp: float = Field(default=-1.0, ge=-24, le=0, description="highest peak")
    release_ms: float = Field(default=100.0, ge=1, le=1000, description="time to restore the gain")
    lookahead_ms: float = Field(
        default=5.0, ge=0.5, le=20, description="look-ahead; its delay is compensated"
    )
    true_peak: bool = Field(
        default=True, description="limit true peaks (ITU-R BS.1770); false limits sample peaks only"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, data: object) -> object:
        """Accept `ceiling_db`, the name before the ceiling applied to true peaks."""
        if isinstance(data, dict) and "ceiling_db" in data and "ceiling_dbtp" not in data:
            return {("ceiling_dbtp" if k == "ceiling_db" else k): v for k, v in data.items()}
        return data

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The limiter, and the guard where the ceiling applies to true peaks."""
        import pedalboard

        limiter = pedalboard.BrickwallLimiter(
            ceiling_db=self.ceiling_dbtp,
            release_ms=self.release_ms,
            lookahead_ms=self.lookahead_ms,
            true_peak=False,
        )
        if not self.true_peak:
            return [limiter]
        return [limiter, PeakGuard(db_to_linear(self.ceiling_dbtp), spec)]

    def for_peak(self, peak: float) -> Limiter:
        """An equivalent limiter for audio up to a linear peak, faster where possible."""
        within = self.true_peak and peak <= db_to_linear(self.ceiling_dbtp)
        return _TruePeakLimiter(**self.model_dump(exclude={"when"})) if within else self


class _TruePeakLimiter(Limiter):
    """Limiter for audio whose frames are under the ceiling: only true peaks can exceed it."""

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The guard alone."""
        return [PeakGuard(db_to_linear(self.ceiling_dbtp), spec)]
