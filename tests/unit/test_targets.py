"""Files of every target, judged by readers that are not ours."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.id3 import ID3

from bridge.audio.metadata.model import Mark, Metadata, Picture
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.probe import AudioInfo, probe
from bridge.audio.quantise import quantise
from bridge.audio.targets.registry import TARGETS, target_for, unsupported_reason
from bridge.audio.targets.spec import Spec, Writer
from bridge.audio.targets.writers import TEMPLATES, not_carried, open_writer
from bridge.errors import DiskFull, PromiseBroken
from tests.audio_files import noise
from tests.hypothesis_profiles import examples
from tests.support import require
from tests.unit.target_readers import LOSSLESS, LOSSY, ffmpeg, ffprobe

RATE_HZ = 44_100
BITS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
READ_BY_SOUNDFILE = [name for name in TARGETS if name != "m4a"]
MASKS = {6: 0x3F, 8: 0x63F}  # 5.1 with surrounds at the back, 7.1
TIME_REFERENCE = 3_000_000_000


def spec(name: str, subtype: str = "", **changes: Any) -> Spec:
    target = TARGETS[name]
    plain = Spec(
        target=target,
        rate_hz=RATE_HZ,
        channels=2,
        frames=1,
        subtype=subtype or target.subtypes[0],
        channel_mask=None,
        extensible=False,
        metadata=Metadata(),
        quality=8.0,
    )
    return replace(plain, **changes)


def store(folder: Path, wanted: Spec, audio: np.ndarray, *, block_frames: int = 5_000) -> Path:
    """The file; `wanted` gets the shape of the audio."""
    shaped = replace(wanted, channels=len(audio), frames=audio.shape[1])
    written, _ = store_and_tell(folder, shaped, audio, block_frames)
    return written


def store_and_tell(
    folder: Path, wanted: Spec, audio: np.ndarray, block_frames: int = 5_000
) -> tuple[Path, Writer]:
    folder.mkdir(exist_ok=True)
    path = folder / f"stem{wanted.target.suffix}"
    bits = BITS.get(wanted.subtype)
    with open_writer(path, wanted) as writer:
        for first in range(0, audio.shape[1], block_frames):
            block = audio[:, first : first + block_frames]
            if bits is None:
                writer.write_float(block)
            else:
                writer.write_int(quantise(block, bits))
    assert writer.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return path, writer


def music(frames: int, channels: int = 2, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Bursts of a tone and noise: nothing that fits on itself when it is shifted."""
    random = np.random.default_rng(frames)
    time_s = np.arange(frames) / rate_hz
    loud = np.sin(2 * np.pi * 3 * time_s) > 0.5
    wave = 0.2 * np.sin(2 * np.pi * 440 * time_s) * loud
    return (wave + random.normal(0, 0.05, (channels, frames)) * loud).astype(np.float32)


def lost_in(name: str, metadata: Metadata) -> tuple[str, ...]:
    return not_carried(TARGETS[name], metadata, info(), "PCM_24")


def lag(ours: np.ndarray, theirs: np.ndarray) -> int:
    size = 2 * max(ours.shape[1], theirs.shape[1])
    first, second = (np.fft.rfft(wave.sum(axis=0), size) for wave in (ours, theirs))
    peak = int(np.argmax(np.fft.irfft(first * second.conj(), size)))
    return peak if peak <= size // 2 else peak - size


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [(name, depth) for name in LOSSLESS if name != "wav" for depth in TARGETS[name].subtypes],
)
def test_lossless_files_hold_every_value(
    tmp_path: Path, name: str, subtype: str, channels: int
) -> None:
    audio = noise(channels, 5_003)
    path = store(tmp_path, spec(name, subtype, rate_hz=96_000), audio)
    read, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    info = soundfile.info(path)
    bits = BITS.get(subtype)
    expected = audio if bits is None else quantise(audio, bits) / 2.0 ** (bits - 1)
    assert (rate_hz, info.subtype, read.shape) == (96_000, subtype, (5_003, channels))
    assert np.array_equal(read.T, expected)
    if channels == 6:  # each start of ffmpeg takes a while
        assert np.array_equal(ffmpeg(path, channels), expected.astype(np.float32))


