"""Values that no sound has are the bounce's fault, and the error names their frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.leniency import Leniency
from bridge.audio.plausible import LIMIT
from bridge.audio.probe import probe
from bridge.errors import NonFiniteBounce
from tests.audio_files import decoded, noise

if TYPE_CHECKING:
    from pathlib import Path

REPAIR = Leniency(repair=True)


def with_value(path: Path, value: float, subtype: str, frame: int = 12_345) -> Path:
    audio = noise(2, 20_000).astype(np.float64)
    audio[1, frame] = value
    soundfile.write(path, audio.T, 48_000, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("value", "subtype", "words"),
    [
        (1e30, "FLOAT", r"a value of 1e\+30 \(\+600 dBFS\) at frame 12,345;"),
        (-3e9, "FLOAT", r"a value of -3e\+09 \(\+190 dBFS\) at frame 12,345;"),
        (1e30, "DOUBLE", r"a value of 1e\+30 \(\+600 dBFS\) at frame 12,345;"),
        (1e200, "DOUBLE", "NaN, Inf or a value beyond 3e38 at frame 12,345;"),
        (np.nan, "FLOAT", "NaN or Inf at frame 12,345;"),
        (np.inf, "FLOAT", "NaN or Inf at frame 12,345;"),
        (np.nan, "DOUBLE", "NaN, Inf or a value beyond 3e38 at frame 12,345;"),
    ],
)
def test_the_bounce_is_blamed(tmp_path: Path, value: float, subtype: str, words: str) -> None:
    path = with_value(tmp_path / "huge.wav", value, subtype)
    with pytest.raises(NonFiniteBounce, match=words) as raised:
        survey(Decoder(path, probe(path), block_frames=1000))
    assert "a plugin in the session misbehaves" in str(raised.value)


@pytest.mark.parametrize("value", [1e30, -1e7, np.nan])
def test_it_can_be_repaired(tmp_path: Path, value: float) -> None:
    path = with_value(tmp_path / "huge.wav", value, "FLOAT")
    decoder = Decoder(path, probe(path, REPAIR), leniency=REPAIR)
    sound = np.concatenate(list(decoder), axis=1)
    expected = noise(2, 20_000)
    before, after = expected[1, 12_344], expected[1, 12_346]
    assert min(before, after) <= sound[1, 12_345] <= max(before, after)
    sound[1, 12_345] = expected[1, 12_345]
    assert np.array_equal(sound, expected)
    assert survey(decoder).repaired_values == 1


def test_a_hot_bounce_is_a_bounce(tmp_path: Path) -> None:
    for value in (LIMIT, -LIMIT, 1000.0, 4.0):
        path = with_value(tmp_path / "hot.wav", value, "FLOAT")
        assert decoded(path)[1, 12_345] == np.float32(value)
