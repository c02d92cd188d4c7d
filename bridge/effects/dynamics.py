"""Effects whose gain follows the level."""

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

# Half the length of the filter that splits the bands: it is 60 dB down 0.5 kHz below the crossover,
# and rings for no longer than this before and after a sharp sound. The window as Kaiser (1974) has
# it for 60 dB.
_SPLIT_S = 0.002
_SPLIT_BETA = 5.65
# Frames that are filtered together: longer ones multiply more zeros, shorter ones copy more.
_TILE_FRAMES = 64


class _Downward(Effect):
    """Lowers what is below a threshold: by pedalboard's gate, which is an expander.

    Its gain is (level / threshold) ** (ratio - 1), for each channel on its own.
    """

    threshold_db: float
    ratio: float
    attack_ms: float
    release_ms: float

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """pedalboard's own."""
        import pedalboard

        return [
            pedalboard.NoiseGate(self.threshold_db, self.ratio, self.attack_ms, self.release_ms)
        ]


class Gate(_Downward):
    """A noise gate: far below the threshold nothing is left."""

    effect_name = "gate"
    about = "silences what is below the threshold, each channel on its own"
    threshold_db: float = Field(
        default=-50.0, ge=-100, le=0, description="level under which it closes"
    )
    ratio: float = Field(
        default=10.0, ge=4, le=100, description="fall at the output for 1 dB at the input"
    )
    attack_ms: float = Field(default=1.0, ge=0.1, le=200, description="time to open")
    release_ms: float = Field(default=100.0, ge=5, le=2000, description="time to close")


class Expander(_Downward):
    """A downward expander, keyed by the stem itself: bleed is soft, so it gets softer."""

    effect_name = "expander"
    about = "makes soft sound softer: less bleed of other instruments; each channel on its own"
    threshold_db: float = Field(
        default=-40.0, ge=-100, le=0, description="level under which it acts"
    )
    ratio: float = Field(
        default=2.0, ge=1, le=10, description="fall at the output for 1 dB at the input"
    )
    attack_ms: float = Field(default=5.0, ge=0.1, le=200, description="time to let sound through")
    release_ms: float = Field(default=150.0, ge=5, le=2000, description="time to lower it again")


