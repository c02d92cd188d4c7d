"""REAPER project (.RPP).

The format is text: one entry per line, blocks in `<` and `>`. Its fields are those of "State Chunk
Definitions" in the ReaTeam wiki; quoting is that of WDL's line parser, REAPER's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.daw.files import write_file
from bridge.daw.text import (
    LAST_EXACT_FRAME,
    encoded,
    guid,
    line_path,
    linear,
    one_line,
    relative,
    seconds,
)
from bridge.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.daw.session import Clip, Session, Tempo, Track

SUFFIX = ".rpp"

_SOURCES = {".flac": "FLAC", ".mp3": "MP3", ".ogg": "VORBIS", ".opus": "OPUS", ".m4a": "VIDEO"}
_WAVE = "WAVE"  # REAPER's reader of WAV, RF64, W64, AIFF and CAF
_MOST_CHANNELS = 128  # since REAPER 7; before that 64
_CUSTOM_COLOUR = 0x1000000  # without this bit the colour is the theme's
_SQUARE = 1  # a tempo that holds until the next one
_METER_SHIFT = 16  # a meter in one number: the unit above the beats
_NO_FADE = "1 0 0 1 0 0 0"  # shape, length, length of the automatic fade, ...


def write(session: Session, path: Path, folder: Path | None = None) -> None:
    """Write the project; media are named relative to `folder`, by default its own.

    Raises SessionError for a file name, a position or a channel count that REAPER cannot hold, and
    OutputError.
    """
    session.check_reach(LAST_EXACT_FRAME, "REAPER")
    if session.channels > _MOST_CHANNELS:
        raise SessionError(
            f"{session.channels} channels; a track of REAPER has {_MOST_CHANNELS}: split the file"
        )
    lines = "\n".join(_project(session, folder or path.parent)) + "\n"
    write_file(path, encoded(lines))


def quoted(text: str) -> str:
    """Quote a string for REAPER's parser, with the first kind of quotes that it does not contain.

    Raises SessionError if it contains all three kinds: there is no escape.
    """
    for mark in "\"'`":
        if mark not in text:
            return f"{mark}{text}{mark}"
    raise SessionError(f"{text!r}: REAPER cannot hold a name with \", ' and `; rename the file")


def _name(name: str) -> str:
    """Quote a name; if it contains all kinds of quotes, one kind is replaced."""
    text = one_line(name)
    return quoted(text.replace("`", "'") if {*"\"'`"} <= {*text} else text)


def _project(session: Session, folder: Path) -> Iterator[str]:
    rate = session.rate_hz
    yield '<REAPER_PROJECT 0.1 "7.0/stembridge" 0'
    yield "  RIPPLE 0"
    # Positions are times: what is moved by a change of tempo leaves its place in the audio.
    yield "  TIMELOCKMODE 0"
    yield f"  CURSOR {seconds(session.start_frames, rate)}"
    yield f"  SAMPLERATE {rate} 1 0"
    yield f"  MASTER_NCH {_channels(session.channels)} 2"
    yield from _tempo(session)
    for number, marker in enumerate(session.markers, 1):
        position_s = seconds(marker.position_frames, rate)
        yield f"  MARKER {number} {position_s} {_name(marker.name)} 0"
    ends = _folder_ends(session.tracks)
    for number, track in enumerate(session.walk(), 1):
        yield from _track(session, track, number, ends.get(number, 0), folder)
    yield ">"


def _tempo(session: Session) -> Iterator[str]:
    if not session.tempos:
        return
    first = session.tempos[0]
    yield f"  TEMPO {first.bpm!r} {first.beats} {first.unit}"
    if len(session.tempos) > 1:
        yield "  <TEMPOENVEX"
        yield "    ACT 1 -1"
        for tempo in session.tempos:
            yield f"    PT {_tempo_point(tempo, session.rate_hz)}"
        yield "  >"


def _tempo_point(tempo: Tempo, rate_hz: int) -> str:
    meter = tempo.unit << _METER_SHIFT | tempo.beats
    return f"{seconds(tempo.position_frames, rate_hz)} {tempo.bpm!r} {_SQUARE} {meter}"


def _folder_ends(tracks: tuple[Track, ...]) -> dict[int, int]:
    """Number of folders that end with each track, counted from 1."""
    ends: dict[int, int] = {}
    number = 0
    for track in tracks:
        number += 1
        number = _count_ends(track, number, ends)
    return ends


def _count_ends(track: Track, number: int, ends: dict[int, int]) -> int:
    for child in track.children:
        number = _count_ends(child, number + 1, ends)
    if track.children:
        ends[number] = ends.get(number, 0) + 1
    return number


def _track(session: Session, track: Track, number: int, ended: int, folder: Path) -> Iterator[str]:
    bus = "1 1" if track.children else f"2 {-ended}" if ended else "0 0"
    yield f"  <TRACK {_guid(session, 'track', number, track.name)}"
    yield f"    NAME {_name(track.name)}"
    if track.colour:
        yield f"    PEAKCOL {_colour(track.colour)}"
    yield f"    VOLPAN {linear(track.gain_db)} 0 -1 -1 1"
    yield f"    MUTESOLO {int(track.muted)} 0 0"
    yield f"    ISBUS {bus}"
    yield f"    NCHAN {_channels(track.channels)}"
    yield "    MAINSEND 1 0"
    for index, clip in enumerate(track.clips):
        yield from _item(session, clip, (number, index), folder)
    yield "  >"


def _item(session: Session, clip: Clip, place: tuple[int, int], folder: Path) -> Iterator[str]:
    rate = session.rate_hz
    file_name = line_path(relative(clip.file.path, folder))
    yield "    <ITEM"
    yield f"      POSITION {seconds(clip.start_frames, rate)}"
    yield f"      LENGTH {seconds(clip.length_frames, rate)}"
    yield "      LOOP 0"
    yield "      ALLTAKES 0"
    yield f"      FADEIN {_NO_FADE}"
    yield f"      FADEOUT {_NO_FADE}"
    yield "      MUTE 0 0"
    yield f"      IGUID {_guid(session, 'item', *place, clip.name)}"
    yield f"      NAME {_name(clip.name)}"
    yield f"      VOLPAN {linear(clip.gain_db)} 0 1 -1"
    yield f"      SOFFS {seconds(clip.offset_frames, rate)}"
    yield "      PLAYRATE 1 1 0 -1 0 0.0025"
    yield "      CHANMODE 0"
    yield f"      GUID {_guid(session, 'take', *place, clip.name)}"
    yield f"      <SOURCE {_SOURCES.get(clip.file.path.suffix.lower(), _WAVE)}"
    yield f"        FILE {quoted(file_name)}"
    yield "      >"
    yield "    >"


def _guid(session: Session, *content: object) -> str:
    return "{" + str(guid(session.name, *content)).upper() + "}"


def _channels(channels: int) -> int:
    """Channels of a track: an even number, at least two."""
    return max(channels + channels % 2, 2)


def _colour(colour: str) -> int:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return _CUSTOM_COLOUR | blue << 16 | green << 8 | red
