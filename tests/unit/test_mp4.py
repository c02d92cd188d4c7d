"""MP4 files without an outside program: written, decoded by PyAV and walked box by box."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mutagen
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.metadata.model import Mark, Metadata
from bridge.audio.mp4_input import decode_stream, list_streams
from bridge.audio.mp4_output import EncodingFailed, Mp4Output, StreamEncoding
from bridge.audio.probe import AudioInfo
from bridge.audio.targets import mpeg4
from bridge.audio.targets.registry import TARGETS
from bridge.audio.targets.spec import Spec
from bridge.audio.targets.writers import not_carried, open_writer
from bridge.errors import BounceError, DiskFull, FileTooLarge, OutputError, PromiseBroken
from tests.bounces import music
from tests.hypothesis_profiles import examples
from tests.limits import largest_file
from tests.m4a_files import m4a
from tests.mp4_boxes import boxes, of

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 44_100
PACKET_FRAMES = 1024
ALAC_16, ALAC_24 = StreamEncoding("alac", "s16p"), StreamEncoding("alac", "s32p")
STEREO: dict[str, Any] = {"container": "mp4", "rate_hz": RATE_HZ, "channels": 2}


def alac(
    path: Path, values: NDArray[np.int32], coding: StreamEncoding, *, block_frames: int
) -> Path:
    """Five streams, of which each has another sign or order."""
    with Mp4Output(path, [coding] * 5, **STEREO) as output:
        for first in range(0, values.shape[1], block_frames):
            for number, stream in enumerate(five(values)):
                output.write(number, stream[:, first : first + block_frames])
    return path


def five(values: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    return [values, values[::-1], values // 2, values[::-1] // 2, np.zeros_like(values)]


def noise(frames: int, bits: int) -> NDArray[np.int32]:
    """From the least to the greatest value."""
    top = 2 ** (bits - 1)
    values = np.random.default_rng(frames).integers(-top, top, (2, frames)).astype(np.int32)
    values[:, :2] = (-top, top - 1)[: values[:, :2].shape[1]]
    return values


@pytest.mark.parametrize("frames", [1, 2, 4_095, 4_096, 4_097, 20_001])
@pytest.mark.parametrize(("coding", "bits"), [(ALAC_16, 16), (ALAC_24, 24)])
def test_alac_holds_every_value(
    tmp_path: Path, coding: StreamEncoding, bits: int, frames: int
) -> None:
    values = noise(frames, bits)
    path = alac(
        tmp_path / "x.mp4",
        values << (24 - bits + 8 if bits == 24 else 0),
        coding,
        block_frames=5_000,
    )
    streams = list_streams(path)
    assert [(stream.codec, stream.channels, stream.frames) for stream in streams] == [
        ("alac", 2, frames)
    ] * 5
    for number, wanted in enumerate(five(values)):
        audio = np.concatenate([*decode_stream(path, number)], axis=1)
        back = np.rint(audio.astype(np.float64) * 2 ** (bits - 1)).astype(np.int32)
        assert np.array_equal(back, wanted)


def test_the_first_of_five_streams_plays_by_itself(tmp_path: Path) -> None:
    found = boxes(alac(tmp_path / "x.mp4", noise(9_001, 16), ALAC_16, block_frames=9_001))
    headers = of(found, "moov", "trak", "tkhd")
    enabled = [header.word(0) & 1 for header in headers]  # section 8.3.2
    assert enabled == [1, 0, 0, 0, 0]
    assert [header.word(20) for header in headers] == [9_001] * 5
    (movie,) = of(found, "moov", "mvhd")
    assert (movie.word(4), movie.word(8)) == (0, 0)  # no time of creation or change
    assert (movie.word(12), movie.word(16)) == (RATE_HZ, 9_001)
    for media in of(found, "moov", "trak", "mdia", "mdhd"):
        assert (media.word(12), media.word(16)) == (RATE_HZ, 9_001)


@given(frames=st.integers(1, 5_000), channels=st.integers(1, 2), block=st.integers(300, 5_000))
@settings(max_examples=examples(25))
def test_an_m4a_states_its_frames_and_decodes_to_them(
    tmp_path_factory: pytest.TempPathFactory, frames: int, channels: int, block: int
) -> None:
    audio = music(frames, RATE_HZ, channels)
    path = m4a(tmp_path_factory.mktemp("any") / "x.m4a", audio, block_frames=block)
    found = boxes(path)
    (movie,) = of(found, "moov", "mvhd")
    (edits,) = of(found, "moov", "trak", "edts", "elst")
    assert (movie.word(12), movie.word(16)) == (RATE_HZ, frames)
    assert (edits.word(4), edits.word(8), edits.word(12)) == (1, frames, PACKET_FRAMES)
    (gapless,) = mutagen.File(path)["----:com.apple.iTunes:iTunSMPB"]
    delay, padding, length = (int(word, 16) for word in gapless.decode().split()[1:4])
    assert (delay, length, (delay + padding + length) % PACKET_FRAMES) == (1024, frames, 0)
    (stream,) = list_streams(path)
    assert (stream.codec, stream.rate_hz, stream.channels) == ("aac", RATE_HZ, channels)
    assert stream.frames == frames
    whole = sum(block.shape[1] for block in decode_stream(path))
    assert whole - frames == -frames % PACKET_FRAMES  # the last packet, played to its end
    assert sum(block.shape[1] for block in decode_stream(path, frames=frames)) == frames


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (44_100, 2), (96_000, 2)])
def test_an_m4a_sounds_like_what_went_in_at_the_same_place(
    tmp_path: Path, rate_hz: int, channels: int
) -> None:
    audio = music(30_017, rate_hz, channels)
    path = m4a(tmp_path / "x.m4a", audio, rate_hz=rate_hz)
    back = np.concatenate([*decode_stream(path, frames=30_017)], axis=1)
    assert back.shape == audio.shape
    inside = audio[:, 1:-1]
    shifts = [np.std(back[:, 1 + at : at - 1 or None] - inside) for at in (-1, 0, 1)]
    assert shifts.index(min(shifts)) == 1
    assert 20 * np.log10(shifts[1] / np.std(audio)) < -15


@pytest.mark.parametrize("block_frames", [1_000, 1_024, 7_777])
def test_blocks_of_any_size_give_the_same_bytes(tmp_path: Path, block_frames: int) -> None:
    audio, values = music(20_001), noise(20_001, 24) << 8
    once = m4a(tmp_path / "a.m4a", audio, block_frames=20_001).read_bytes()
    assert m4a(tmp_path / "b.m4a", audio, block_frames=block_frames).read_bytes() == once
    once = alac(tmp_path / "a.mp4", values, ALAC_24, block_frames=20_001).read_bytes()
    again = alac(tmp_path / "b.mp4", values, ALAC_24, block_frames=block_frames)
    assert again.read_bytes() == once


def test_no_version_of_a_library_is_in_the_bytes(tmp_path: Path) -> None:
    data = m4a(tmp_path / "x.m4a", music(9_000)).read_bytes()
    assert b"Lavf" not in data
    assert b"Lavc" not in data


def test_chapters_begin_and_end_to_the_frame(tmp_path: Path) -> None:
    import av

    marks = (Mark(1, "first"), Mark(1_501, "a=b;#\\ö"), Mark(5_000, "", 100), Mark(8_999, "\ud800"))
    path = m4a(tmp_path / "x.m4a", music(9_000), metadata=Metadata(marks=marks))
    with av.open(str(path)) as container:
        found = [
            (
                chapter["start"] * chapter["time_base"] * RATE_HZ,
                chapter["end"] * chapter["time_base"] * RATE_HZ,
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]
    assert found == [
        (0, 1, ""),
        (1, 1_501, "first"),
        (1_501, 5_000, "a=b;#\\ö"),
        (5_000, 5_100, ""),
        (5_100, 8_999, ""),
        (8_999, 9_000, "?"),
    ]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_file_that_does_not_fit_is_never_short_in_silence(tmp_path: Path, share: float) -> None:
    audio, values = music(60_000), noise(60_000, 16)
    whole = m4a(tmp_path / "a.m4a", audio)
    room = int(whole.stat().st_size * share)
    with pytest.raises(FileTooLarge, match="File too large"), largest_file(room):
        m4a(tmp_path / "b.m4a", audio)
    whole_alac = alac(tmp_path / "a.mp4", values, ALAC_16, block_frames=5_000)
    room = int(whole_alac.stat().st_size * share)
    with pytest.raises(FileTooLarge, match="File too large"), largest_file(room):
        alac(tmp_path / "b.mp4", values, ALAC_16, block_frames=5_000)
    assert {*tmp_path.iterdir()} == {whole, whole_alac}


class Failing(type(Path())):  # type: ignore[misc]
    """A path whose file takes some bytes, then raises."""

    error: BaseException
    takes: int

    def open(self, *arguments: Any, **options: Any) -> Any:
        file = super().open(*arguments, **options)
        path = self

        class File(io.BufferedIOBase):
            def write(self, data: Any) -> int:
                if file.tell() + len(data) > path.takes:
                    raise path.error
                return int(file.write(data))

            def seek(self, offset: int, whence: int = 0) -> int:
                return int(file.seek(offset, whence))

            def tell(self) -> int:
                return int(file.tell())

            def close(self) -> None:
                file.close()

        return File()


@pytest.mark.parametrize("takes", [0, 100, 100_000])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, os.strerror(28)), DiskFull),
        (OSError(5, os.strerror(5)), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_the_system_refuses_in_the_middle_is_raised(
    tmp_path: Path, takes: int, error: BaseException, expected: type[BaseException]
) -> None:
    Failing.error, Failing.takes = error, takes
    with pytest.raises(expected):
        alac(Failing(tmp_path / "x.mp4"), noise(60_000, 16), ALAC_16, block_frames=5_000)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        m4a(path, music(9_000))
    assert path.read_bytes() == b"mine"
    with pytest.raises(OutputError, match="the folder is gone"):
        m4a(tmp_path / "gone" / "x.m4a", music(9_000))


def test_what_the_encoder_refuses_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EncodingFailed), Mp4Output(tmp_path / "x", [ALAC_16], **STEREO) as output:
        output.write(0, np.zeros((3, 100), np.int16))
    with pytest.raises(EncodingFailed):
        Mp4Output(tmp_path / "x", [StreamEncoding("aac", "fltp")], **{**STEREO, "rate_hz": 7})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 100), (3, 100), (2, 9_001)])
def test_a_block_that_does_not_fit_is_a_defect(tmp_path: Path, shape: tuple[int, int]) -> None:
    wanted = m4a_spec(9_000)
    with (
        pytest.raises(PromiseBroken, match="does not fit"),
        open_writer(tmp_path / "x.m4a", wanted) as writer,
    ):
        writer.write_float(np.zeros(shape, np.float32))
    assert not list(tmp_path.iterdir())


def m4a_spec(frames: int) -> Spec:
    return Spec(TARGETS["m4a"], RATE_HZ, 2, frames, "AAC", None, False, Metadata())


def test_a_file_that_decodes_to_other_frames_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder loses a block; what was encoded and what the file states are compared."""
    write = Mp4Output.write

    def lossy(self: Mp4Output, stream: int, block: NDArray[np.generic]) -> None:
        write(self, stream, block[:, :-1])

    monkeypatch.setattr(mpeg4.Mp4Output, "write", lossy)
    with pytest.raises(PromiseBroken, match="8,998 frames decode, 9,000 were encoded"):
        m4a(tmp_path / "x.m4a", music(9_000))
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    block = noise(RATE_HZ, 24) << 8
    process = psutil.Process()
    with Mp4Output(tmp_path / "x.mp4", [ALAC_24] * 5, **STEREO) as output:
        sizes = []
        for _ in range(60):
            for number in range(5):
                output.write(number, block)
            sizes.append(process.memory_info().rss)
    written_bytes = (tmp_path / "x.mp4").stat().st_size
    assert written_bytes > 75e6
    assert max(sizes[20:]) - sizes[19] < 10e6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be"),
        (b"RIFF" + bytes(100), "cannot be decoded"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n", "cannot be decoded"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "cannot be decoded"),
    ],
)
def test_what_is_no_mp4_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.stem.mp4"
    path.write_bytes(content)
    with pytest.raises(BounceError, match=words) as raised:
        list_streams(path)
    assert str(path) in str(raised.value)
    with pytest.raises(BounceError, match="No such file"):
        list_streams(tmp_path / "gone.mp4")


