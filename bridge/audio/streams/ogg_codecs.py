"""Codecs in Ogg: their headers, and the number of frames in each packet.

Sources: Xiph.Org "Vorbis I specification" sections 4 and A, RFC 7845 (Opus in Ogg) and 6716 section
3.1, RFC 9639 section 10.1 (FLAC in Ogg), "The Speex Codec Manual" (header packet).
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from bridge.audio import flac
from bridge.errors import NotAudio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_OPUS_HZ = 48_000
_OPUS_MS = ((10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20))  # SILK, hybrid, CELT


class Codec(Protocol):
    """Codec of one logical stream, created from its first packet.

    decoder, options: of ffmpeg. skip_frames: frames of the first packets in front of the audio.
    starts_early: frames at positions below 0 are not audio.
    """

    @property
    def decoder(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...
    @property
    def subtype(self) -> str: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def skip_frames(self) -> int: ...
    @property
    def starts_early(self) -> bool: ...

    def is_header(self, packet: bytes, number: int) -> bool:
        """Return whether the packet of this number (from 0) holds no audio."""

    def extradata(self, headers: Sequence[bytes]) -> bytes:
        """Return the decoder's configuration from the headers. Raises NotAudio for damaged ones."""

    def frames(self, packet: bytes) -> int:
        """Return the number of frames that the next packet decodes to."""


def codec_of(packet: bytes) -> Codec | None:
    """Identify the codec by the first packet of a stream; None if it is not supported audio."""
    codecs: tuple[tuple[bytes, int, Callable[[bytes], Codec]], ...] = (
        (b"\x01vorbis", 30, Vorbis),
        (b"OpusHead", 19, Opus),
        (b"\x7fFLAC", 51, Flac),
        (b"Speex   ", 80, Speex),
    )
    for magic, size_bytes, codec in codecs:
        if packet.startswith(magic) and len(packet) >= size_bytes:
            return codec(packet)
    return None


class Vorbis:
    """Vorbis: the mode of a packet gives its window, half of which overlaps with the one before."""

    decoder, subtype = "vorbis", "VORBIS"
    options = _NO_OPTIONS
    skip_frames = 0
    starts_early = True

    def __init__(self, head: bytes) -> None:
        self.channels, self.rate_hz = head[11], int.from_bytes(head[12:16], "little")
        self._windows = (1 << (head[28] & 15), 1 << (head[28] >> 4))
        self._modes: tuple[int, ...] = ()
        self._before = 0

    def is_header(self, packet: bytes, number: int) -> bool:
        return number < 3

    def extradata(self, headers: Sequence[bytes]) -> bytes:
        self._modes = _vorbis_modes(headers[2]) if len(headers) == 3 else ()
        if not self._modes:
            raise NotAudio("damaged: its Vorbis headers cannot be read; export it again")
        laces = b"".join(
            bytes([255]) * (len(h) // 255) + bytes([len(h) % 255]) for h in headers[:2]
        )
        return b"\x02" + laces + b"".join(headers)

    def frames(self, packet: bytes) -> int:
        if not packet or packet[0] & 1:
            return 0
        mode = packet[0] >> 1 & (1 << (len(self._modes) - 1).bit_length()) - 1
        window = self._windows[self._modes[mode] if mode < len(self._modes) else 0]
        before, self._before = self._before, window
        return before // 4 + window // 4 if before else 0


def _vorbis_modes(setup: bytes) -> tuple[int, ...]:
    """For each mode whether its window is the long one (section 4.2.4).

    The modes are the last thing in the setup header, in front of one bit that is set, and all that
    comes before them would have to be decoded to find their beginning: they are read from the end.
    Each has 41 bits, 32 of which must be 0; their number is in the 6 bits in front of them.
    """
    bits = int.from_bytes(setup, "little")  # section 2.1.4: the least significant bit comes first
    place = bits.bit_length() - 1
    flags: list[int] = []
    found = 0
    while len(flags) < 64 and place >= 47 and not bits >> place - 40 & 0xFFFFFFFF:
        place -= 41
        flags.append(bits >> place & 1)
        if bits >> place - 6 & 63 == len(flags) - 1:
            found = len(flags)
    return tuple(reversed(flags[:found]))


class Opus:
    """Opus: always 48 kHz, with the length of a packet in its first byte."""

    decoder, subtype = "libopus", "OPUS"
    # All that it decodes, as the others do, and not rounded to 16 bits.
    options = MappingProxyType({"flags2": "+skip_manual", "request_sample_fmt": "flt"})
    rate_hz = _OPUS_HZ
    starts_early = False

    def __init__(self, head: bytes) -> None:
        self.channels = head[9]
        self.skip_frames = int.from_bytes(head[10:12], "little")
        self._head = head

    def is_header(self, packet: bytes, number: int) -> bool:
        return number < 2

    def extradata(self, headers: Sequence[bytes]) -> bytes:
        return self._head

    def frames(self, packet: bytes) -> int:
        return opus_frames(packet)


def opus_frames(packet: bytes) -> int:
    """Frames at 48 kHz in an Opus packet (RFC 6716 section 3.1)."""
    if not packet:
        return 0
    config = packet[0] >> 3
    lengths = _OPUS_MS[0] if config < 12 else _OPUS_MS[1] if config < 16 else _OPUS_MS[2]
    code = packet[0] & 3
    count = (1, 2, 2)[code] if code < 3 else packet[1] & 63 if len(packet) > 1 else 0
    return round(lengths[config % len(lengths)] * count * _OPUS_HZ / 1000)


class Flac:
    """FLAC: a packet is a frame, with its number of frames in its header."""

    decoder = "flac"
    options = _NO_OPTIONS
    skip_frames = 0
    starts_early = False

    def __init__(self, head: bytes) -> None:
        packed = int.from_bytes(head[27:35], "big")
        self._head = flac.FlacHead(
            packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, None, 0
        )
        self._info = head[17:51]
        self.rate_hz, self.channels = self._head.rate_hz, self._head.channels
        self.subtype = "PCM_16" if self._head.bits <= 16 else "PCM_24"

    def is_header(self, packet: bytes, number: int) -> bool:
        return packet[:1] != b"\xff"

    def extradata(self, headers: Sequence[bytes]) -> bytes:
        return self._info

    def frames(self, packet: bytes) -> int:
        header = flac.parse_frame_header(packet[:16], self._head)
        return header.block_frames if header else 0


class Speex:
    """Speex: the same number of frames in every packet."""

    decoder, subtype = "speex", "SPEEX"
    options = _NO_OPTIONS
    skip_frames = 0
    starts_early = True

    def __init__(self, head: bytes) -> None:
        fields = struct.unpack("<12i", head[32:80])
        self.rate_hz, self.channels = int(fields[1]), int(fields[4])
        self._frames = int(fields[6]) * max(int(fields[8]), 1)
        self._headers = 2 + max(int(fields[9]), 0)
        self._head = head[:80]

    def is_header(self, packet: bytes, number: int) -> bool:
        return number < self._headers

    def extradata(self, headers: Sequence[bytes]) -> bytes:
        return self._head

    def frames(self, packet: bytes) -> int:
        return self._frames