@pytest.mark.parametrize("channels", MASKS)
@pytest.mark.parametrize("name", LOSSLESS)
def test_speakers_are_those_of_the_bounce(tmp_path: Path, name: str, channels: int) -> None:
    path = store(tmp_path, spec(name, "PCM_24", channel_mask=MASKS[channels]), noise(channels, 900))
    assert ffprobe(path)["streams"][0]["channel_layout"] == {6: "5.1", 8: "7.1"}[channels]


def test_speakers_that_flac_does_not_assume_are_named(tmp_path: Path) -> None:
    quad = 0x33
    key = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK"
    stereo = store(tmp_path / "a", spec("flac", "PCM_24", channel_mask=0x3), noise(2, 900))
    assert key not in mutagen.File(stereo)
    for mask in (quad, 0x107, 0):
        path = store(tmp_path / hex(mask), spec("flac", channel_mask=mask), noise(4, 900))
        assert mutagen.File(path)[key] == [f"0x{mask:04X}"]


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1)])
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_decode_to_the_same_frames_at_the_same_place(
    tmp_path: Path, name: str, rate_hz: int, channels: int
) -> None:
    audio = music(60_017, channels, rate_hz)
    wanted = spec(name, rate_hz=rate_hz, frames=audio.shape[1], channels=channels)
    path, writer = store_and_tell(tmp_path, wanted, audio)
    decoded = ffmpeg(path, channels)
    if name == "m4a":
        # Older versions of ffmpeg play the last packet whole, whatever the edit list says.
        stream = ffprobe(path)["streams"][0]
        assert (int(stream["duration_ts"]), stream["time_base"]) == (60_017, f"1/{rate_hz}")
        assert 0 <= decoded.shape[1] - 60_017 < 1024
        decoded = decoded[:, :60_017]
    if name == "opus" and rate_hz == 44_100:
        assert decoded.shape[1] == wanted.out_frames == 65_325  # rounded up
        audio = soxr.resample(audio.T, rate_hz, 48_000).T
        decoded = decoded[:, : audio.shape[1]]
    assert decoded.shape == audio.shape
    assert lag(decoded, audio) == 0
    noise_db = 20 * np.log10(np.std(decoded - audio) / np.std(audio))
    assert noise_db < -10
    expected = {"mp3": 576, "ogg": 0, "opus": 312, "m4a": 1024}[name]
    assert writer.encoder_delay_frames == expected
    if name != "m4a":
        info = soundfile.info(path)
        assert (info.frames, info.samplerate) == (wanted.out_frames, wanted.out_rate_hz)


@given(frames=st.integers(1_200, 9_000), channels=st.integers(1, 2), block=st.integers(1, 5_000))
@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["flac", "mp3", "ogg", "opus"])
def test_any_length_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, frames: int, channels: int, block: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    audio = music(frames, channels, 48_000)
    path = store(folder, spec(name, rate_hz=48_000), audio, block_frames=max(block, 400))
    decoded, _ = soundfile.read(path, always_2d=True)
    assert decoded.shape == (frames, channels)