def test_a_damaged_or_unknown_stream_is_refused(tmp_path: Path) -> None:
    path = alac(tmp_path / "x.mp4", noise(60_000, 24) << 8, ALAC_24, block_frames=5_000)
    data = path.read_bytes()
    moov = data.rindex(b"moov")
    path.write_bytes(data[:moov] + data[moov:].replace(b"alac", b"zzzz"))
    with pytest.raises(BounceError, match="coding of stream 0 is not known"):
        list_streams(path)
    path.write_bytes(data[:1_000] + bytes(200_000) + data[201_000:])
    with pytest.raises(BounceError, match="cannot be decoded"):
        list(decode_stream(path))


def test_a_region_in_which_a_marker_lies_loses_its_end() -> None:
    info = AudioInfo("WAV", 9_000, RATE_HZ, 2, "PCM_24", None, False, None)
    apart = Metadata(marks=(Mark(0, "a", 2_000), Mark(2_000, "b", 100), Mark(3_000, "c")))
    nested = Metadata(marks=(Mark(0, "a", 2_001), Mark(2_000, "b")))
    assert not_carried(TARGETS["m4a"], apart, info, "AAC") == ()
    lost = ("lengths of regions in which others begin",)
    assert not_carried(TARGETS["m4a"], nested, info, "AAC") == lost
