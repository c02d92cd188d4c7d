"""NIST SPHERE: a text header followed by the audio.

Source: NIST "SPHERE header format", in the SPeech HEader REsources distribution.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.extents.model import PCM, Extent, SoundData
from bridge.audio.signatures import find_file
from bridge.audio.text import shown
from bridge.audio.views import size_bytes
from bridge.errors import NotAudio

if TYPE_CHECKING:
    from bridge.audio.metadata.bext import ByteOrder

_MAX_HEAD_BYTES = 1 << 16  # they are multiples of 1024, nearly always 1024
_FIELD = re.compile(rb"^(\w+) -(?:i|r|s\d+) (.*)$", re.MULTILINE)
_NO_NUMBER = 0


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open NIST file. Raises NotAudio for an invalid header."""
    file_bytes = size_bytes(file)
    file.seek(8)
    begin = _number(file.read(8))
    if not 16 <= begin <= _MAX_HEAD_BYTES:
        raise NotAudio("damaged: a NIST file whose header is cut off; export it again as WAV")
    head, _, _ = file.read(begin - 16).partition(b"end_head")
    fields = {key: value.strip() for key, value in _FIELD.findall(head)}
    coding = fields.get(b"sample_coding", b"pcm").decode("latin-1").lower()
    width = _number(fields.get(b"sample_n_bytes", b"2"))
    channels = _number(fields.get(b"channel_count", b"1"))
    subtype = PCM.get(width) if coding == "pcm" else {"ulaw": "ULAW", "alaw": "ALAW"}.get(coding)
    # "01": the low byte first; "1" stands for one byte, which has no order.
    low_first = fields.get(b"sample_byte_format", b"01")[:2] in {b"01", b"0", b"1"}
    order: ByteOrder = "little" if low_first else "big"
    frames = fields.get(b"sample_count")
    if frames is None:  # the header need not say: the sound is the rest
        size = max(find_file(file, b"NIST", begin, file_bytes) - begin, 0)
    else:
        size = _number(frames) * channels * (width if coding == "pcm" else 1)
    return SoundData(
        rate_hz=_number(fields.get(b"sample_rate", b"0")),
        channels=channels,
        subtype=subtype,
        codec=shown(coding),
        byte_order=order,
        extents=(Extent(begin, size),),
        end=min(begin + size, file_bytes),
        file_bytes=file_bytes,
        growing=True,
        open_ended=frames is None,
    )


def _number(text: bytes) -> int:
    """Integer of a header field; 0 if it is none or has too many digits for a size."""
    word = text.split(b".")[0].strip()
    return int(word) if word.isdigit() and len(word) <= 18 else _NO_NUMBER
