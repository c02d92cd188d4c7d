"""Two lengths of one bounce: that of its container and that of its decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.length import Count
from bridge.audio.leniency import Leniency
from bridge.audio.probe import probe
from bridge.errors import TruncatedBounce
from tests.audio_files import noise

if TYPE_CHECKING:
    from pathlib import Path

COUNT = Count(10_000, 100, "MPEG frame headers")


def vorbis(folder: Path) -> Path:
    """A file whose length only its decoder finds."""
    path = folder / "bounce.ogg"
    soundfile.write(path, noise(1, 9_000).T, 48_000, format="OGG", subtype="VORBIS")
    return path


@pytest.mark.parametrize("frames", [9_900, 10_000, 10_100])
def test_a_decoder_within_the_slack_is_believed(frames: int) -> None:
    assert COUNT.shortfall(frames) is None
    assert COUNT.surplus(frames) is None


def test_what_is_missing_is_an_error_and_what_is_more_a_warning() -> None:
    assert "MPEG frame headers come to 10,000 frames, of which 9,899" in str(COUNT.shortfall(9_899))
    assert "10,101 were decoded" in (COUNT.surplus(10_101) or "")


@pytest.mark.parametrize(("counted", "fails"), [(9_000, False), (9_100, False), (9_101, True)])
def test_the_decoder_is_held_against_the_count(tmp_path: Path, counted: int, fails: bool) -> None:
    path = vorbis(tmp_path)
    info = replace(probe(path), frames=None, count=Count(counted, 100, "frame headers"))
    if not fails:
        assert survey(Decoder(path, info)).frames == 9_000
        return
    with pytest.raises(TruncatedBounce, match="9,101 frames, of which 9,000 could be decoded"):
        survey(Decoder(path, info))
    lenient = replace(info, open_end=True)
    found = survey(Decoder(path, lenient, leniency=Leniency(accept_truncated=True)))
    assert (found.frames, found.truncated, found.claimed_frames) == (9_000, True, 9_101)


def test_a_decoder_that_gives_more_is_warned_of(tmp_path: Path) -> None:
    path = vorbis(tmp_path)
    info = replace(probe(path), frames=None, count=Count(8_000, 100, "headers"), warnings=("a",))
    found = survey(Decoder(path, info))
    assert list(found.all_warnings()) == [
        "a",
        "its headers come to 8,000 frames, 9,000 were decoded: all of them are in the stems",
    ]
