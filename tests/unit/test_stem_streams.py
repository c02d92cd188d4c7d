"""What the streams of a stem file hold, to the last bit; decoded by PyAV.

That other programs read them is shown in tests/daw/test_stem_mp4.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from bridge.audio.mp4_input import decode_stream
from bridge.daw import stem_mp4, stem_streams
from bridge.daw.session import from_manifest
from bridge.errors import FileTooLarge, OutputError, SessionError
from tests.daw.sets import FOUR, manifest, read_24, session, split, write_24, write_set
from tests.limits import largest_file
from tests.m4a_files import m4a
from tests.mp4_boxes import boxes, of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES = 70_001  # more than a block, and no multiple of one
RATE_HZ = 48_000
SIX = ("vocals", "piano", "drums", "bass", "other", "guitar")


def streams(path: Path) -> list[NDArray[np.float64]]:
    """The mix and the stems in the order of the file, (frames, channels)."""
    assert len(of(boxes(path), "moov", "trak")) == 5
    return [
        np.concatenate([*decode_stream(path, n)], axis=1).T.astype(np.float64) for n in range(5)
    ]


def depths(path: Path) -> list[int]:
    """Bits of each stream, as the ALAC decoder gets them (ALACSpecificConfig, bitDepth)."""
    entries = of(boxes(path), "moov", "trak", "mdia", "minf", "stbl", "stsd")
    return [entry.data[entry.data.rindex(b"alac") + 13] for entry in entries]


def written(mix: Path, stems: Any = FOUR, **shape: Any) -> Path:
    """The stem file of a set that lies there."""
    path = mix.with_suffix(".stem.mp4")
    form = {"frames": FRAMES, "rate_hz": RATE_HZ, **shape}
    stem_mp4.write(session(mix, stems, **form), path)
    return path


def floats(folder: Path, audio: Mapping[str, NDArray[np.float64]], **options: Any) -> Path:
    """A set of float files, mix first; returns the mix's path."""
    mix = folder / "Mix.wav"
    for name, wave in audio.items():
        path = mix if name == "mix" else folder / f"Mix - {name}.wav"
        soundfile.write(path, wave, RATE_HZ, **{"subtype": "FLOAT", **options})
    return mix


def test_integers_go_through_as_they_are(tmp_path: Path) -> None:
    mix = tmp_path / "Mix.wav"
    write_set(mix, frames=FRAMES)
    path = written(mix)
    assert depths(path) == [24] * 5
    files = [mix, *(tmp_path / f"Mix - {stem}.wav" for stem in FOUR)]
    for stream, file in zip(streams(path), files, strict=True):
        assert np.array_equal(stream * 2**23, read_24(file))


def test_a_set_of_16_bits_stays_one(tmp_path: Path) -> None:
    mix, parts = sixteen(tmp_path, SIX)
    path = written(tmp_path / "Mix.wav", SIX)
    assert depths(path) == [16] * 5
    whole, drums, bass, other, vocals = (stream * 2**15 for stream in streams(path))
    assert np.array_equal(whole, mix)
    assert np.array_equal(drums, parts["drums"])
    assert np.array_equal(bass, parts["bass"])
    assert np.array_equal(vocals, parts["vocals"])
    assert np.array_equal(other, parts["piano"] + parts["other"] + parts["guitar"])


def sixteen(
    folder: Path, stems: tuple[str, ...]
) -> tuple[NDArray[np.int32], dict[str, NDArray[np.int32]]]:
    """A set of 16-bit files: the values of the mix and of its stems, (frames, channels)."""
    mix = np.random.default_rng(1).integers(-(2**14), 2**14, (FRAMES, 2)).astype(np.int32)
    parts = dict(zip(stems, split(mix, len(stems)), strict=True))
    soundfile.write(folder / "Mix.wav", mix.astype(np.int16), RATE_HZ, subtype="PCM_16")
    for stem, part in parts.items():
        path = folder / f"Mix - {stem}.wav"
        soundfile.write(path, part.astype(np.int16), RATE_HZ, subtype="PCM_16")
    return mix, parts


