"""Chains, buses and levels of whole jobs, with files read by soundfile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.audio.chunks import read_chunk, read_layout
from bridge.audio.metadata.bext import parse
from bridge.errors import PluginError, PresetError
from bridge.presets import loader as presets
from bridge.render import mixing
from tests.unit.conversion import LSB, TIME_REFERENCE, Convert, bounce, music
from tests.unit.loudness_reference import ffmpeg_levels

RATE_HZ = 44_100
DB = {db: 10 ** (db / 20) for db in (-12, -6, -3, 3)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two seconds of real music with room above it, as float."""
    return bounce(tmp_path / "a.wav", 0.4 * music(RATE_HZ, 2), RATE_HZ, "FLOAT")


def made(
    convert: Convert, source: Path, text: str, name: str = "p"
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The manifest and files of a preset, written as a user would."""
    folder = source.parent / name
    folder.mkdir()
    path = folder / "p.yaml"
    path.write_text(f"schema: 2\nsummary: for a test\n{text}", encoding="utf-8")
    return convert(source, folder, presets.load_file(path))


def mixture(source: Path) -> np.ndarray:
    return soundfile.read(source, always_2d=True)[0].T


def test_a_stem_louder_in_the_mixture_leaves_the_rest_untouched(
    convert: Convert, source: Path
) -> None:
    text = """
mixdowns:
  up: {mix: {vocals: 3}, from: mixture}
  without: {mix: {vocals: off}, from: mixture}
  as is: {mix: {rest: 0}, from: mixture}
"""
    _, files = made(convert, source, text)
    vocals, bounced = files["vocals"], mixture(source)
    np.testing.assert_allclose(files["up"], bounced + (DB[3] - 1) * vocals, atol=1e-6)
    np.testing.assert_allclose(files["without"], bounced - vocals, atol=1e-6)
    np.testing.assert_array_equal(files["as is"], bounced)


def test_from_the_mixture_a_stem_goes_out_as_it_is_there_and_comes_in_processed(
    convert: Convert, source: Path
) -> None:
    text = """
stems: [vocals]
stem_chains: {vocals: [{gain: {gain_db: -6}}]}
mixdowns:
  up: {mix: {vocals: 3}, from: mixture}
"""
    _, files = made(convert, source, text)
    _, plain = made(convert, source, "stems: [vocals]", "plain")
    np.testing.assert_allclose(files["vocals"], DB[-6] * plain["vocals"], atol=1e-6)
    wanted = mixture(source) - plain["vocals"] + DB[3] * files["vocals"]
    np.testing.assert_allclose(files["up"], wanted, atol=1e-6)


def test_a_bus_has_gains_pans_and_a_chain(convert: Convert, source: Path) -> None:
    text = """
mixdowns:
  left: {mix: {vocals: {gain_db: -6, pan_percent: -100}, rest: {gain_db: -3}}}
  quiet: {mix: {rest: 0}, chain: [{gain: {gain_db: -12}}]}
master: [{gain: {gain_db: -6}}]
"""
    manifest, files = made(convert, source, text)
    assert list(files) == ["vocals", "accompaniment", "left", "quiet", "master"]
    vocals, band = files["vocals"], files["accompaniment"]
    to_the_left = np.stack([vocals.sum(axis=0), np.zeros(vocals.shape[1])])
    np.testing.assert_allclose(files["left"], DB[-6] * to_the_left + DB[-3] * band, atol=1e-6)
    np.testing.assert_allclose(files["quiet"], DB[-12] * mixture(source), atol=1e-6)
    np.testing.assert_allclose(files["master"], DB[-6] * mixture(source), atol=1e-6)
    # The buses take nothing away from the stems' own promise.
    assert manifest["null_residual_dbfs"] <= -120


def test_a_pan_needs_stereo(convert: Convert, tmp_path: Path) -> None:
    mono = bounce(tmp_path / "mono.wav", 0.4 * music(RATE_HZ, 1), RATE_HZ, "FLOAT")
    text = "mixdowns: {x: {mix: {vocals: {pan_percent: 10}}}}"
    with pytest.raises(PresetError, match="mixdown 'x' pans, which needs a stereo bounce"):
        made(convert, mono, text)


def test_named_stems_have_chains_of_their_own(convert: Convert, source: Path) -> None:
    _, plain = made(convert, source, "", "plain")
    text = """
chain: [{gain: {gain_db: -6}}]
stem_chains: {vocals: [{gain: {gain_db: 3}}], rest: [invert]}
"""
    manifest, files = made(convert, source, text)
    np.testing.assert_allclose(files["vocals"], DB[-3] * plain["vocals"], atol=1e-6)
    np.testing.assert_allclose(files["accompaniment"], -DB[-6] * plain["accompaniment"], atol=1e-6)
    assert manifest["null_residual_dbfs"] > -60  # measured, but no promise


def test_tails_make_all_files_longer_alike(convert: Convert, source: Path) -> None:
    text = """
stem_chains: {vocals: [{delay: {time_ms: 500, feedback_percent: 0}}]}
tails: keep
mixdowns:
  up: {mix: {vocals: off}, from: mixture}
"""
    manifest, files = made(convert, source, text)
    frames = mixture(source).shape[1]
    tail = manifest["tail_frames"]
    assert tail == pytest.approx(0.5 * RATE_HZ, abs=0.02 * RATE_HZ)
    assert {file.shape[1] for file in files.values()} == {frames + tail}
    assert any("longer than the bounce" in text for text in manifest["warnings"])
    assert np.abs(files["vocals"][:, frames:]).max() > 0.001
    assert np.abs(files["accompaniment"][:, frames:]).max() == 0
    assert manifest["null_residual_dbfs"] is not None


def test_trimmed_files_have_a_start_frame(convert: Convert, tmp_path: Path) -> None:
    audio = 0.4 * music(RATE_HZ, 2)
    audio[:, : RATE_HZ // 2] = 0
    source = bounce(tmp_path / "a.wav", audio, RATE_HZ, "PCM_24", time_reference=TIME_REFERENCE)
    text = "aligned: false\nchain: [{trim_silence: {pad_ms: 0}}]\noutput: {dither: none}"
    manifest, files = made(convert, source, text)
    _, plain = made(convert, source, "", "plain")
    assert manifest["aligned"] is False
    assert manifest["null_residual_dbfs"] is None
    assert any("trimmed, not aligned" in text for text in manifest["warnings"])
    for stem in manifest["stems"]:
        start = stem["start_frame"]
        assert start > 0
        whole = plain[stem["name"]][:, start : start + stem["frames"]]
        np.testing.assert_allclose(files[stem["name"]], whole, atol=2 * LSB["PCM_24"])
        path = source.parent / "p" / "out" / "a" / stem["path"]
        with path.open("rb") as file:
            (ref,) = (chunk for chunk in read_layout(path).chunks if chunk.id == b"bext")
            assert parse(read_chunk(file, ref)).time_reference == TIME_REFERENCE + start


def test_common_headroom_keeps_the_stems_in_proportion_to_the_mixture(
    convert: Convert, source: Path
) -> None:
    manifest, files = made(convert, source, "headroom: {mode: common, ceiling_dbfs: -20}")
    gain = 10 ** (manifest["gain_db"] / 20)
    assert manifest["gain_db"] < -6
    left = sum(files.values()) - gain * mixture(source)
    # The gain is told to a millionth of a dB.
    assert np.abs(left).max() <= 1e-6
    assert manifest["null_residual_dbfs"] <= -120


def test_per_stem_headroom(convert: Convert, source: Path) -> None:
    manifest, files = made(convert, source, "headroom: {mode: per_stem, ceiling_dbfs: -20}")
    for stem in manifest["stems"]:
        assert np.abs(files[stem["name"]]).max() == pytest.approx(0.1, rel=1e-4)
    assert manifest["gain_db"] is None
    assert len({stem["gain_db"] for stem in manifest["stems"]}) == 2


def test_loudness_of_each_stem_as_another_meter_reads_it(convert: Convert, source: Path) -> None:
    manifest, _ = made(convert, source, "normalise: {lufs: -23}")
    for stem in manifest["stems"]:
        path = source.parent / "p" / "out" / "a" / stem["path"]
        loudness, true_peak_dbtp = ffmpeg_levels(path)
        assert loudness == pytest.approx(-23.0, abs=0.1)
        assert stem["lufs"] == pytest.approx(-23.0, abs=0.02)
        assert stem["true_peak_dbtp"] == pytest.approx(true_peak_dbtp, abs=0.3)
    assert manifest["warnings"] == []


def test_linked_by_true_peak(convert: Convert, source: Path) -> None:
    manifest, files = made(convert, source, "normalise: {dbtp: -3, linked: true}")
    assert max(s["true_peak_dbtp"] for s in manifest["stems"]) == pytest.approx(-3, abs=0.01)
    gain = 10 ** (manifest["gain_db"] / 20)
    np.testing.assert_allclose(sum(files.values()), gain * mixture(source), atol=2e-6)


def test_a_loudness_that_the_peaks_forbid_is_reported(convert: Convert, source: Path) -> None:
    text = "normalise: {lufs: -3}\noutput: {subtype: PCM_24}"
    manifest, _ = made(convert, source, text)
    assert sum("instead of -3.0" in text for text in manifest["warnings"]) == 2
    assert all(stem["clipped_values"] == 0 for stem in manifest["stems"])


def test_16_bit_stems_of_a_24_bit_bounce_have_dither_or_a_warning(
    convert: Convert, tmp_path: Path
) -> None:
    source = bounce(tmp_path / "a.wav", 0.4 * music(RATE_HZ, 2), RATE_HZ, "PCM_24")
    manifest, files = made(convert, source, "output: {subtype: PCM_16}", "auto")
    assert {stem["dither"] for stem in manifest["stems"]} == {"tpdf"}
    assert manifest["warnings"] == []
    left = (sum(files.values()) - mixture(source)) / LSB["PCM_16"]
    assert np.abs(left).max() <= 1.5 + 1e-6
    assert left.var() == pytest.approx(0.25, rel=0.05)
    again, _ = made(convert, source, "output: {subtype: PCM_16}", "again")
    assert [s["sha256"] for s in again["stems"]] == [s["sha256"] for s in manifest["stems"]]
    manifest, _ = made(convert, source, "output: {subtype: PCM_16, dither: none}", "bare")
    assert {stem["dither"] for stem in manifest["stems"]} == {"none"}
    (warning,) = manifest["warnings"]
    assert warning.startswith("PCM_24 became PCM_16 without dither")
    manifest, _ = made(convert, source, "output: {subtype: PCM_16, dither: shaped}", "shaped")
    assert {stem["dither"] for stem in manifest["stems"]} == {"shaped"}


def test_a_float_file_over_full_scale_is_reported(convert: Convert, tmp_path: Path) -> None:
    audio = 2.0 * music(RATE_HZ, 2) / np.abs(music(RATE_HZ, 2)).max()
    source = bounce(tmp_path / "hot.wav", audio, RATE_HZ, "FLOAT")
    manifest, _ = made(convert, source, "")
    told = [text for text in manifest["warnings"] if "true peak of +" in text]
    over = [stem for stem in manifest["stems"] if stem["true_peak_dbtp"] > 0]
    assert len(told) == len(over) > 0
    text = "headroom: {mode: none}\noutput: {subtype: PCM_16}"
    manifest, _ = made(convert, source, text, "fixed")
    assert any(" clips: " in text for text in manifest["warnings"])


def test_manifest_levels_match_the_files(convert: Convert, source: Path) -> None:
    manifest, files = made(convert, source, "limiter: {ceiling_dbtp: -20}")
    for stem in manifest["stems"]:
        audio = files[stem["name"]]
        assert stem["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(audio).max()), abs=0.001)
        assert -20.3 < stem["true_peak_dbtp"] <= -20 + 0.1
        dc = np.abs(audio.mean(axis=1)).max()
        assert stem["dc_dbfs"] == pytest.approx(20 * np.log10(dc), abs=0.01)


def test_a_plugin_that_moves_sound_is_refused_before_anything_is_separated(
    convert: Convert, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every chain of the job is tried with an impulse, those of buses too."""
    from bridge.render import alignment
    from tests.unit.conversion import Here

    tried: list[tuple[Any, ...]] = []

    def refuse(chain: Any, rate_hz: float, channels: int) -> None:
        tried.append((len(chain), rate_hz, channels))
        if any(effect.effect_name == "invert" for effect in chain):
            raise PluginError("it is late")

    monkeypatch.setattr(alignment, "check_alignment", refuse)
    with pytest.raises(PluginError, match="it is late"):
        made(Convert(Here()), source, "master: [invert]")
    assert (1, RATE_HZ, 2) in tried


def test_changed_sources_of_a_bus_from_the_mixture() -> None:
    from bridge.presets.mixdown import Mixdown

    bus = Mixdown.model_validate({"mix": {"vocals": 0, "bass": "off"}, "from": "mixture"})
    assert mixing.changed_sources(bus, ["vocals", "drums", "bass"]) == {"bass": None}
    rest = Mixdown.model_validate({"mix": {"vocals": 0, "rest": "off"}, "from": "mixture"})
    assert [*mixing.changed_sources(rest, ["vocals", "drums", "bass"])] == ["drums", "bass"]
