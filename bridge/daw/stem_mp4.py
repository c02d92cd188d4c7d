"""Stem file (.stem.mp4) of one bounce, for Traktor, Mixxx and other stem players.

Five streams, the mix, drums, bass, other and vocals, and a JSON box moov/udta/stem with their names
and colours (Native Instruments, "Stem file specification"). The streams are lossless (ALAC of 16 or
24 bits): each has the bounce's frame count, without encoder delay, and the stems still add up to
the mix. The boxes are those of ISO/IEC 14496-12 section 4.2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from bridge.daw.files import new_file
from bridge.daw.session import STEM_COLOURS
from bridge.daw.stem_streams import CHANNELS, encode_streams
from bridge.errors import SessionError

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.daw.session import Clip, Session

SUFFIX = ".stem.mp4"

STEMS = ("drums", "bass", "other", "vocals")
INTO_OTHER = ("other", "guitar", "piano", "residual")
"""Stems of larger models, for which a stem file has no stream of their own: they are added up."""

# The dynamics that a player puts on the sum of the stems. Off, so that the sum stays the mix; the
# values are those that a player would begin with.
_COMPRESSOR = {
    "enabled": False,
    "ratio": 1.0,
    "output_gain": 0.0,
    "threshold": 0.0,
    "dry_wet": 100,
    "attack": 0.003,
    "release": 0.3,
    "input_gain": 0.0,
    "hp_cutoff": 20,
}
_LIMITER = {"enabled": False, "release": 0.05, "threshold": 0.0, "ceiling": 0.0}


def write(session: Session, path: Path) -> None:
    """Write the stem file of a session with one bounce and its stems.

    Raises:
        SessionError: the stems are not the four (others of a larger model are added to `other`),
            are not stereo or not as long as the bounce, or a file cannot be read.
        OutputError: the system refused.
    """
    mix, stems = _parts(session)
    with new_file(path) as temporary:
        encode_streams(temporary, [mix], [stems[stem] for stem in STEMS], session.rate_hz)
        _add_names(temporary)


def _parts(session: Session) -> tuple[Clip, dict[str, list[Clip]]]:
    """Mix, and the clips that make up each stem."""
    bounces = [track for track in session.tracks if not track.children]
    folders = [track for track in session.tracks if track.children]
    if len(bounces) != 1 or len(folders) != 1:
        raise SessionError(
            f"a stem file holds one bounce and its stems, not {len(bounces)}: write one for each"
        )
    stems: dict[str, list[Clip]] = {stem: [] for stem in STEMS}
    for track in folders[0].children:
        if track.muted:  # a mixdown: a sum of what is there already
            continue
        stem = "other" if track.name in INTO_OTHER else track.name
        if stem not in stems:
            raise SessionError(
                f"a stem file holds {', '.join(STEMS)}, not {track.name!r}: take a model and a "
                "preset with these four"
            )
        stems[stem].extend(track.clips)
    lacking = [stem for stem in STEMS if not stems[stem]]
    if lacking:
        raise SessionError(
            f"a stem file needs {', '.join(lacking)} as well: take a model and a preset with "
            f"{', '.join(STEMS)}"
        )
    (mix,) = bounces[0].clips
    _check(mix, [clip for clips in stems.values() for clip in clips])
    return mix, stems


def _check(mix: Clip, clips: list[Clip]) -> None:
    """Check that all streams are of one length and stereo: players start them at once."""
    for clip in (mix, *clips):
        whole = clip.offset_frames == 0 and clip.length_frames == clip.file.frames
        if not whole or clip.file.frames != mix.file.frames:
            raise SessionError(
                f"{clip.file.path}: {clip.file.frames:,} frames, the mix has "
                f"{mix.file.frames:,}; make the stems anew"
            )
        if clip.file.channels != CHANNELS:
            raise SessionError(
                f"{clip.file.path}: {clip.file.channels} channels; a stem file is stereo"
            )


def _add_names(path: Path) -> None:
    """Add the box with the stems' names to a file whose moov box is the last, as by FFmpeg.

    Offsets from the start of the file stay valid then.
    """
    with path.open("rb+") as file:
        start = _last_box(file)
        file.seek(start)
        moov = file.read()
        if moov[4:8] != b"moov":
            raise SessionError("the boxes of the stem file are not in order; please report it")
        file.seek(start)
        file.write(with_names(moov))


def _last_box(file: BinaryIO) -> int:
    """Offset of the last box of the file."""
    file_bytes = file.seek(0, 2)
    at = start = 0
    while at + 8 <= file_bytes:
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:  # a 64-bit size follows
            size = int.from_bytes(head[8:16], "big")
        start, at = at, at + max(size, 8)
    return start


def with_names(moov: bytes) -> bytes:
    """Return a moov box with the box of the stems' names in its udta, created if absent."""
    names = _box(b"stem", json.dumps(_names(), separators=(",", ":")).encode())
    body, at = moov[8:], 0
    while at + 8 <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        if body[at + 4 : at + 8] == b"udta":
            udta = _box(b"udta", body[at + 8 : at + size] + names)
            return _box(b"moov", body[:at] + udta + body[at + size :])
        at += max(size, 8)
    return _box(b"moov", body + _box(b"udta", names))


def _names() -> dict[str, Any]:
    stems = [{"name": stem.capitalize(), "color": STEM_COLOURS[stem].upper()} for stem in STEMS]
    dynamics = {"compressor": _COMPRESSOR, "limiter": _LIMITER}
    return {"mastering_dsp": dynamics, "version": 1, "stems": stems}


def _box(kind: bytes, data: bytes) -> bytes:
    return (8 + len(data)).to_bytes(4, "big") + kind + data
