"""Where the sound lies: against libsndfile bit for bit, and each container's own oddities."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.audio.chunks import parse_layout
from bridge.audio.decode import Decoder, survey
from bridge.audio.extents.coded import sound_length
from bridge.audio.extents.locate import LOCATED, locate
from bridge.audio.leniency import Leniency
from bridge.audio.probe import probe
from bridge.errors import BounceChanged, NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce
from tests.audio_files import chunk, decoded, fmt, noise, pcm16, riff, wav, write
from tests.metadata_files import caf_chunk
from tests.sound_files import FORMS, Variant, aiff, au, caf, nist, values, voc

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.errors import BounceError

SUBTYPES = [
    (container, subtype)
    for container, subtypes in {
        "WAV": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "WAVEX": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "RF64": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "W64": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "AIFF": "PCM_S8 PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "CAF": "PCM_S8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "AU": "PCM_S8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW",
        "NIST": "PCM_S8 PCM_16 PCM_24 PCM_32 ULAW ALAW",
        "VOC": "PCM_U8 PCM_16 ULAW ALAW",
    }.items()
    for subtype in subtypes.split()
]


@pytest.mark.parametrize(("container", "subtype"), SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_values_are_those_of_libsndfile(
    tmp_path: Path, container: str, subtype: str, channels: int
) -> None:
    """Where libsndfile reads a container by itself, our way to its bytes gives the same bits."""
    path, audio = tmp_path / "bounce", noise(channels, 2002)
    orders = [o for o in ("LITTLE", "BIG") if soundfile.check_format(container, subtype, o)]
    for endian in orders or ["FILE"]:
        try:
            soundfile.write(path, audio.T, 44_100, subtype, endian=endian, format=container)
        except soundfile.LibsndfileError:
            assert (container, channels) == ("VOC", 5)  # it writes no more than two
            continue
        expected, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        info = probe(path)
        assert (info.rate_hz, info.channels, info.subtype) == (rate_hz, channels, subtype)
        assert np.array_equal(decoded(path), expected.T)
        assert info.warnings == ()
        assert info.container in LOCATED


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16"])
def test_the_voice_of_an_amiga(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "voice"
    soundfile.write(path, noise(1, 2002).T, 22_050, subtype, format="SVX")
    expected, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(decoded(path)[0], expected)


def test_a_stereo_voice_is_refused(tmp_path: Path) -> None:
    """Its channels lie one behind the other; libsndfile takes them for interleaved."""
    vhdr = struct.pack(">IIIHBBI", 4000, 0, 0, 44_100, 1, 0, 1 << 16)
    body = b"8SVX" + chunk(b"VHDR", vhdr, order=">") + chunk(b"CHAN", b"\0\0\0\6", order=">")
    body += chunk(b"BODY", bytes(8000), order=">")
    with pytest.raises(UnsupportedBounce, match="an 8SVX file, stereo"):
        probe(write(tmp_path, b"FORM" + struct.pack(">I", len(body)) + body))


# Sizes that stand for "not known", and files longer than they


def test_a_pipe_of_more_than_its_placeholder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sox wrote 0x7FFFF000 for a length that it did not know; the file has more. Sparse."""
    monkeypatch.setattr("bridge.audio.riff_sizes.find_file", lambda _file, _name, _start, end: end)
    head = riff(fmt(), chunk(b"data", b"", size=0x7FFFF000), size=0x7FFFF024)
    path = write(tmp_path, head)
    with path.open("r+b") as file:
        file.truncate(len(head) + 4 * 1_000_000_000)
    assert probe(path).frames == 1_000_000_000


