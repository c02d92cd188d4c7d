"""The promises, bounce by bounce: stems come back as they should, checked by other readers.

The tiny golden network separates: the same code as with real weights, in a tenth of the time.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge import errors
from bridge.presets import loader as presets
from bridge.render import pipeline
from tests.support import require, thorough
from tests.unit.conversion import LSB, TIME_REFERENCE, Convert, Here, bounce, lag, music

FLOAT_NULL = 1e-6  # -120 dBFS


# Each rate, depth and number of channels; the other combinations of them are tried by `test-all`.
FEW = [(44_100, "PCM_16", 2), (48_000, "PCM_24", 1), (96_000, "FLOAT", 2)]
ALL = [*itertools.product((44_100, 48_000, 96_000), ("PCM_16", "PCM_24", "FLOAT"), (1, 2))]


@pytest.mark.parametrize(
    ("rate_hz", "subtype", "channels"), [*FEW, *thorough(case for case in ALL if case not in FEW)]
)
def test_stems_are_like_their_bounce_and_null(
    tmp_path: Path, convert: Convert, rate_hz: int, subtype: str, channels: int
) -> None:
    audio = 0.5 * music(rate_hz, channels)
    source = bounce(tmp_path / "a.wav", audio, rate_hz, subtype, time_reference=TIME_REFERENCE)
    before = source.read_bytes()
    manifest, stems = convert(source, tmp_path)

    mixture = soundfile.read(source, always_2d=True)[0].T
    header = soundfile.info(source)
    for stem in manifest["stems"]:
        path = tmp_path / "out" / "a" / stem["path"]
        found = soundfile.info(path)
        for fact in ("frames", "samplerate", "channels", "subtype", "format"):
            assert getattr(found, fact) == getattr(header, fact)
        probe = [require.ffprobe(), "-v", "error", "-show_format", "-show_streams", "-of", "json"]
        seen = json.loads(subprocess.check_output([*probe, str(path)]))
        assert int(seen["format"]["tags"]["time_reference"]) == TIME_REFERENCE
        assert int(seen["streams"][0]["duration_ts"]) == header.frames
    assert [lag(stem, mixture) for stem in stems.values()] == [0, 0]
    left = np.abs(sum(stems.values()) - mixture).max()
    assert left <= LSB.get(subtype, FLOAT_NULL)
    assert manifest["gain_db"] == 0.0
    assert source.read_bytes() == before


def test_a_float_bounce_over_full_scale_keeps_its_level_and_nulls(
    tmp_path: Path, convert: Convert
) -> None:
    audio = 4.0 * music(48_000, 2) / np.abs(music(48_000, 2)).max()
    source = bounce(tmp_path / "hot.wav", audio, 48_000, "FLOAT")
    manifest, stems = convert(source, tmp_path)
    assert manifest["gain_db"] == 0.0
    assert manifest["source"]["peak_dbfs"] == pytest.approx(12.04, abs=0.01)
    assert np.abs(sum(stems.values()) - audio).max() <= FLOAT_NULL


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_stems_that_would_clip_all_get_the_same_gain(
    tmp_path: Path, convert: Convert, subtype: str
) -> None:
    """The stems of a bounce at full scale, here with a band above the network's, overshoot."""
    audio = np.sign(music(44_100, 2)).astype(np.float32)
    audio *= 1 - 2 * LSB[subtype]
    source = bounce(tmp_path / "full.wav", audio, 44_100, subtype)
    manifest, stems = convert(source, tmp_path)
    mixture = soundfile.read(source, always_2d=True)[0].T
    gain = 10 ** (manifest["gain_db"] / 20)
    assert manifest["gain_db"] < 0
    assert np.abs(sum(stems.values()) - gain * mixture).max() <= LSB[subtype]
    assert all(stem["clipped_values"] == 0 for stem in manifest["stems"])


def test_more_channels_keep_their_number_and_mask(tmp_path: Path, convert: Convert) -> None:
    audio = 0.3 * np.concatenate([music(48_000, 2)] * 3)
    source = bounce(tmp_path / "surround.wav", audio, 48_000, "PCM_24")
    _, stems = convert(source, tmp_path)
    mixture = soundfile.read(source, always_2d=True)[0].T
    assert {stem.shape for stem in stems.values()} == {mixture.shape}
    assert np.abs(sum(stems.values()) - mixture).max() <= LSB["PCM_24"]


def test_the_residual_as_a_stem_of_its_own(tmp_path: Path, convert: Convert) -> None:
    audio = 0.5 * music(96_000, 2)
    source = bounce(tmp_path / "a.wav", audio, 96_000, "PCM_16")
    _, stems = convert(source, tmp_path, residual="stem")
    mixture = soundfile.read(source, always_2d=True)[0].T
    assert list(stems) == ["vocals", "accompaniment", "residual"]
    assert np.abs(sum(stems.values()) - mixture).max() <= LSB["PCM_16"]