@given(frames=st.integers(1_200, 9_000), rate_hz=st.sampled_from([8_000, 44_100, 96_000, 192_000]))
@settings(max_examples=examples(20))
def test_opus_is_as_long_as_its_bounce(
    tmp_path_factory: pytest.TempPathFactory, frames: int, rate_hz: int
) -> None:
    wanted = spec("opus", rate_hz=rate_hz)
    path = store(tmp_path_factory.mktemp("any"), wanted, music(frames, 2, rate_hz))
    decoded, _ = soundfile.read(path, always_2d=True)
    assert len(decoded) == -(-frames * 48_000 // rate_hz)


@pytest.mark.parametrize(("name", "reach"), [("caf", 2**35), ("w64", 2**35), ("aiff", 2**31)])
def test_headers_of_long_files_state_their_length(name: str, reach: int) -> None:
    wanted = spec(name, "PCM_16", frames=reach // 4)
    form = TEMPLATES[name](wanted)
    head = form.head()
    size_bytes = len(head) + reach + len(form.tail())
    stated = {
        "caf": int.from_bytes(head[head.find(b"data") + 4 :][:8], "big") - 4,
        "w64": int.from_bytes(head[16:24], "little"),
        "aiff": int.from_bytes(head[4:8], "big") + 8,
    }[name]
    assert stated == (reach if name == "caf" else size_bytes)


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_audio_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    audio = music(9_000)
    wanted = spec(name, metadata=full_metadata())
    both = [store(tmp_path / folder, wanted, audio).read_bytes() for folder in "ab"]
    assert both[0] == both[1]


def test_ogg_files_of_one_set_have_serial_numbers_of_their_own(tmp_path: Path) -> None:
    serials = set()
    for name in ("vocals", "drums"):
        with open_writer(tmp_path / f"{name}.ogg", spec("ogg", frames=9_000)) as writer:
            writer.write_float(music(9_000))
        serials.add((tmp_path / f"{name}.ogg").read_bytes()[14:18])
    assert len(serials) == 2


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def full_metadata(**changes: Any) -> Metadata:
    """As a bounce of a DAW has it."""
    told: dict[str, Any] = {
        "tags": {"TITLE": ("Blåmärke",), "ARTIST": ("Anna", "Bo"), "SCENE": ("12a",)},
        "marks": (Mark(1_500, "Verse"), Mark(4_000, "Chorus", 2_000)),
        "tempo_bpm": 123.0,
        "time_reference": TIME_REFERENCE,
        "pictures": (Picture("image/png", PNG),),
    }
    return with_wav_chunks(Metadata(**{**told, **changes}), "A=PCM,F=44100,T=test")


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in {"wav", "w64"}])
def test_other_programs_find_title_and_time_reference(tmp_path: Path, name: str) -> None:
    path = store(tmp_path, spec(name, metadata=full_metadata()), music(9_000))
    found = ffprobe(path)
    tags = {**found["format"].get("tags", {}), **found["streams"][0].get("tags", {})}
    tags = {key.lower(): value for key, value in tags.items()}
    at = round(TIME_REFERENCE * 48_000 / 44_100) if name == "opus" else TIME_REFERENCE
    assert tags["title"] == "Blåmärke"
    assert tags["time_reference"] == str(at)
    assert tags["coding_history"] == "A=PCM,F=44100,T=test"
    assert "123" in (tags.get("bpm"), tags.get("tbpm"), tags.get("tempo"))
    if name not in {"aiff", "caf"}:
        marks = [mark for mark in found["chapters"] if mark["tags"]["title"]]
        assert [mark["tags"]["title"] for mark in marks] == ["Verse", "Chorus"]
        starts = [float(mark["start_time"]) for mark in marks]
        assert starts == pytest.approx([1_500 / RATE_HZ, 4_000 / RATE_HZ], abs=0.0006)
    if name != "caf":
        pictures = [s for s in found["streams"] if s["codec_type"] == "video"]
        assert [picture["codec_name"] for picture in pictures] == ["png"]


@pytest.mark.parametrize("name", ["aiff", "flac", "mp3", "ogg", "opus", "m4a"])
def test_mutagen_finds_the_title(tmp_path: Path, name: str) -> None:
    path = store(tmp_path, spec(name, metadata=full_metadata()), music(9_000))
    tags = mutagen.File(path, easy=True).tags
    key = "TIT2" if name == "aiff" else "title"
    (title,) = tags[key].text if name == "aiff" else tags[key]
    assert title == "Blåmärke"


