"""Alignment of effect chains: sound at frame n stays at frame n."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bridge.dsp.delay import delays_frames
from bridge.dsp.processor import Audio, Node, ProcessSpec
from bridge.effects.base import Effect
from bridge.effects.chain import render
from bridge.effects.registry import (
    EFFECTS,
    Builtin,
    Compressor,
    DcRemoval,
    DeEsser,
    Delay,
    Fade,
    Gain,
    Gate,
    Highpass,
    Limiter,
    Lowpass,
    Pan,
    Reverb,
    Vst3,
)
from bridge.errors import PresetError
from bridge.render import alignment
from tests.unit.chains import OWN, RATE_HZ, noise, run

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 20_000


def impulse(channels: int = 2) -> Audio:
    audio = np.zeros((channels, FRAMES), np.float32)
    audio[:, 1000] = 0.5
    return audio


class Late:
    """A processor that delays each channel by so many frames, and says what it says."""

    def __init__(self, delays: tuple[int, ...], latency_frames: int = 0) -> None:
        self.latency_frames = latency_frames
        self._kept = [np.zeros(delay, np.float32) for delay in delays]

    def process(self, block: Audio) -> Audio:
        out = []
        for i, kept in enumerate(self._kept):
            joined = np.concatenate([kept, block[i]])
            self._kept[i] = joined[block.shape[1] :]
            out.append(joined[: block.shape[1]])
        return np.stack(out)


class LateEffect(Effect):
    effect_name = "late"
    description = "a plugin that is late"
    delays: tuple[int, ...] = (37, 37)
    says: int = 0

    def nodes(self, spec: ProcessSpec) -> list[Node]:
        return [Late(self.delays, self.says)]


@pytest.mark.parametrize("by_frames", [-300, -1, 0, 1, 480, 30_000])
def test_a_delay_is_measured_to_the_frame(by_frames: int) -> None:
    expected = (by_frames,)
    assert delays_frames(lambda a: np.roll(a, by_frames, axis=1), RATE_HZ, 2) == expected


def test_different_delays_of_channels_are_reported() -> None:
    def apart(audio: Audio) -> Audio:
        return np.stack([np.roll(audio[0], 5), audio[1]])

    assert delays_frames(apart, RATE_HZ, 2) == (0, 5)


def test_hum_is_subtracted_from_the_measurement() -> None:
    hum = 0.4 * np.sin(np.arange(200_000) / 50).astype(np.float32)
    late = delays_frames(lambda a: np.roll(a, 9, axis=1) + hum[: a.shape[1]], RATE_HZ, 1)
    assert late == (9,)


def test_an_effect_that_mutes_impulses_is_measured_with_a_burst() -> None:
    """A gate that looks at ten milliseconds: one frame is nothing to it."""

    def gate(audio: Audio) -> Audio:
        level = np.convolve(np.abs(audio[0]), np.ones(441) / 441)[: audio.shape[1]]
        return np.roll(audio * (level.max() > 0.05), 12, axis=1)

    assert delays_frames(gate, RATE_HZ, 1) == (12,)


def test_silence_has_no_delay() -> None:
    assert delays_frames(np.zeros_like, RATE_HZ, 2) == ()


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("rate_hz", [44_100.0, 96_000.0])
def test_every_built_in_effect_is_aligned(name: str, rate_hz: float) -> None:
    effect = EFFECTS[name]()
    alignment.check_alignment([effect], rate_hz, 2)
    if not effect.intended_delay:
        assert delays_frames(lambda a: alignment.apply_chain([effect], a, rate_hz), rate_hz, 2) == (
            0,
        )


def test_a_long_chain_is_aligned_as_a_whole() -> None:
    chain = [
        DcRemoval(), Highpass(slope_db_per_octave=24), Limiter(lookahead_ms=20.0), DeEsser(),
        Pan(position_percent=20.0), DcRemoval(), Gate(), Limiter(), Reverb(), Lowpass(),
    ]  # fmt: skip
    alignment.check_alignment(chain, RATE_HZ, 2)
    out = run(impulse(), [effect for effect in chain if not effect.intended_delay], [777] * 9)
    assert out.shape == impulse().shape
    assert (np.abs(out).argmax(axis=1) - 1000 <= 1).all()
    assert np.abs(out[:, :999]).max() < 1e-3  # but for the offset that was taken away


def test_reported_latency_is_removed_whole_and_in_blocks() -> None:
    effect = LateEffect(says=37)
    alignment.check_alignment([effect], RATE_HZ, 2)
    for sizes in ([], [1, 500, 8000]):
        np.testing.assert_array_equal(run(impulse(), [effect], sizes), impulse())


def test_overstated_latency_is_compensated() -> None:
    out = run(impulse(), [LateEffect(delays=(0, 0), says=-3)])
    assert out.shape == impulse().shape
    assert np.abs(out).argmax(axis=1).tolist() == [1003, 1003]


def test_a_chain_that_moves_sound_is_refused() -> None:
    with pytest.raises(PresetError, match="moves sound by 37 frames at 44100 Hz"):
        alignment.check_alignment([Compressor(), LateEffect()], RATE_HZ, 2)
    with pytest.raises(PresetError, match="moves sound by 0 or 2 frames"):
        alignment.check_alignment([LateEffect(delays=(0, 2))], RATE_HZ, 2)
    with pytest.raises(PresetError, match="pan needs a stereo bounce"):
        alignment.check_alignment([Pan(position_percent=9.0)], RATE_HZ, 1)


# Tails


def test_a_tail_is_as_long_as_the_echo() -> None:
    echo = Delay(time_ms=200.0, feedback_percent=0.0, mix_percent=50.0)
    assert alignment.tail_frames([echo], RATE_HZ, 2) == pytest.approx(8820, abs=2)
    assert alignment.tail_frames([Compressor(), Fade(out_s=1.0)], RATE_HZ, 2) == 0
    assert alignment.tail_frames([], RATE_HZ, 2) == 0
    room = alignment.tail_frames([Reverb(room_percent=80.0)], RATE_HZ, 2)
    assert RATE_HZ < room < 20 * RATE_HZ


def test_a_tail_is_limited() -> None:
    endless = Delay(time_ms=5000.0, feedback_percent=95.0, mix_percent=100.0)
    assert 20 * 8000 < alignment.tail_frames([endless], 8000.0, 1) <= 30 * 8000


def test_a_kept_tail_makes_the_file_longer_and_changes_nothing_before() -> None:
    audio = noise(2, 10_000)
    chain = [DcRemoval(), Limiter(), Reverb()]
    kept = alignment.apply_chain(chain, audio, RATE_HZ, tail=9000)
    np.testing.assert_array_equal(kept[:, :10_000], alignment.apply_chain(chain, audio, RATE_HZ))
    assert kept.shape == (2, 19_000)
    assert np.abs(kept[:, 12_000:]).max() > 1e-3


def test_a_fade_out_goes_to_the_end_of_the_tail() -> None:
    blocks = render(
        [np.full((1, 1000), 0.5, np.float32)],
        [Fade(out_s=0.01)],
        rate_hz=RATE_HZ,
        channels=1,
        frames=1000,
        tail_frames=500,
    )
    out = np.concatenate(list(blocks), axis=1)
    assert out.shape == (1, 1500)
    np.testing.assert_array_equal(out[0, :1000], np.float32(0.5))


# pedalboard's own by their names


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Phaser", {"rate_hz": 0.5, "mix": 0.3}),
        ("LadderFilter", {"mode": "LPF24", "cutoff_hz": 800}),
        ("MP3Compressor", {}),
        ("Bitcrush", {"bit_depth": 8}),
        ("Chorus", {}),
        ("Clipping", {}),
    ],
)
def test_effects_of_pedalboard_are_aligned_in_blocks(
    name: str, settings: dict[str, object]
) -> None:
    effect = Builtin.model_validate({"effect": name, "parameters": settings})
    for channels in (1, 2, 3):
        alignment.check_alignment([effect], RATE_HZ, channels)
        audio = noise(channels, 20_000)
        out = run(audio, [effect], [5, 9000])
        assert out.shape == audio.shape
        np.testing.assert_array_equal(out, run(audio, [effect]))


def test_an_effect_that_is_not_aligned_is_refused() -> None:
    """Down to 16 kHz and up again: at 44.1 kHz that lands between two frames."""
    effect = Builtin.model_validate(
        {
            "effect": "Resample",
            "parameters": {"target_sample_rate": 16_000.0, "quality": "WindowedSinc"},
        }
    )
    with pytest.raises(PresetError, match=r"moves sound by -?1 frames"):
        alignment.check_alignment([effect], RATE_HZ, 2)


def test_a_chain_is_checked_once_per_rate_and_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[float, int]] = []

    def run(effects: object, audio: Audio, rate_hz: float) -> Audio:
        runs.append((rate_hz, len(audio)))
        return audio

    monkeypatch.setattr(alignment, "apply_chain", run)
    alignment._check_delays.cache_clear()
    chain = [Gain(gain_db=-1.23)]

    def fresh() -> int:
        before = len(runs)
        for _ in range(3):
            alignment.check_alignment(chain, RATE_HZ, 2)
        return len(runs) - before

    once = fresh()
    assert once > 0
    assert fresh() == 0
    alignment.check_alignment(chain, 96_000.0, 2)
    alignment.check_alignment(chain, RATE_HZ, 1)
    assert len(runs) == 3 * once
    state = tmp_path / "state"  # a file counts with its content
    chain = [Vst3(plugin="x.vst3", state=str(state))]
    for content in (b"one", b"two"):
        state.write_bytes(content)
        assert fresh() == once
    alignment._check_delays.cache_clear()
