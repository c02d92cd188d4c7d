"""Ardour session: a folder that Ardour 7 or newer opens.

Written like Ardour 7.3, without the parts that it fills in itself. Times are in superclocks, of
which each usual rate divides a second exactly; "a" marks a time in audio, not in beats. Audio is
referenced by its absolute path, not copied. Only the first tempo is kept, and folders become
groups, because Ardour has no folder tracks.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.daw.ardour_routes import VERSION, IdCounter, PlayingTrack, colour, master, track
from bridge.daw.files import write_file
from bridge.daw.session import Tempo
from bridge.daw.text import document, element, linear, xml_name, xml_path
from bridge.errors import SessionError
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from bridge.daw.session import Clip, Session, Track

# Suffix of the session folder, distinct from the folders of stems.
SUFFIX = " (Ardour)"

SUPERCLOCKS_PER_S = 282_240_000
_PROGRAM = "Stembridge"
_FOLDERS = ("analysis", "dead", "export", "externals", "peaks", "plugins")
_NO_TEMPO_BPM = 120.0  # Ardour's own default: it must have one
_LARGEST_CLOCK = 2**61  # Ardour keeps a time in 62 bits, one of them the sign
# Of what no track of ours can be called: Ardour's own names, and separators in port names.
_RESERVED = ("Master", "Monitor", "Auditioner", "Click")
_SEPARATORS = str.maketrans(dict.fromkeys(":/\\", "_"))

_REGION: dict[str, object] = {
    "type": "audio",
    "first-edit": "nothing",
    "sync-position": "a0",
    "stretch": 1,
    "shift": 1,
    "layering-index": 0,
    "muted": 0,
    "opaque": 1,
    "locked": 0,
    "video-locked": 0,
    "import": 0,
    "external": 1,
    "hidden": 0,
    "position-locked": 0,
    "envelope-active": 0,
    # Without these a region begins and ends with fades of 64 frames.
    "default-fade-in": 0,
    "default-fade-out": 0,
    "fade-in-active": 0,
    "fade-out-active": 0,
}


def write(session: Session, path: Path) -> None:
    """Write the session into the folder `path`; other files in there stay.

    Raises SessionError for a rate without exact superclocks, for a position out of Ardour's range,
    and for a file name that XML cannot hold; and OutputError.
    """
    clocks = _clocks_per_frame(session)
    audio = path / "interchange" / path.name / "audiofiles"
    root = _session(session, path.name, clocks)
    with disk_errors(path):
        for folder in (audio, *(path / name for name in _FOLDERS)):
            folder.mkdir(parents=True, exist_ok=True)
    write_file(session_file(path), document(root))


def session_file(path: Path) -> Path:
    """Return the file to open of the session in the folder `path`."""
    return path / f"{path.name}.ardour"


def _clocks_per_frame(session: Session) -> int:
    clocks, rest = divmod(SUPERCLOCKS_PER_S, session.rate_hz)
    if rest:
        raise SessionError(
            f"Ardour has no exact times at {session.rate_hz:,} Hz; export at a usual rate"
        )
    session.check_reach(_LARGEST_CLOCK // clocks, "Ardour")
    return clocks


def _session(session: Session, name: str, clocks: int) -> Element:
    ids = IdCounter()
    sources = _Sources(ids)
    players = [*_numbered(ids, session)]
    width = max(session.channels, 1)
    routes = [master(ids, width), *(track(ids, player, width) for player in players)]
    playlists = []
    for player in players:
        clips = player.track.clips
        regions = (_region(ids, clip, sources, clocks, whole=False) for clip in clips)
        playlists.append(_playlist(player, [*regions]))
    whole = [_region(ids, clip, sources, clocks, whole=True) for clip in session.clips]
    groups = _groups(ids, session, [player.number for player in players])
    parts = [
        element("ProgramVersion", {"created-with": _PROGRAM, "modified-with": _PROGRAM}),
        _options(),
        element("Metadata", {}),
        element("Sources", {}, *sources.elements),
        element("Regions", {}, *whole),
        element("Locations", {}, *_locations(ids, session, clocks)),
        element("Bundles", {}),
        element("Routes", {}, *routes),
        element("Playlists", {}, *playlists),
        element("RouteGroups", {}, *groups),
        _tempo_map(session),
    ]
    attributes = {
        "version": VERSION,
        "name": xml_path(name),
        "sample-rate": session.rate_hz,
        "session-range-is-free": 0,
        "id-counter": ids.new(),
        "name-counter": 1,
        "event-counter": 0,
        "vca-counter": 1,
    }
    return element("Session", attributes, *parts)


def _numbered(ids: IdCounter, session: Session) -> Iterator[PlayingTrack]:
    """Tracks with clips, with ids and unique names."""
    taken = {name.casefold() for name in _RESERVED}
    for order, one in enumerate(_players(session.tracks)):
        named = replace(one, name=_unique(one.name, taken))
        yield PlayingTrack(named, number=ids.new(), playlist=ids.new(), order=order)


def _options() -> Element:
    """Options that affect the sound of the session and must not depend on the user's defaults."""
    options = {
        "use-region-fades": 1,
        "use-transport-fades": 0,
        "native-file-data-format": "FormatFloat",
    }
    return element(
        "Config", {}, *(element("Option", {"name": k, "value": v}) for k, v in options.items())
    )