@pytest.mark.parametrize("name", [name for name in LOSSLESS if name != "wav"])
def test_metadata_of_real_bounces_comes_back(tmp_path: Path, name: str) -> None:
    bounces = sorted((require.corpus() / "iluvcapra__wavinfo").rglob("*.wav"))
    seen = 0
    for number, bounce in enumerate(bounces):
        header, metadata = probe(bounce), stem_metadata(bounce, "A=PCM,T=test")
        wanted = spec(name, "PCM_24", rate_hz=header.rate_hz, metadata=metadata)
        wanted = replace(wanted, channel_mask=header.channel_mask)
        if unsupported_reason(wanted.target, header, 2_400, "PCM_24"):
            assert (name, header.channels) in {("flac", 12), ("flac", 16)}
            continue
        path = store(tmp_path / str(number), wanted, noise(header.channels, 2_400))
        read, now = stem_metadata(path, "A=PCM,T=again"), probe(path)
        assert now.channels == header.channels
        if (header.channel_mask or 0).bit_count() == header.channels:  # one for each
            assert now.channel_mask == header.channel_mask
        assert read.time_reference == metadata.time_reference
        places = [(mark.position_frames, mark.name) for mark in metadata.marks]
        assert [(mark.position_frames, mark.name) for mark in read.marks] == places
        if "iXML" not in not_carried(wanted.target, metadata, header, "PCM_24"):
            assert read.find(b"iXML") == metadata.find(b"iXML")
        seen += 1
    assert seen >= 10


@pytest.mark.parametrize("name", READ_BY_SOUNDFILE)
def test_what_a_target_holds_is_read_back_from_it(tmp_path: Path, name: str) -> None:
    given_ = full_metadata()
    path = store(tmp_path, spec(name, metadata=given_), music(9_000))
    read = stem_metadata(path, "A=PCM,T=again")
    lost = lost_in(name, given_)
    assert read.tags["TITLE"] == ("Blåmärke",)
    assert read.tags["SCENE"] == ("12a",)
    assert read.tempo_bpm == 123.0
    at = round(TIME_REFERENCE * 48_000 / 44_100) if name == "opus" else TIME_REFERENCE
    assert read.time_reference == at
    assert [p.data for p in read.pictures] == ([] if "pictures" in lost else [PNG])
    if name in LOSSLESS:
        assert [(m.position_frames, m.name) for m in read.marks] == [
            (1_500, "Verse"),
            (4_000, "Chorus"),
        ]
        kept = "lengths of regions" not in lost
        assert [m.length_frames for m in read.marks] == [0, 2_000 if kept else 0]


@given(
    title=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1),
    positions=st.lists(st.integers(0, 8_999), max_size=5, unique=True),
    reference=st.integers(1, 2**63),
)
@settings(max_examples=examples(15))
@pytest.mark.parametrize("name", LOSSLESS)
def test_any_title_marker_and_time_reference_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    title: str,
    positions: list[int],
    reference: int,
) -> None:
    marks = tuple(Mark(at, f"m{at}") for at in sorted(positions))
    told = {"tags": {"TITLE": (title.strip() or "t",)}, "marks": marks}
    metadata = full_metadata(**told, time_reference=reference)
    path = store(tmp_path_factory.mktemp("any"), spec(name, metadata=metadata), music(9_000))
    read = stem_metadata(path, "A=PCM,T=again")
    assert read.time_reference == reference
    assert read.tags["TITLE"] == metadata.tags["TITLE"]
    assert read.marks == marks


def test_flac_gives_the_chunks_of_the_wav_back(tmp_path: Path) -> None:
    metadata, audio = full_metadata(), noise(2, 9_000)
    wav = store(tmp_path, spec("wav", "PCM_16", metadata=metadata), audio)
    flac = store(tmp_path, spec("flac", "PCM_16", metadata=metadata), audio)
    program, back = require.program("flac", "flac"), tmp_path / "back.wav"
    subprocess.run([program, "-t", "-s", flac], check=True)
    subprocess.run([program, "-ds", "--keep-foreign-metadata", "-o", back, flac], check=True)
    assert back.read_bytes() == wav.read_bytes()