@pytest.mark.parametrize(
    ("preset", "outputs"),
    [
        ("karaoke", ["karaoke"]),
        ("acapella", ["vocals"]),
        ("rehearsal", ["rehearsal"]),
        ("mix-ready", ["vocals", "accompaniment"]),
    ],
)
def test_shipped_presets_on_real_music(
    tmp_path: Path, convert: Convert, preset: str, outputs: list[str]
) -> None:
    audio = music(44_100, 2)
    source = bounce(tmp_path / "a.wav", audio, 44_100, "PCM_24")
    manifest, stems = convert(source, tmp_path, preset)
    assert list(stems) == outputs
    assert {stem.shape for stem in stems.values()} == {audio.shape}
    reference, _ = _reference(convert, source, tmp_path)
    gain = 10 ** (manifest["gain_db"] / 20)
    if preset == "karaoke":
        wanted = reference["accompaniment"]
    elif preset == "rehearsal":
        wanted = reference["accompaniment"] + 10 ** (-12 / 20) * reference["vocals"]
    elif preset == "acapella":
        wanted = reference["vocals"]
    else:
        ceiling = 10 ** (-6 / 20)
        assert all(np.abs(stem).max() <= ceiling * 1.001 for stem in stems.values())
        assert all(np.abs(stem.mean(axis=1)).max() < 1e-4 for stem in stems.values())
        assert manifest["gain_db"] < 0
        return
    np.testing.assert_allclose(stems[outputs[0]], gain * wanted, atol=4 * LSB["PCM_24"])


def _reference(
    convert: Convert, source: Path, folder: Path
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The plain stems of the same bounce, as floats."""
    output = presets.load("stems").output.model_copy(update={"subtype": "FLOAT"})
    manifest, stems = convert(source, folder / "reference", "stems", output=output)
    return stems, manifest


def test_the_same_bounce_gives_the_same_bytes(tmp_path: Path, convert: Convert) -> None:
    source = bounce(tmp_path / "a.wav", 0.5 * music(48_000, 2), 48_000, "PCM_24")
    sums = []
    for run in ("one", "two"):
        manifest, _ = convert(source, tmp_path / run)
        sums.append([stem["sha256"] for stem in manifest["stems"]])
    assert sums[0] == sums[1]


def test_a_lossy_bounce_says_what_became_of_its_depth(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "song.mp3"
    soundfile.write(source, 0.5 * music(44_100, 2).T, 44_100, format="MP3")
    manifest, stems = convert(source, tmp_path)
    assert {stem["subtype"] for stem in manifest["stems"]} == {"PCM_24"}
    assert manifest["warnings"] == ["MPEG_LAYER_III is lossy: the stems are 24-bit PCM"]
    assert {stem.shape[1] for stem in stems.values()} == {manifest["source"]["frames"]}


def test_a_broken_promise_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stems that do not null never come out: here every output is 1 % too loud."""
    source = bounce(tmp_path / "a.wav", 0.5 * music(44_100, 2), 44_100, "PCM_16")
    write = pipeline.write_outputs

    def too_loud(outputs: Any, *rest: Any) -> Any:
        return write([replace(output, gain_db=0.1) for output in outputs], *rest)

    monkeypatch.setattr(pipeline, "write_outputs", too_loud)
    with pytest.raises(errors.PromiseBroken, match="do not null against the bounce"):
        Convert(Here())(source, tmp_path)
    assert not (tmp_path / "out" / "a").exists()
    assert not (tmp_path / "out" / ".stembridge").exists()


def test_a_file_that_does_not_read_back_is_the_disks_fault_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bounce(tmp_path / "a.wav", 0.5 * music(44_100, 2), 44_100, "PCM_16")
    wrong = pipeline._Job.verify

    def damaged(job: pipeline._Job, *facts: object) -> object:
        for path in job.folder.glob("*.wav"):
            path.write_bytes(b"zeros from a dying drive")
        return wrong(job, *facts)

    monkeypatch.setattr(pipeline._Job, "verify", damaged)
    with pytest.raises(errors.OutputError, match="a written file does not read back") as raised:
        Convert(Here())(source, tmp_path)
    assert raised.value.retryable
    assert not (tmp_path / "out" / "a").exists()


def test_an_output_that_does_not_fit_the_model_fails_before_separating(
    tmp_path: Path, convert: Convert
) -> None:
    source = bounce(tmp_path / "a.wav", 0.5 * music(44_100, 1), 44_100, "PCM_16")
    with pytest.raises(errors.PresetError, match="no stem 'drums'"):
        convert(source, tmp_path, stems=("drums",))