def test_a_true_size_that_looks_like_a_placeholder(tmp_path: Path) -> None:
    head = riff(fmt(), chunk(b"data", b"", size=0x7FFFF000))
    path = write(tmp_path, head)
    with path.open("r+b") as file:
        file.truncate(len(head) + 0x7FFFF000)
        file.seek(0, 2)
        file.write(chunk(b"iXML", b"<a/>"))
    info = probe(path)
    assert (info.frames, info.warnings) == (0x7FFFF000 // 4, ())


@pytest.mark.parametrize("size", [0x7FFFE000, 0x70000000, 0xFFFFFF00, 0x7F000008])
def test_any_other_size_is_a_claim(tmp_path: Path, size: int) -> None:
    with pytest.raises(TruncatedBounce, match="cut off"):
        probe(write(tmp_path, riff(fmt(), chunk(b"data", pcm16(4800), size=size), size=size + 36)))


def test_a_placeholder_of_whole_frames(tmp_path: Path) -> None:
    """sox rounds it down to a frame: 6 bytes do not go into 0x7FFFF000."""
    data = chunk(b"data", bytes(range(1, 61)) * 400, size=0x7FFFF000 - 4)
    path = write(tmp_path, riff(fmt(bits=24), data, size=0x7FFFF000 + 32))
    assert probe(path).frames == 4000


def test_a_placeholder_of_the_whole_file(tmp_path: Path) -> None:
    """The RIFF has the placeholder, and the data as much of it as is left behind the header."""
    data = chunk(b"data", pcm16(4800), size=0xFFFFFFFF - 36)
    assert probe(write(tmp_path, riff(fmt(), data, size=0xFFFFFFFF))).frames == 4800


def test_an_unfinished_header_is_no_placeholder(tmp_path: Path) -> None:
    """A DAW may still be writing: size 0 means that nothing is known to be finished."""
    form = FORMS[0]
    wave = values(2000, 2, form)
    unfinished = {
        "WAV": riff(fmt(), chunk(b"data", pcm16(2000), size=0), size=36),
        "AIFF": aiff(wave, form, Variant(size=8))[:4]
        + bytes(4)
        + aiff(wave, form, Variant(size=8))[8:],
        "AU": au(wave, form, Variant(size=0)),
    }
    for data in unfinished.values():
        with pytest.raises(TruncatedBounce, match="no audio yet"):
            probe(write(tmp_path, data))


# Blocks and tables


def adpcm(path: Path, frames: int, subtype: str, channels: int, stated: int | None) -> Path:
    """A WAV in blocks, its fact chunk changed; None leaves it as libsndfile writes it."""
    out = io.BytesIO()
    soundfile.write(out, noise(channels, frames).T, 8_000, subtype, format="WAV")
    data = bytearray(out.getvalue())
    at = data.index(b"fact") + 8
    if stated is not None:
        data[at : at + 4] = struct.pack("<I", stated)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("subtype", "channels", "decoder_frames"),
    [
        ("IMA_ADPCM", 1, 9090),
        ("MS_ADPCM", 2, 9500),
        ("GSM610", 1, 9280),
        ("G721_32", 1, 9120),
        ("NMS_ADPCM_16", 1, 9120),
    ],
)
def test_the_fact_chunk_ends_the_last_block(
    tmp_path: Path, subtype: str, channels: int, decoder_frames: int
) -> None:
    path = adpcm(tmp_path / "bounce", 9001, subtype, channels, 9001)
    theirs, _ = (
        soundfile.read(path, dtype="float32", always_2d=True)
        if subtype
        in {
            "IMA_ADPCM",
            "MS_ADPCM",
        }
        else (None, 0)
    )
    got = decoded(path, block_frames=700)
    assert got.shape == (channels, 9001)
    assert probe(path).warnings == ()
    if theirs is not None:
        assert np.array_equal(got, theirs[:9001].T)
    # A false one is not believed, and what it promises beyond the blocks is reported.
    for stated, warned in ((0, False), (4545, False), (decoder_frames + 700, True)):
        info = probe(adpcm(tmp_path / "bounce", 9001, subtype, channels, stated))
        assert info.frames == decoder_frames
        assert bool(info.warnings) is warned


def test_a_count_of_values_is_a_known_mistake(tmp_path: Path) -> None:
    info = probe(adpcm(tmp_path / "bounce", 9001, "MS_ADPCM", 2, 18_002))
    assert (info.frames, info.warnings) == (9500, ())


def test_an_incomplete_last_block_is_reported(tmp_path: Path) -> None:
    path = adpcm(tmp_path / "bounce", 9001, "IMA_ADPCM", 1, 9001)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    size = struct.unpack("<I", data[at : at + 4])[0] - 100
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data[: at + 4 + size])
    info = probe(path)
    assert 8700 < (info.frames or 0) < 9001
    (warning,) = info.warnings
    assert "the last block of its IMA ADPCM is not whole" in warning
    assert f"{9001 - (info.frames or 0)} frames are missing" in warning


def alac(path: Path) -> bytearray:
    soundfile.write(path, noise(2, 20_000).T, 44_100, "ALAC_16", format="CAF")
    return bytearray(path.read_bytes())


