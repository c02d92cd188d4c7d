"""A bounce's metadata as tags, for targets without chunks (pure).

The fields of `bext` get the names that ffmpeg gives them, which REAPER reads, too: DESCRIPTION,
ORIGINATOR, TIME_REFERENCE, CODING_HISTORY and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.audio.metadata import bext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.audio.metadata.model import Mark, Metadata
    from bridge.audio.metadata.tags import Tags

# Their numbers have three digits (Vorbis comment chapter extension).
MAX_CHAPTERS = 999

_CHUNK_NAMES = {
    b"iXML": "iXML",
    b"smpl": "sampler loops (smpl)",
    b"inst": "instrument (inst)",
    b"axml": "audio definition model (axml)",
    b"chna": "audio definition model (chna)",
}


def stem_tags(metadata: Metadata) -> Tags:
    """Return the tags of a stem, by the names of Vorbis comments, sorted."""
    found: Tags = {name: tuple(values) for name, values in metadata.tags.items()}
    for name, value in _of_bext(metadata.find(b"bext")):
        found.setdefault(name, (value,))
    if metadata.time_reference is not None:
        found["TIME_REFERENCE"] = (str(metadata.time_reference),)
    if metadata.tempo_bpm is not None:
        found.setdefault("BPM", (f"{metadata.tempo_bpm:g}",))
    return dict(sorted(found.items()))


def chapters(marks: Sequence[Mark], rate_hz: int) -> Tags:
    """Convert markers to chapter tags, CHAPTER001=00:00:01.500 and CHAPTER001NAME, in ms."""
    found: Tags = {}
    for number, mark in enumerate(marks[:MAX_CHAPTERS], 1):
        milliseconds = round(1000 * mark.position_frames / rate_hz)
        seconds, rest = divmod(milliseconds, 1000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
        found[f"CHAPTER{number:03}"] = (clock,)
        found[f"CHAPTER{number:03}NAME"] = (mark.name,)
    return found


def untagged_chunks(metadata: Metadata, kept: Sequence[bytes] = ()) -> tuple[str, ...]:
    """List the contents of a WAV's chunks that tags lack; kept: ids that the target can hold."""
    held = {chunk.id for chunk in metadata.chunks} - {*kept}
    return tuple(name for chunk_id, name in _CHUNK_NAMES.items() if chunk_id in held)


def _of_bext(data: bytes | None) -> Iterator[tuple[str, str]]:
    if data is None:
        return
    found = bext.parse(data)
    fields = {
        "DESCRIPTION": found.description,
        "ORIGINATOR": found.originator,
        "ORIGINATOR_REFERENCE": found.originator_reference,
        "ORIGINATION_DATE": found.origination_date,
        "ORIGINATION_TIME": found.origination_time,
        "CODING_HISTORY": found.coding_history,
    }
    for name, value in fields.items():
        text = _text(value)
        if text:
            yield name, text
    if any(found.umid):
        yield "UMID", "0x" + found.umid.hex().upper()


def _text(data: bytes) -> str:
    """Text up to the first NUL; recorders write UTF-8 or Latin-1 where the standard has ASCII."""
    cut = data.split(b"\0", 1)[0]
    try:
        return cut.decode("utf-8").strip()
    except UnicodeDecodeError:
        return cut.decode("latin-1").strip()