class Compressor(Effect):
    """A feed-forward compressor. Each channel is measured on its own."""

    effect_name = "compressor"
    about = "evens out the level, each channel on its own"
    threshold_db: float = Field(
        default=-18.0, ge=-60, le=0, description="level where it starts to act"
    )
    ratio: float = Field(
        default=2.0, ge=1, le=20, description="level rise at the input for 1 dB at the output"
    )
    attack_ms: float = Field(default=10.0, ge=0.1, le=200, description="time to act on a rise")
    release_ms: float = Field(default=100.0, ge=5, le=2000, description="time to let go")
    makeup_db: float = Field(default=0.0, ge=0, le=24, description="gain after it")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """pedalboard's own, and a gain if it is wanted."""
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
    """A compressor for the highs alone.

    Lows and highs add up to the very audio again, so while the compressor rests nothing changes.
    """

    effect_name = "de_esser"
    about = "softens sharp s sounds: compresses the highs alone; while it rests nothing changes"
    crossover_hz: float = Field(
        default=5500.0, ge=1000, le=16_000, description="above this it listens and acts"
    )
    threshold_db: float = Field(
        default=-30.0, ge=-80, le=0, description="level of the highs where it starts to act"
    )
    ratio: float = Field(
        default=4.0, ge=1, le=20, description="level rise at the input for 1 dB at the output"
    )
    attack_ms: float = Field(default=1.0, ge=0.1, le=50, description="time to act on a rise")
    release_ms: float = Field(default=60.0, ge=5, le=500, description="time to let go")

    def problem(self, spec: ProcessSpec) -> str | None:
        """There are no highs."""
        if self.crossover_hz < spec.rate_hz / 2:
            return None
        return frequency_problem("de_esser", self.crossover_hz, spec, "crossover_hz")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node that splits, compresses and joins."""
        return [_DeEss(self, spec)]


def high_band(crossover_hz: float, rate_hz: float) -> npt.NDArray[np.float64]:
    """A high-pass without phase: an odd number of taps, symmetrical, nothing left at 0 Hz."""
    reach = round(_SPLIT_S * rate_hz)
    frames = np.arange(-reach, reach + 1)
    low = np.sinc(2.0 * crossover_hz / rate_hz * frames) * np.kaiser(frames.size, _SPLIT_BETA)
    taps: npt.NDArray[np.float64] = -low / low.sum()
    taps[reach] += 1.0
    return taps


class _DeEss:
    """Takes from the audio what the compressor takes from its highs: nothing while it rests.

    The split is free of phase, so what is left of a high tone is what the compressor leaves of it.
    It is that many frames late.
    """

    def __init__(self, effect: DeEsser, spec: ProcessSpec) -> None:
        import pedalboard

        taps = high_band(effect.crossover_hz, spec.rate_hz)
        self.latency_frames = taps.size // 2
        self._kept: Audio = np.zeros((spec.channels, taps.size - 1), np.float32)
        # The same taps for each frame of a tile: a product of matrices is fast.
        self._table: Audio = np.zeros((_TILE_FRAMES + taps.size - 1, _TILE_FRAMES), np.float32)
        for frame in range(_TILE_FRAMES):
            self._table[frame : frame + taps.size, frame] = taps
        self._compressor = pedalboard.Compressor(
            effect.threshold_db, effect.ratio, effect.attack_ms, effect.release_ms
        )
        self._rate_hz = spec.rate_hz

    def process(self, block: Audio) -> Audio:
        """As many frames as came, latency_frames later."""
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, block.shape[1] :]
        highs = self._highs(around)
        pressed = self._compressor.process(
            highs, self._rate_hz, buffer_size=block.shape[1], reset=False
        )
        heard = around[:, self.latency_frames : around.shape[1] - self.latency_frames]
        out: Audio = heard - (highs - pressed)
        return out

    def _highs(self, around: Audio) -> Audio:
        """The high band of all frames that have all their neighbours."""
        frames = around.shape[1] - 2 * self.latency_frames
        filled = np.pad(around, ((0, 0), (0, -frames % _TILE_FRAMES)))
        seen = np.lib.stride_tricks.sliding_window_view(filled, len(self._table), axis=1)
        tiles = seen[:, ::_TILE_FRAMES].reshape(-1, len(self._table))
        made = matmul(tiles, self._table).reshape(len(around), -1)
        return np.ascontiguousarray(made[:, :frames])


class Limiter(Effect):
    """A look-ahead limiter without make-up gain; all channels get the same gain.

    This is pedalboard's BrickwallLimiter. pedalboard's own `Limiter` is a maximiser: it raises the
    level by up to 13 dB and clips. Between the frames BrickwallLimiter leaves up to 0.4 dB over the
    ceiling on hot music even when it looks there (measured with 8x oversampling), at seven times
    the cost. So it holds the frames, and a guard holds what lies between them.
    """

    effect_name = "limiter"
    about = (
        "holds peaks at the ceiling, all channels by the same gain; leaves softer sound untouched"
    )
    ceiling_dbtp: float = Field(default=-1.0, ge=-24, le=0, description="highest peak")
    release_ms: float = Field(default=100.0, ge=1, le=1000, description="time to let go")
    lookahead_ms: float = Field(
        default=5.0, ge=0.5, le=20, description="how early it begins; compensated"
    )
    true_peak: bool = Field(
        default=True, description="also between the frames; false looks at the frames alone"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, data: object) -> object:
        """`ceiling_db` was the name before the ceiling counted between the frames, too."""
        if isinstance(data, dict) and "ceiling_db" in data and "ceiling_dbtp" not in data:
            return {("ceiling_dbtp" if k == "ceiling_db" else k): v for k, v in data.items()}
        return data

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The limiter, and the guard where the ceiling counts between the frames."""
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
        """One that does the same to audio of no higher peak (linear), in less time if it can."""
        within = self.true_peak and peak <= db_to_linear(self.ceiling_dbtp)
        return _BetweenFrames(**self.model_dump(exclude={"when"})) if within else self


class _BetweenFrames(Limiter):
    """For audio whose frames are under the ceiling: only what lies between them can be over it."""

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The guard alone."""
        return [PeakGuard(db_to_linear(self.ceiling_dbtp), spec)]