def test_the_packet_table_of_a_caf(tmp_path: Path) -> None:
    path = tmp_path / "bounce.caf"
    data = alac(path)
    info = probe(path)
    assert (info.frames, info.warnings) == (20_000, ())
    at = data.index(b"pakt") + 12
    packets, frames, priming, remainder = struct.unpack(">qqii", data[at : at + 24])
    assert packets * 4096 - priming - remainder == frames == 20_000
    with path.open("rb") as file:
        sound = locate(file, "CAF")
    assert (sound.counted_frames, sound.stated_frames) == (20_000, 20_000)
    with pytest.raises(UnsupportedBounce, match="hold 20,000 frames, the decoder announces 9,000"):
        sound_length(sound, 9_000)
    data[at + 8 : at + 16] = struct.pack(">q", 9_000)  # a header that knows of two packets only
    path.write_bytes(data)
    assert probe(path).frames == 20_000


@pytest.mark.parametrize(("at", "value"), [(0, -(1 << 63)), (16, -1), (20, 1 << 30)])
def test_a_damaged_packet_table_counts_nothing(tmp_path: Path, at: int, value: int) -> None:
    path = tmp_path / "bounce.caf"
    data = alac(path)
    at += data.index(b"pakt") + 12
    size = 8 if at == data.index(b"pakt") + 12 else 4
    data[at : at + size] = value.to_bytes(size, "big", signed=True)
    path.write_bytes(data)
    with path.open("rb") as file:
        assert locate(file, "CAF").counted_frames is None


def test_sound_that_no_packet_accounts_for(tmp_path: Path) -> None:
    path = tmp_path / "bounce.caf"
    data = alac(path)
    at = data.index(b"data") + 4
    size = struct.unpack(">q", data[at : at + 8])[0]
    data[at : at + 8] = struct.pack(">q", size + 5000)
    path.write_bytes(data[: at + 8 + size] + bytes(5000) + data[at + 8 + size :])
    assert "packet table accounts for" in probe(path).warnings[0]


# Headers that lead nowhere


def comm(channels: int = 2, frames: int = 2000, bits: int = 16, tail: bytes = b"") -> bytes:
    rate = b"\x40\x0e\xbb\x80" + bytes(6)  # 48,000 as an 80-bit float
    return chunk(b"COMM", struct.pack(">HIH", channels, frames, bits) + rate + tail, order=">")


def form(kind: bytes, *chunks: bytes) -> bytes:
    body = kind + b"".join(chunks)
    return b"FORM" + struct.pack(">I", len(body)) + body


SOUND = chunk(b"SSND", bytes(8) + pcm16(2000, order=">"), order=">")
DESC = caf_chunk(b"desc", struct.pack(">d4s5I", 48_000.0, b"lpcm", 0, 4, 1, 2, 16))
CAF = b"caff\0\1\0\0"