def test_a_flac_takes_the_cue_sheet_of_its_bounce(tmp_path: Path) -> None:
    sheet = mutagen.flac.CueSheet(None)
    sheet.lead_in_samples = 0
    sheet.compact_disc = False
    track = mutagen.flac.CueSheetTrack(1, 4_410)
    track.indexes = [mutagen.flac.CueSheetTrackIndex(1, 0)]
    sheet.tracks = [track, mutagen.flac.CueSheetTrack(255, 9_000)]
    metadata = replace(full_metadata(), cuesheet=sheet.write())
    path = store(tmp_path, spec("flac", metadata=metadata), music(9_000))
    assert mutagen.flac.FLAC(path).cuesheet.write() == sheet.write()
    assert "CUESHEET (its tracks are markers)" in lost_in("aiff", metadata)
    assert not lost_in("flac", metadata)


def test_chapters_of_an_m4a_are_markers_to_the_frame(tmp_path: Path) -> None:
    marks = (Mark(1, "first"), Mark(1_501, "a=b;#\\ö"), Mark(5_000, ""), Mark(8_999, "last"))
    path = store(tmp_path, spec("m4a", metadata=full_metadata(marks=marks)), music(9_000))
    found = [
        (round(float(chapter["start_time"]) * RATE_HZ), chapter["tags"]["title"])
        for chapter in ffprobe(path)["chapters"]
    ]
    assert found == [(0, ""), *((mark.position_frames, mark.name) for mark in marks)]


def test_the_time_reference_of_an_aiff_is_in_its_first_marker(tmp_path: Path) -> None:
    path = store(tmp_path, spec("aiff", metadata=full_metadata()), music(9_000))
    data = path.read_bytes()
    marks = data[data.index(b"MARK") :]
    assert marks[10:16] == bytes([0, 1, 0, 0, 0, 0])  # the first, at frame 0
    assert marks[17:38] == b"Timestamp: 3000000000"


def test_itunes_gapless_data_counts_the_frames(tmp_path: Path) -> None:
    path = store(tmp_path, spec("m4a"), music(10_000))
    (found,) = mutagen.File(path)["----:com.apple.iTunes:iTunSMPB"]
    delay, padding, frames = (int(word, 16) for word in found.decode().split()[1:4])
    assert (delay, frames) == (1024, 10_000)
    assert (delay + padding + frames) % 1024 == 0


@pytest.mark.parametrize("kbps", [64, 128, 192, 256, 320])
def test_mp3_has_the_bit_rate_that_was_asked_for(tmp_path: Path, kbps: int) -> None:
    path = store(tmp_path, spec("mp3", bitrate_kbps=kbps), music(60_000))
    assert mutagen.File(path).info.bitrate == pytest.approx(1000 * kbps, rel=0.001)
    assert int(ffprobe(path)["streams"][0]["bit_rate"]) == 1000 * kbps


@pytest.mark.parametrize("name", ["opus", "m4a"])
def test_more_bits_make_larger_files(tmp_path: Path, name: str) -> None:
    sizes = [
        store(tmp_path / str(kbps), spec(name, bitrate_kbps=kbps), music(60_000)).stat().st_size
        for kbps in (64, 256)
    ]
    assert sizes[0] * 2 < sizes[1]


@pytest.mark.parametrize("name", TARGETS)
def test_an_error_in_the_middle_leaves_no_file(tmp_path: Path, name: str) -> None:

    def short(writer: Writer) -> None:
        if name == "flac":
            writer.write_int(quantise(music(1_000), 24))
        else:
            writer.write_float(music(1_000))

    def broken(writer: Writer) -> None:
        short(writer)
        raise RuntimeError

    def nan(writer: Writer) -> None:
        writer.write_float(np.full((2, 1_000), np.nan, np.float32))

    subtype = TARGETS[name].subtypes[-1]
    attempts: list[tuple[Callable[[Writer], None], type[Exception]]]
    attempts = [(broken, RuntimeError), (short, PromiseBroken)]
    if name in LOSSY:
        attempts.append((nan, PromiseBroken))
    for attempt, error in attempts:
        path = tmp_path / f"x{TARGETS[name].suffix}"
        with pytest.raises(error), open_writer(path, spec(name, subtype, frames=9_000)) as writer:
            attempt(writer)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["aiff", "flac", "mp3", "ogg", "m4a"])