def _players(tracks: tuple[Track, ...], over: Track | None = None) -> Iterator[Track]:
    """Tracks that are no folders, with their folders' gain and mute applied to their own."""
    for one in tracks:
        audible = one
        if over is not None:
            audible = replace(
                one, gain_db=one.gain_db + over.gain_db, muted=one.muted or over.muted
            )
        if one.children:
            yield from _players(one.children, audible)
        else:
            yield audible


def _unique(name: str, taken: set[str]) -> str:
    """Unique name without the separators of Ardour's names."""
    base = xml_name(name).translate(_SEPARATORS).strip() or "Track"
    names = (base if number == 1 else f"{base} {number}" for number in itertools.count(1))
    free = next(one for one in names if one.casefold() not in taken)
    taken.add(free.casefold())
    return free


class _Sources:
    """One source for each channel of each file, by its absolute path.

    When Ardour saves the session, it keeps the names of files and adds their folders to its search
    path. It does not for a relative path: the file is not found the next time.
    """

    def __init__(self, ids: IdCounter) -> None:
        self.elements: list[Element] = []
        self._ids = ids
        self._known: dict[Path, list[int]] = {}

    def of(self, clip: Clip) -> list[int]:
        """Return the ids of a file's channels, in order."""
        known = self._known.get(clip.file.path)
        if known is None:
            known = [self._add(clip, channel) for channel in range(clip.file.channels)]
            self._known[clip.file.path] = known
        return known

    def _add(self, clip: Clip, channel: int) -> int:
        number = self._ids.new()
        attributes = {
            "name": xml_path(str(clip.file.path.absolute())),
            "take-id": "",
            "type": "audio",
            "flags": "",
            "id": number,
            "channel": channel,
            "origin": "",
            "gain": 1,
        }
        self.elements.append(element("Source", attributes))
        return number


def _region(ids: IdCounter, clip: Clip, sources: _Sources, clocks: int, *, whole: bool) -> Element:
    """Clip in a playlist, or the whole file for the list of regions."""
    start = 0 if whole else clip.offset_frames * clocks
    length = (clip.file.frames if whole else clip.length_frames) * clocks
    position = 0 if whole else clip.start_frames * clocks
    channels = sources.of(clip)
    attributes = {
        "name": xml_name(clip.name),
        "id": ids.new(),
        **_REGION,
        "start": f"a{start}",
        "length": f"a{length}@a{position}",
        "automatic": int(whole),
        "whole-file": int(whole),
        "scale-amplitude": linear(0.0 if whole else clip.gain_db),
        "channels": len(channels),
    }
    for index, source in enumerate(channels):
        attributes |= {f"source-{index}": source, f"master-source-{index}": source}
    return element("Region", attributes)


def _playlist(player: PlayingTrack, regions: list[Element]) -> Element:
    attributes = {
        "id": player.playlist,
        "name": player.track.name,
        "type": "audio",
        "orig-track-id": player.number,
        "shared-with-ids": "",
        "frozen": 0,
        "combine-ops": 0,
    }
    return element("Playlist", attributes, *regions)


def _locations(ids: IdCounter, session: Session, clocks: int) -> list[Element]:
    def location(name: str, start: int, end: int, flags: str) -> Element:
        attributes = {"id": ids.new(), "name": name, "flags": flags, "locked": 0, "timestamp": 0}
        times = {"start": f"a{start * clocks}", "end": f"a{end * clocks}"}
        return element("Location", {**attributes, **times})

    whole = location("session", session.start_frames, session.end_frames, "IsSessionRange")
    marks = (
        location(xml_name(m.name), m.position_frames, m.position_frames, "IsMark")
        for m in session.markers
    )
    return [whole, *marks]


def _groups(ids: IdCounter, session: Session, numbers: list[int]) -> list[Element]:
    """Group for each folder, which Ardour lacks; the members share nothing else."""
    remaining = iter(numbers)
    by_track = {id(one): next(remaining) for one in session.walk() if not one.children}
    shared = ("relative", "gain", "mute", "solo", "recenable", "select", "route-active", "color")
    return [
        element(
            "RouteGroup",
            {
                "id": ids.new(),
                "name": xml_name(folder.name),
                "rgba": colour(folder),
                "used-to-share-gain": 0,
                "hidden": 0,
                "active": 1,
                **dict.fromkeys(shared, 0),
                "monitoring": 0,
                "group-master-number": -1,
                "routes": " ".join(str(by_track[id(t)]) for t in folder.walk() if not t.children),
            },
        )
        for folder in session.walk()
        if folder.children
    ]


def _tempo_map(session: Session) -> Element:
    """First tempo. Ardour would quantise later ones to its grid of beats."""
    tempo = session.tempos[0] if session.tempos else Tempo(_NO_TEMPO_BPM)
    start = {"sclock": 0, "quarters": "0:0", "bbt": "1|1|0"}
    speed = {
        "npm": repr(float(tempo.bpm)),
        "enpm": repr(float(tempo.bpm)),
        "note-type": 4,
        "type": "Tempo::Constant",
        "active": 1,
        "locked-to-meter": 0,
        "continuing": 0,
        "omega": 0,
    }
    meter = {"note-value": tempo.unit, "divisions-per-bar": tempo.beats}
    return element(
        "TempoMap",
        {"superclocks-per-second": SUPERCLOCKS_PER_S},
        element("Tempos", {}, element("Tempo", {**speed, **start})),
        element("Meters", {}, element("Meter", {**meter, **start})),
        element("MusicTimes", {}),
    )
