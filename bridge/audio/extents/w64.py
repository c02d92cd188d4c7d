"""Wave64: as a WAV, with 64-bit sizes.

Source: Sony Pictures Digital "Wave64 File Format".
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from bridge.audio.chunks import parse_fmt, read_chunk
from bridge.audio.extents.model import Extent, SoundData
from bridge.audio.extents.riff import block_frames, pieces_warning
from bridge.audio.metadata.containers.w64 import chunk_list
from bridge.audio.signatures import find_file
from bridge.audio.unknown_sizes import is_unknown_64
from bridge.audio.views import size_bytes
from bridge.audio.wave_codecs import STREAMS, codec_name
from bridge.errors import NoFrames, NotAudio, TruncatedBounce


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open Wave64.

    Raises NotAudio without fmt, NoFrames or TruncatedBounce without data.
    """
    file_bytes = size_bytes(file)
    file.seek(16)
    claimed = int.from_bytes(file.read(8), "little")
    refs, end = chunk_list(file)
    head = next((ref for ref in refs if ref.id == b"fmt "), None)
    parts = [ref for ref in refs if ref.id == b"data"]
    if not parts:
        if claimed > file_bytes:
            raise TruncatedBounce("cut off before its audio begins; render it again")
        raise NoFrames("a Wave64 without audio (no data chunk); render it again")
    if head is None:
        raise NotAudio("damaged: a Wave64 without fmt chunk; export it again from the DAW")
    data = read_chunk(file, head)
    fmt = parse_fmt(data)
    extents = [Extent(ref.offset, ref.size_bytes) for ref in parts]
    last = extents[-1]
    open_ended = is_unknown_64(last.size_bytes) and last.offset + last.size_bytes > file_bytes
    if open_ended:
        end = find_file(file, b"riff", last.offset, file_bytes)
        extents[-1] = Extent(last.offset, end - last.offset)
    kept = tuple(extent for extent in extents if extent.size_bytes) or (extents[0],)
    fact = next((read_chunk(file, ref)[:8] for ref in refs if ref.id == b"fact"), b"")
    return SoundData(
        rate_hz=fmt.rate_hz,
        channels=fmt.channels,
        subtype=fmt.subtype,
        codec=codec_name(fmt.tag),
        byte_order="little",
        extents=kept,
        end=end,
        file_bytes=file_bytes,
        stream=STREAMS.get(fmt.tag, ""),
        block_bytes=0 if fmt.subtype else fmt.block_bytes,
        block_frames=0 if fmt.subtype else block_frames(fmt.tag, data, "<"),
        stated_frames=struct.unpack("<Q", fact)[0] if len(fact) == 8 else None,
        stated_by="fact chunk",
        growing=claimed < file_bytes or is_unknown_64(claimed),
        open_ended=open_ended,
        warnings=pieces_warning(kept, "chunks"),
    )