def test_a_mix_of_16_bits_beside_stems_of_24(tmp_path: Path) -> None:
    mix = tmp_path / "Mix.wav"
    write_set(mix, frames=FRAMES)
    values = read_24(mix) >> 8
    soundfile.write(mix, values.astype(np.int16), RATE_HZ, subtype="PCM_16")
    path = written(mix)
    assert depths(path) == [16, 24, 24, 24, 24]
    assert np.array_equal(streams(path)[0] * 2**15, values)


def test_clips_of_one_stream_are_added_up_exactly(tmp_path: Path) -> None:
    mix = write_set(tmp_path / "Mix.wav", SIX, frames=FRAMES)
    parts = dict(zip(SIX, split(mix, len(SIX)), strict=True))
    other = streams(written(tmp_path / "Mix.wav", SIX))[3]
    assert np.array_equal(other * 2**23, parts["piano"] + parts["other"] + parts["guitar"])


def test_floats_are_rounded_so_that_the_stems_stay_the_mix(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    parts = {stem: random.normal(0, 0.05, (FRAMES, 2)).astype(np.float32) for stem in FOUR}
    mix = np.sum([*parts.values()], axis=0, dtype=np.float64).astype(np.float32)
    path = written(floats(tmp_path, {"mix": mix, **parts}))
    whole, *stems = streams(path)
    assert depths(path) == [24] * 5
    assert np.abs(whole - mix).max() <= 2**-24
    for stem, part in zip(stems, parts.values(), strict=True):
        assert np.abs(stem - part).max() <= 2**-23
    assert np.abs(np.sum(stems, axis=0) - whole).max() <= 2**-23


@pytest.mark.parametrize("depth", ["FLOAT", "PCM_24"])
def test_above_full_scale_one_gain_lowers_all(tmp_path: Path, depth: str) -> None:
    """A mix of floats that peaks at 1.5, beside stems that all fit."""
    random = np.random.default_rng(3)
    parts = {stem: random.uniform(-0.3, 0.3, (FRAMES, 2)) for stem in FOUR}
    parts["drums"][5] = parts["bass"][5] = 0.75
    parts["other"][5] = parts["vocals"][5] = 0.0
    files = floats(tmp_path, parts, subtype=depth)
    parts = {s: soundfile.read(tmp_path / f"Mix - {s}.wav")[0] for s in FOUR}
    mix = np.sum([*parts.values()], axis=0)
    soundfile.write(files, mix, RATE_HZ, subtype="FLOAT")
    peak = np.abs(mix.astype(np.float32)).max()
    assert peak == pytest.approx(1.5, abs=1e-6)
    path = written(files)
    assert depths(path) == [24] * 5
    whole, *stems = streams(path)
    assert np.abs(whole).max() == pytest.approx(1.0, abs=2**-22)
    assert np.abs(whole * peak - mix).max() < 2**-21  # nothing is clipped
    assert np.abs(np.sum(stems, axis=0) - whole).max() <= 2**-22
    for stem, part in zip(stems, parts.values(), strict=True):
        assert np.abs(stem * peak - part).max() < 2**-21


def test_a_sum_above_full_scale_is_not_clipped(tmp_path: Path) -> None:
    """Each of three stems fits in 16 bits, and what is in `other` does not."""
    parts = sixteen(tmp_path, SIX)[1]
    for stem in ("piano", "other", "guitar"):
        parts[stem][7] = 20_000
        soundfile.write(
            tmp_path / f"Mix - {stem}.wav", parts[stem].astype(np.int16), RATE_HZ, subtype="PCM_16"
        )
    path = written(tmp_path / "Mix.wav", SIX)
    assert depths(path) == [24] * 5
    _, drums, _, other, _ = streams(path)
    gain = 2**15 / 60_000
    assert other[7] == pytest.approx([1.0, 1.0], abs=2**-22)
    total = (parts["piano"] + parts["other"] + parts["guitar"]) / 2**15
    assert np.abs(other - gain * total).max() <= 2**-22
    assert np.abs(drums - gain * parts["drums"] / 2**15).max() <= 2**-22


@pytest.mark.parametrize("kind", ["flac", "aiff", "caf"])
def test_the_set_may_lie_in_any_container(tmp_path: Path, kind: str) -> None:
    mix = write_set(tmp_path / "Mix.wav", frames=FRAMES)
    data = manifest(tmp_path / "Mix.wav", frames=FRAMES)
    for stem in data["stems"]:
        values = read_24(tmp_path / stem["path"])
        stem["path"] = stem["path"].replace(".wav", f".{kind}")
        soundfile.write(tmp_path / stem["path"], values << 8, RATE_HZ, subtype="PCM_24")
    path = tmp_path / "Mix.stem.mp4"
    stem_mp4.write(from_manifest(data, tmp_path), path)
    whole, *stems = streams(path)
    assert np.array_equal(whole * 2**23, mix)
    assert np.array_equal(np.sum(stems, axis=0) * 2**23, mix)


def test_stems_in_m4a_are_read_to_the_frame(tmp_path: Path) -> None:
    mix = write_set(tmp_path / "Mix.wav", frames=FRAMES)
    data = manifest(tmp_path / "Mix.wav", frames=FRAMES)
    for stem in data["stems"]:
        values = (read_24(tmp_path / stem["path"]).T / 2**23).astype(np.float32)
        stem["path"] = stem["path"].replace(".wav", ".m4a")
        m4a(tmp_path / stem["path"], values, rate_hz=RATE_HZ)
    path = tmp_path / "Mix.stem.mp4"
    stem_mp4.write(from_manifest(data, tmp_path), path)
    found = streams(path)
    assert [len(stream) for stream in found] == [FRAMES] * 5
    assert depths(path)[1:] == [24] * 4
    assert np.abs(found[0]).max() > 0.99 * np.abs(mix).max() / 2**23


def test_damage_that_was_accepted_does_not_cost_the_file(tmp_path: Path) -> None:
    mix = tmp_path / "Mix.wav"
    write_set(mix, frames=FRAMES)
    whole = mix.read_bytes()
    mix.write_bytes(whole[: len(whole) - 6 * (FRAMES - 50_000)])
    for stem in FOUR:
        path = tmp_path / f"Mix - {stem}.wav"
        write_24(path, read_24(path)[:50_000], RATE_HZ)
    found = streams(written(mix, frames=50_000))
    assert [len(stream) for stream in found] == [50_000] * 5


@pytest.mark.parametrize("frames", [FRAMES - 1, FRAMES + 1, 65_536, 140_000])
@pytest.mark.parametrize("stem", ["drums", "guitar"])
def test_a_file_of_another_length_costs_the_stem_file(
    tmp_path: Path, stem: str, frames: int
) -> None:
    write_set(tmp_path / "Mix.wav", SIX, frames=FRAMES)
    write_24(tmp_path / f"Mix - {stem}.wav", np.zeros((frames, 2), np.int32), RATE_HZ)
    refused(tmp_path, f"{stem}.wav: not the 70,001 frames that its manifest says", SIX)


def test_a_file_of_another_kind_costs_the_stem_file(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    drums = tmp_path / "Mix - drums.wav"
    write_24(drums, np.zeros((FRAMES, 2), np.int32), 44_100)
    refused(tmp_path, "drums.wav: changed since the stems were made")
    write_24(drums, np.zeros((FRAMES, 1), np.int32), RATE_HZ)
    refused(tmp_path, "drums.wav: changed since the stems were made")
    drums.write_bytes(b"no audio at all")
    refused(tmp_path, r"drums\.wav: cannot be read: ")


def refused(folder: Path, words: str, stems: Any = FOUR) -> None:
    before = {*folder.iterdir()}
    with pytest.raises(SessionError, match=words):
        written(folder / "Mix.wav", stems)
    assert {*folder.iterdir()} == before


def test_what_the_encoder_refuses_costs_the_stem_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    monkeypatch.setattr(stem_streams, "CHANNELS", 1)
    refused(tmp_path, "the stem file cannot be encoded")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9999])
def test_a_disk_that_takes_no_more_is_an_output_error(tmp_path: Path, share: float) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    path = written(tmp_path / "Mix.wav")
    before, whole = {*tmp_path.iterdir()}, path.read_bytes()
    with pytest.raises(FileTooLarge), largest_file(int(len(whole) * share)):
        written(tmp_path / "Mix.wav")
    assert {*tmp_path.iterdir()} == before
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    (tmp_path / "file").write_text("no folder")
    made = session(tmp_path / "Mix.wav", frames=FRAMES)
    with pytest.raises(OutputError):
        stem_mp4.write(made, tmp_path / "file" / "Mix.stem.mp4")