BAD: dict[str, tuple[bytes, type[BounceError], str]] = {
    "AIFF without COMM": (form(b"AIFF", SOUND), NotAudio, "without COMM chunk"),
    "AIFF without SSND": (form(b"AIFF", comm()), NoFrames, "no SSND chunk"),
    "AIFF cut at SSND": (form(b"AIFF", comm(), SOUND)[:44], TruncatedBounce, "before its audio"),
    "AIFF of MACE": (
        form(b"AIFC", comm(tail=b"MAC3\0\0"), SOUND),
        UnsupportedBounce,
        "an AIFF file with MACE 3:1 in it",
    ),
    "AIFF of nothing known": (
        form(b"AIFC", comm(tail=b"zzzz\0\0"), SOUND),
        UnsupportedBounce,
        "with compression zzzz in it",
    ),
    "AIFF of no rate": (
        form(b"AIFF", comm().replace(b"\x40\x0e\xbb\x80", bytes(4)), SOUND),
        UnsupportedBounce,
        "a rate of 0 Hz",
    ),
    "CAF without desc": (CAF + caf_chunk(b"data", bytes(9000)), NotAudio, "without desc"),
    "CAF without data": (CAF + DESC + caf_chunk(b"free", b"") + b"\1\2", NoFrames, "no data"),
    "CAF cut at data": (CAF + DESC, TruncatedBounce, "before its audio"),
    "CAF of 24 in 4": (
        CAF
        + caf_chunk(b"desc", struct.pack(">d4s5I", 48_000.0, b"lpcm", 0, 8, 1, 2, 24))
        + caf_chunk(b"data", bytes(9004)),
        UnsupportedBounce,
        "can be read in two ways",
    ),
    "CAF of AAC": (
        CAF
        + caf_chunk(b"desc", struct.pack(">d4s5I", 48_000.0, b"aac ", 0, 0, 1024, 2, 0))
        + caf_chunk(b"data", bytes(9004)),
        UnsupportedBounce,
        "a CAF file with AAC in it",
    ),
    "AU of no header": (b".snd" + bytes(8), NotAudio, "header is cut off"),
    "AU of G.722": (
        b".snd" + struct.pack(">5I", 24, 4000, 24, 16_000, 1) + bytes(4000),
        UnsupportedBounce,
        "an AU file with G.722 in it",
    ),
    "VOC of nothing": (
        b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F) + b"\0",
        NoFrames,
        "a VOC without audio",
    ),
    "VOC of ADPCM": (
        b"Creative Voice File\x1a"
        + struct.pack("<HHH", 26, 0x114, 0x111F)
        + b"\1"
        + (4002).to_bytes(3, "little")
        + bytes([131, 1])
        + bytes(4000)
        + b"\0",
        UnsupportedBounce,
        "a VOC file with Creative ADPCM in it",
    ),
    "NIST of Shorten": (
        nist(values(2000, 1, FORMS[0]), FORMS[0], Variant()).replace(
            b"sample_coding -s3 pcm\n", b"sample_coding -s26 pcm,embedded-shorten-v2.00\n"
        ),
        UnsupportedBounce,
        "with pcm,embedded-shorten",
    ),
    "NIST cut in its header": (
        nist(values(2000, 1, FORMS[0]), FORMS[0], Variant(size=0))[:600],
        NoFrames,
        "without audio",
    ),
    "NIST of no size": (b"NIST_1A\n   what\n" + bytes(9000), NotAudio, "header is cut off"),
}


@pytest.mark.parametrize(("data", "error", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_not_read_says_why(
    tmp_path: Path, data: bytes, error: type[BounceError], words: str
) -> None:
    with pytest.raises(error) as raised:
        probe(write(tmp_path, data))
    assert type(raised.value) is error
    assert words in str(raised.value)


# Pieces


def test_a_piece_that_ends_within_a_frame(tmp_path: Path) -> None:
    data = riff(fmt(), chunk(b"data", pcm16(2000) + b"\1\2"), chunk(b"data", pcm16(2000)))
    with pytest.raises(UnsupportedBounce, match="ends within a frame"):
        probe(write(tmp_path, data))


def test_sound_behind_the_end_that_the_header_claims(tmp_path: Path) -> None:
    first, second = pcm16(2000, seed=1), pcm16(1500, seed=2)
    whole = riff(fmt(), chunk(b"data", first)) + chunk(b"data", second)
    path = write(tmp_path, whole)
    info = probe(path)
    assert info.frames == 3500
    assert info.warnings == ("its sound is in 2 chunks, which are read one after the other",)
    expected = np.frombuffer(first + second, "<i2").reshape(-1, 2).T / np.float32(2**15)
    assert np.array_equal(decoded(path), expected)


def test_chunks_whose_pad_byte_was_forgotten(tmp_path: Path) -> None:
    """Also in front of ids that are no common ones."""
    odd = bytes(range(1, 202)) * 11
    data = riff(fmt(bits=8, channels=1), chunk(b"data", odd)[:-1], chunk(b"umid", b"12"))
    path = write(tmp_path, data)
    assert (probe(path).frames, probe(path).warnings) == (len(odd), ())
    with path.open("rb") as file:
        assert [ref.id for ref in parse_layout(file).chunks] == [b"fmt ", b"data", b"umid"]


def test_a_last_frame_that_is_not_whole(tmp_path: Path) -> None:
    cut = probe(write(tmp_path, riff(fmt(), chunk(b"data", pcm16(2000) + b"\1\2\3"))))
    assert cut.warnings == ("its last frame has 3 of 4 bytes and is left out",)
    padded = probe(write(tmp_path, riff(fmt(), chunk(b"data", pcm16(2000) + bytes(3)))))
    assert padded.warnings == ()


def test_a_voice_file_in_blocks_with_silence_between(tmp_path: Path) -> None:
    """ffmpeg writes a block for every packet; libsndfile takes their headers for sound."""
    wave = values(3000, 2, FORMS[0])
    data = voc(wave, FORMS[0], Variant(cuts=(1000, 2000)))
    path = write(tmp_path, data)
    assert np.array_equal(decoded(path), wave)
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F)
    tone = bytes(range(2, 252)) * 8
    rate = 256 - 1_000_000 // 20_000  # one byte for the rate
    body = b"\1" + (len(tone) + 2).to_bytes(3, "little") + bytes([rate, 0]) + tone
    body += (
        b"\3\3\0\0"
        + struct.pack("<HB", 499, rate)
        + b"\2"
        + (250).to_bytes(3, "little")
        + tone[:250]
    )
    got = decoded(write(tmp_path, head + body + b"\0"))[0]
    assert len(got) == 2000 + 500 + 250
    assert np.all(got[2000:2500] == got[1999])
    assert np.array_equal(got[2500:], got[:250])


def test_a_voice_file_that_changes_its_rate(tmp_path: Path) -> None:
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F)
    blocks = [
        b"\1" + (3002).to_bytes(3, "little") + bytes([rate, 0]) + bytes(range(250)) * 12
        for rate in (200, 210)
    ]
    with pytest.raises(UnsupportedBounce, match="changes its format"):
        probe(write(tmp_path, head + b"".join(blocks) + b"\0"))


