"""Neutral model of a session file, for every DAW: tracks, clips, markers, tempo.

Every position and length is an integer number of frames at the session's rate. A writer converts
them to its format's units, with enough digits to read back to the same frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Okabe and Ito, "Color Universal Design" (2008): told apart by every kind of colour vision. The
# first four are also the colours that stem players give to these stems.
STEM_COLOURS = {
    "drums": "#009e73",
    "bass": "#d55e00",
    "other": "#cc79a7",
    "vocals": "#56b4e9",
    "guitar": "#e69f00",
    "piano": "#0072b2",
    "accompaniment": "#f0e442",
}
# A byte, as in the time signature of MIDI files; no format or DAW takes more.
_LARGEST_METER = 255
# Of a signed 32-bit number, which a rate is in every format but those of text.
_HIGHEST_RATE_HZ = 2**31 - 1
BOUNCE_COLOUR = "#999999"
_SPARE_COLOURS = ("#e69f00", "#0072b2", "#f0e442", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")


@dataclass(frozen=True)
class SoundFile:
    """Sound file at the session's rate.

    path: its place when the session is opened; absolute. staged: its place while the session is
    written, if another.
    """

    path: Path
    frames: int
    channels: int
    staged: Path | None = None

    @property
    def current_path(self) -> Path:
        """Path where it can be read now."""
        return self.staged or self.path


@dataclass(frozen=True)
class Clip:
    """Range of a file on a track.

    start_frames: position in the session. offset_frames: first frame of the file that plays. Raises
    SessionError for a range that the file does not have.
    """

    file: SoundFile
    name: str
    start_frames: int
    length_frames: int
    offset_frames: int = 0
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        inside = 0 <= self.offset_frames <= self.file.frames - self.length_frames
        if self.start_frames < 0 or self.length_frames <= 0 or not inside:
            raise SessionError(
                f"{self.file.path}: {self.length_frames:,} frames from frame "
                f"{self.offset_frames:,} at {self.start_frames:,} cannot be placed; "
                f"it has {self.file.frames:,}: make the stems anew"
            )

    @property
    def end_frames(self) -> int:
        """First position behind it."""
        return self.start_frames + self.length_frames


@dataclass(frozen=True)
class Track:
    """Track; with children it is a folder that they play through. `colour` is "#rrggbb"."""

    name: str
    clips: tuple[Clip, ...] = ()
    children: tuple[Track, ...] = ()
    colour: str | None = None
    gain_db: float = 0.0
    muted: bool = False

    def walk(self) -> Iterator[Track]:
        """Yield it and everything below, a folder before its children."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def channels(self) -> int:
        """Largest number of channels of a file on it or below it; 0 without files."""
        return max((c.file.channels for t in self.walk() for c in t.clips), default=0)


@dataclass(frozen=True)
class Marker:
    """Named position. Raises SessionError for one before the session begins."""

    name: str
    position_frames: int

    def __post_init__(self) -> None:
        if self.position_frames < 0:
            raise SessionError(f"the marker {self.name!r} is before the session; remove it")


@dataclass(frozen=True)
class Tempo:
    """Tempo from `position_frames` on: quarter notes per minute, bars of `beats` notes of 1/`unit`.

    Raises SessionError for invalid values.
    """

    bpm: float
    beats: int = 4
    unit: int = 4
    position_frames: int = 0

    def __post_init__(self) -> None:
        is_meter = 0 < self.beats <= _LARGEST_METER and 0 < self.unit <= _LARGEST_METER
        if not 0 < self.bpm < math.inf or not is_meter or self.position_frames < 0:
            meter = f"{self.beats}/{self.unit}"
            raise SessionError(
                f"{self.bpm} bpm in {meter} from frame {self.position_frames:,} is no tempo; leave "
                "it out"
            )


