"""Audio of one frame and more, and audio that is nearly silent, through every family of models.

The tiny golden networks separate; see test_golden_demucs. A network with one hidden channel meets
the shortest input as one value, which has no variance.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

import separator
from tests.support import require, thorough

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from separator.separator import Separator

    Audio = NDArray[np.float32]

ARCHITECTURES = {"Demucs": "demucs-v2", "ConvTasNet": "conv-tasnet"}  # of version 2
WAVEFORM = (
    *("demucs_v1/demucs_v1.th", "demucs_v1/tasnet_v1.th"),
    *("demucs_v2/demucs_v2.json", "demucs_v2/tasnet_v2.json"),
    *("packed/demucs_v3_q.th", "packed/hdemucs_q.th", "demucs_v3/hdemucs_v3-12fed0f4.th"),
    *("demucs_v4/hdemucs_mmi.safetensors", "demucs_v4/htdemucs.safetensors"),
    "demucs_v4/htdemucs_nobottom.safetensors",
)
MODELS = (
    *WAVEFORM,
    *("spleeter/2stems.json", "spleeter/2stems-mwf.json", "classical:hpss", "classical:centre"),
)
USUAL = ("demucs_v1/demucs_v1.th", "demucs_v4/htdemucs.safetensors", "spleeter/2stems.json")
MORE = tuple(name for name in MODELS if name not in USUAL)
SHAPES = (  # frames, rate_hz, channels: at 192 kHz, one frame is none at the models' rate
    *((1, 44_100, 2), (1, 192_000, 1), (5, 192_000, 3), (1_103, 44_100, 2)),
)
FRAMES = 3_000


@lru_cache(maxsize=1)
def model(name: str, segment_s: float | None = None) -> Separator:
    if name.startswith("classical:"):
        return separator.load(name, device="cpu")
    path = require.golden(name)
    about = json.loads(path.read_text()) if name.startswith("demucs_v2/") else {}
    if about:
        return separator.load_checkpoint(
            path.parent / about["checkpoint"],
            architecture=ARCHITECTURES[about["class"]],
            arguments=about["kwargs"],
            device="cpu",
            segment_s=segment_s,
        )
    return separator.load_checkpoint(path, device="cpu", segment_s=segment_s)


def noise(channels: int, frames: int) -> Audio:
    random = np.random.default_rng(frames)
    return (0.3 * random.standard_normal((channels, frames))).astype(np.float32)


def check(stems: Mapping[str, Audio], mixture: Audio) -> None:
    """All of the mixture's shape, finite, and the mixture in their sum."""
    for name, stem in stems.items():
        assert stem.shape == mixture.shape, name
        assert np.isfinite(stem).all(), name
    total = np.sum([stem.astype(np.float64) for stem in stems.values()], axis=0)
    assert np.abs(total - mixture).max() <= 1e-6 * max(1.0, float(np.abs(mixture).max()))


@pytest.mark.parametrize("name", [*USUAL, *thorough(MORE)])
def test_every_length_from_one_frame_on(name: str) -> None:
    for frames, rate_hz, channels in SHAPES:
        mixture = noise(channels, frames)
        check(model(name).separate(mixture, rate_hz), mixture)


@pytest.mark.parametrize("name", WAVEFORM)
def test_a_last_segment_of_one_frame(name: str) -> None:
    longest_s = model(name).hop_s  # of a model of fixed segments it is three quarters of one
    ready = model(name, min(0.5, longest_s))
    mixture = noise(2, round(ready.hop_s * ready.rate_hz) + 1)
    check(ready.separate(mixture, ready.rate_hz), mixture)


def nearly_silent() -> dict[str, Audio]:
    mono, silence = noise(1, FRAMES)[0], np.zeros(FRAMES, np.float32)
    one_value = np.stack([silence, silence])
    one_value[0, FRAMES // 2] = 2.0**-23
    nine = np.zeros((9, FRAMES), np.float32)
    nine[3] = mono
    return {
        "one channel": np.stack([mono, silence]),
        "one value": one_value,
        "subnormal": np.full((2, FRAMES), 1e-42, np.float32),
        "opposite": np.stack([mono, -mono]),
        "one of nine": nine,
    }


@pytest.mark.parametrize("name", [*USUAL, *thorough(MORE)])
def test_audio_that_is_nearly_silent(name: str) -> None:
    for mixture in nearly_silent().values():
        check(model(name).separate(mixture, 44_100), mixture)