def test_a_file_that_changes_between_probe_and_decoding(tmp_path: Path) -> None:
    wave = values(3000, 2, FORMS[0])
    for build in (aiff, caf, au):
        path = write(tmp_path, build(wave, FORMS[0], Variant()))
        decoder = Decoder(path, probe(path))
        path.write_bytes(build(wave[:, :-1], FORMS[0], Variant()))
        with pytest.raises(BounceChanged):
            list(decoder)


def test_what_the_common_chunk_says_beyond_the_sound(tmp_path: Path) -> None:
    path = write(tmp_path, form(b"AIFF", comm(frames=5000), SOUND))
    info = probe(path)
    assert info.frames == 2000
    assert info.warnings == ("its COMM chunk says 5,000 frames, and its sound has 2,000",)


def test_the_offset_of_a_sound_chunk(tmp_path: Path) -> None:
    """The sound begins where the chunk says, which is how blocks are aligned."""
    data = chunk(
        b"SSND", struct.pack(">II", 40, 64) + bytes(40) + pcm16(2000, order=">"), order=">"
    )
    path = write(tmp_path, form(b"AIFF", comm(), data))
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert np.array_equal(decoded(path), expected.T)


# MP3 in a WAV


def mp3_in_wav(path: Path, frames: int = 30_000) -> bytes:
    soundfile.write(path, noise(2, frames).T * 0.1, 44_100, format="MP3", subtype="MPEG_LAYER_III")
    return path.read_bytes()


def test_an_mp3_in_a_wav_is_read_as_an_mp3_is(tmp_path: Path) -> None:
    path = tmp_path / "bounce"
    mp3 = mp3_in_wav(path)
    alone = decoded(path)
    head = fmt(44_100, 2, 0, tag=0x55, block_bytes=1152)
    path.write_bytes(riff(head, chunk(b"fact", struct.pack("<I", 30_000)), chunk(b"data", mp3)))
    info = probe(path)
    assert (info.container, info.subtype, info.warnings) == ("WAV", "MPEG_LAYER_III", ())
    assert np.array_equal(decoded(path), alone)
    # Its fact chunk may be wrong, and is no reason to drop anything.
    path.write_bytes(riff(head, chunk(b"fact", struct.pack("<I", 90_000)), chunk(b"data", mp3)))
    assert "fact chunk says 90,000" in probe(path).warnings[0]
    assert np.array_equal(decoded(path), alone)


def test_a_cut_mp3_in_a_wav(tmp_path: Path) -> None:
    path = tmp_path / "bounce"
    mp3 = mp3_in_wav(path)
    data = riff(fmt(44_100, 2, 0, tag=0x55), chunk(b"data", mp3))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedBounce):
        probe(path)
    lenient = Leniency(accept_truncated=True)
    decoder = Decoder(path, probe(path, lenient), leniency=lenient)
    found = survey(decoder)
    assert found.truncated
    assert 10_000 < found.frames < 20_000


def test_every_located_container_can_be_located(tmp_path: Path) -> None:
    path = write(tmp_path, wav())
    with path.open("rb") as file:
        sound = locate(file, "WAV")
    assert (sound.claimed_bytes, sound.frames, sound.end) == (19_200, 4800, path.stat().st_size)