@dataclass(frozen=True)
class Session:
    """Whole session. `tempos` is empty if the tempo is unknown; otherwise its first is at 0.

    Raises SessionError for an invalid rate.
    """

    name: str
    rate_hz: int
    tracks: tuple[Track, ...]
    markers: tuple[Marker, ...] = ()
    tempos: tuple[Tempo, ...] = ()

    def __post_init__(self) -> None:
        if self.rate_hz <= 0:
            raise SessionError(f"{self.name}: {self.rate_hz} Hz is no rate; make the stems anew")

    def walk(self) -> Iterator[Track]:
        """Yield every track, a folder before its children."""
        for track in self.tracks:
            yield from track.walk()

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Every clip, in the order of the tracks."""
        return tuple(clip for track in self.walk() for clip in track.clips)

    @property
    def start_frames(self) -> int:
        """Start of the first clip."""
        return min((clip.start_frames for clip in self.clips), default=0)

    @property
    def end_frames(self) -> int:
        """First position behind the last clip."""
        return max((clip.end_frames for clip in self.clips), default=0)

    @property
    def last_frame(self) -> int:
        """Latest position in it: of a clip, inside its file, of a marker or a tempo."""
        clips = self.clips
        found = (
            *(clip.end_frames for clip in clips),
            *(clip.file.frames for clip in clips),
            *(marker.position_frames for marker in self.markers),
            *(tempo.position_frames for tempo in self.tempos),
        )
        return max(found, default=0)

    def check_reach(self, last_frame: int, reader: str) -> None:
        """Raise SessionError for a position or a rate that `reader` does not represent exactly.

        last_frame: its last exact position.
        """
        if self.rate_hz > _HIGHEST_RATE_HZ:
            raise SessionError(
                f"{reader} has no rate of {self.rate_hz:,} Hz; export at a usual one"
            )
        if self.last_frame > last_frame:
            raise SessionError(
                f"frame {self.last_frame:,} is out of {reader}'s reach; give the bounce another "
                "start"
            )

    @property
    def channels(self) -> int:
        """Largest number of channels of a file in it."""
        return max((track.channels for track in self.tracks), default=0)


def from_manifest(
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    markers: tuple[Marker, ...] = (),
    tempos: tuple[Tempo, ...] = (),
    staged: Path | None = None,
) -> Session:
    """Build the session of one stem set: the muted bounce and a folder of its stems, at one place.

    The place is the time reference, or 0 if the bounce has none; a trimmed file is placed later by
    its offset. Gains are 0 dB: the files play unchanged. Mixdowns repeat the stems, so they are
    muted beside them; without stems, the first mixdown plays.

    Args:
        manifest: data of a `manifest.json` (see `bridge.publish.manifest`).
        folder: where that manifest lies, or will.
        markers: of the session; by default those of the manifest.
        tempos: of the session; by default those of the manifest.
        staged: where the stems lie until they are in `folder`.

    Raises:
        SessionError: the manifest is invalid, or its files differ in rate.
    """
    try:
        return _from_manifest(manifest, folder.absolute(), staged, markers, tempos)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise SessionError(
            f"{folder}: the manifest is damaged ({type(error).__name__}: {error}); "
            "make the stems anew"
        ) from error


def merge_sessions(name: str, sessions: Iterable[Session]) -> tuple[Session, ...]:
    """Merge several sessions: into one for each rate, the lowest first.

    With several rates, each name states its rate. The tempo is that of the first session with one;
    markers with equal place and name are kept once.
    """
    by_rate: dict[int, list[Session]] = {}
    for session in sessions:
        by_rate.setdefault(session.rate_hz, []).append(session)
    joined = [_join(name, rate_hz, by_rate[rate_hz]) for rate_hz in sorted(by_rate)]
    if len(joined) > 1:
        joined = [replace(one, name=f"{name} ({one.rate_hz} Hz)") for one in joined]
    return tuple(joined)


def _from_manifest(
    manifest: Mapping[str, Any],
    folder: Path,
    staged: Path | None,
    markers: tuple[Marker, ...],
    tempos: tuple[Tempo, ...],
) -> Session:
    source, stems = manifest["source"], manifest["stems"]
    rates = {int(part["rate_hz"]) for part in (source, *stems)}
    if len(rates) != 1:
        raise SessionError(f"{folder}: files of {sorted(rates)} Hz; a session has one rate")
    start = int(source["time_reference"] or 0)
    bounce = Path(source["path"])
    playing = _playing(stems)
    children = []
    for index, stem in enumerate(stems):
        name, file_name = str(stem["name"]), str(stem["path"])
        if Path(file_name).name != file_name:  # a file beside it, nothing else: it can be edited
            raise ValueError(f"{file_name!r} is not beside it")
        colour = STEM_COLOURS.get(name) or _SPARE_COLOURS[index % len(_SPARE_COLOURS)]
        now = staged / file_name if staged else None
        later = int(stem.get("start_frame", 0))
        clip = _whole(folder / file_name, stem, name, start + later, now)
        children.append(Track(name, (clip,), colour=colour, muted=index not in playing))
    original = _whole(bounce, source, bounce.stem, start)
    tracks = (
        Track(bounce.stem, (original,), colour=BOUNCE_COLOUR, muted=True),
        Track(f"{bounce.stem} stems", children=tuple(children), colour=BOUNCE_COLOUR),
    )
    rate_hz = rates.pop()
    marks, tempo = markers or _marks(source, start), tempos or _tempo(source)
    return Session(bounce.stem, rate_hz, tracks, marks, tempo)


def _playing(stems: Iterable[Mapping[str, Any]]) -> set[int]:
    """Indices of the files that play: together they must not repeat anything."""
    kinds = [bool(stem.get("mixdown", False)) for stem in stems]
    return {index for index, mixdown in enumerate(kinds) if not mixdown} or {0}


def _marks(source: Mapping[str, Any], start_frames: int) -> tuple[Marker, ...]:
    """Markers of the bounce, which count from its first frame."""
    return tuple(
        Marker(_text(mark["name"]), start_frames + int(mark["position_frames"]))
        for mark in source.get("marks") or ()
    )


def _text(name: object) -> str:
    """Name from untrusted metadata, without characters that no encoding holds."""
    return str(name).encode("utf-8", "replace").decode()


def _tempo(source: Mapping[str, Any]) -> tuple[Tempo, ...]:
    bpm = source.get("tempo_bpm")
    return () if bpm is None else (Tempo(float(bpm)),)


def _whole(
    path: Path, facts: Mapping[str, Any], name: str, start_frames: int, staged: Path | None = None
) -> Clip:
    """Clip of a whole file."""
    frames = int(facts["frames"])
    file = SoundFile(path, frames, int(facts["channels"]), staged)
    return Clip(file, name, start_frames, frames)


def _join(name: str, rate_hz: int, sessions: list[Session]) -> Session:
    markers = {marker for session in sessions for marker in session.markers}
    return Session(
        name=name,
        rate_hz=rate_hz,
        tracks=tuple(track for session in sessions for track in session.tracks),
        markers=tuple(sorted(markers, key=lambda marker: (marker.position_frames, marker.name))),
        tempos=next((session.tempos for session in sessions if session.tempos), ()),
    )