def test_a_full_disk_is_named_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    frames = 600_000
    subtype = "PCM_16" if name in {"aiff", "flac"} else ""
    with require.tmpfs(tmp_path / "small", 64 << 10) as place:
        wanted = spec(name, subtype, frames=frames)
        with pytest.raises(DiskFull, match="No space"):
            store_and_tell(place, wanted, noise(2, frames))
        assert not list(place.iterdir())


def info(**changes: Any) -> AudioInfo:
    plain = AudioInfo("WAV", 44_100, RATE_HZ, 2, "PCM_24", None, False, None)
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "frames", "words"),
    [
        ("mp3", {"rate_hz": 96_000}, 1_000, "MP3 does not hold 96000 Hz"),
        ("m4a", {"rate_hz": 192_000}, 1_000, "M4A (AAC) does not hold 192000 Hz"),
        ("mp3", {"channels": 6}, 1_000, "up to 2 channels, this bounce has 6: choose flac or wav"),
        ("flac", {"channels": 12}, 1_000, "up to 8 channels, this bounce has 12: choose wav"),
        ("aiff", {}, 800_000_000, "AIFF ends at 4.3 GB"),
    ],
)
def test_what_a_target_cannot_hold_is_refused_before_the_work(
    name: str, changes: dict[str, Any], frames: int, words: str
) -> None:
    assert words in (unsupported_reason(TARGETS[name], info(**changes), frames, "PCM_24") or "")


def test_what_fits_is_not_refused() -> None:
    for name, target in TARGETS.items():
        assert unsupported_reason(target, info(), 700_000_000, "PCM_24") is None, name
    assert unsupported_reason(TARGETS["opus"], info(rate_hz=96_000), 1_000, "OPUS") is None


@pytest.mark.parametrize(
    ("name", "wanted", "subtype", "expected", "noted"),
    [
        ("aiff", "same", "FLOAT", "FLOAT", False),
        ("flac", "same", "PCM_24", "PCM_24", False),
        ("flac", "same", "FLOAT", "PCM_24", True),
        ("flac", "same", "PCM_32", "PCM_24", True),
        ("caf", "same", "PCM_U8", "PCM_16", True),
        ("flac", "same", "DOUBLE", "PCM_24", True),
        ("flac", "PCM_16", "FLOAT", "PCM_16", False),
        ("mp3", "same", "FLOAT", "MPEG_LAYER_III", False),
    ],
)
def test_the_nearest_depth_that_a_target_holds(
    name: str, wanted: Any, subtype: str, expected: str, noted: bool
) -> None:
    depth, note = TARGETS[name].depth(wanted, info(subtype=subtype))
    assert depth == expected
    assert (note is not None) is noted
    assert not note or subtype in note


def test_the_same_as_a_lossless_bounce() -> None:
    found = {kind: target_for("same", kind).name for kind in ("AIFF", "CAF", "FLAC", "W64")}
    assert found == {"AIFF": "aiff", "CAF": "caf", "FLAC": "flac", "W64": "w64"}
    for kind in ("WAV", "RF64", "RIFX", "AU", "MP3", "OGG"):
        assert target_for("same", kind).name == "wav"


def test_mp3_chapters_are_in_the_tag(tmp_path: Path) -> None:
    path = store(tmp_path, spec("mp3", metadata=full_metadata()), music(9_000))
    tag = ID3(path)
    ends = [frame.end_time for frame in sorted(tag.getall("CHAP"), key=lambda f: f.start_time)]
    assert ends == [round(4_000_000 / RATE_HZ), round(6_000_000 / RATE_HZ)]
    assert tag["TPE1"].text == ["Anna", "Bo"]
