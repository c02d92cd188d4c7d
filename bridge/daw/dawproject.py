"""DAWproject: a zip of project.xml and metadata.xml (Bitwig Studio, Studio One, Cubase).

By the schema of the DAWproject 1.0 format. Audio is referenced beside the file, not embedded: a
second copy of the stems would double the space. Times are in seconds, which do not move with the
tempo.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.daw.files import write_file
from bridge.daw.text import (
    LAST_EXACT_FRAME,
    document,
    element,
    linear,
    relative,
    seconds,
    xml_name,
    xml_path,
)

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from bridge.daw.session import Clip, Session, Track

SUFFIX = ".dawproject"

_ZIP_EPOCH = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the earliest date that a zip can state: the bytes hold no clock
_MASTER = "master"


def write(session: Session, path: Path, folder: Path | None = None) -> None:
    """Write the project; media are named relative to `folder`, by default its own.

    Raises SessionError for a file name that XML cannot hold and for a position that a double cannot
    hold to the frame; and OutputError.
    """
    session.check_reach(LAST_EXACT_FRAME, "a DAWproject")
    parts = {
        "project.xml": document(_project(session, folder or path.parent)),
        "metadata.xml": document(_metadata(session)),
    }
    out = io.BytesIO()
    # Stored: the bytes then do not depend on the version of a compressor.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), data)
    write_file(path, out.getvalue())


def _metadata(session: Session) -> Element:
    title = element("Title", {})
    title.text = xml_name(session.name)
    return element("MetaData", {}, title)


def _project(session: Session, folder: Path) -> Element:
    ids = {id(track): f"track{number}" for number, track in enumerate(session.walk(), 1)}
    application = element("Application", {"name": "Stembridge", "version": __version__})
    master = element(
        "Track",
        {"id": "track0", "name": "Master", "contentType": "audio tracks", "loaded": "true"},
        _channel(_MASTER, max(session.channels, 1), role="master"),
    )
    tracks = [_track(track, ids, _MASTER) for track in session.tracks]
    parts = [application, *_transport(session), element("Structure", {}, *tracks, master)]
    return element("Project", {"version": "1.0"}, *parts, _arrangement(session, ids, folder))


def _transport(session: Session) -> list[Element]:
    if not session.tempos:
        return []
    first = session.tempos[0]
    tempo = {"id": "tempo", "name": "Tempo", "unit": "bpm", "value": repr(float(first.bpm))}
    meter = {"id": "meter", "numerator": first.beats, "denominator": first.unit}
    return [element("Transport", {}, element("Tempo", tempo), element("TimeSignature", meter))]


def _track(track: Track, ids: dict[int, str], destination: str) -> Element:
    me = ids[id(track)]
    role = "submix" if track.children else "regular"
    return element(
        "Track",
        {
            "id": me,
            "name": xml_name(track.name),
            "color": track.colour,
            "contentType": "tracks" if track.children else "audio",
            "loaded": "true",
        },
        _channel(f"{me}channel", max(track.channels, 1), role=role, track=track, to=destination),
        *(_track(child, ids, f"{me}channel") for child in track.children),
    )


def _channel(
    me: str, channels: int, *, role: str, track: Track | None = None, to: str | None = None
) -> Element:
    muted = "true" if track and track.muted else "false"
    gain = linear(track.gain_db if track else 0.0)
    return element(
        "Channel",
        {"id": me, "audioChannels": channels, "destination": to, "role": role, "solo": "false"},
        element("Mute", {"id": f"{me}mute", "name": "Mute", "value": muted}),
        element("Volume", {"id": f"{me}volume", "name": "Volume", "unit": "linear", "value": gain}),
    )


def _arrangement(session: Session, ids: dict[int, str], folder: Path) -> Element:
    lanes = [
        element(
            "Lanes",
            {"track": ids[id(track)]},
            element("Clips", {}, *(_clip(session, clip, folder) for clip in track.clips)),
        )
        for track in session.walk()
        if track.clips
    ]
    parts = [element("Lanes", {"timeUnit": "seconds"}, *lanes), *_markers(session)]
    return element("Arrangement", {"id": "arrangement"}, *parts, *_tempo_map(session))


def _clip(session: Session, clip: Clip, folder: Path) -> Element:
    """Clip on the track, with the clip inside that plays the file."""
    length_s = seconds(clip.length_frames, session.rate_hz)
    start_s = seconds(clip.start_frames, session.rate_hz)
    offset_s = seconds(clip.offset_frames, session.rate_hz)
    content = {"duration": length_s, "contentTimeUnit": "seconds", "fadeTimeUnit": "seconds"}
    no_fades = {"fadeInTime": "0.0", "fadeOutTime": "0.0"}
    inner = element(
        "Clip",
        {"time": "0.0", **content, "playStart": offset_s, **no_fades},
        _sound(session, clip, folder),
    )
    outer = {"time": start_s, **content, "playStart": "0.0", **no_fades}
    return element("Clip", {**outer, "name": xml_name(clip.name)}, element("Clips", {}, inner))


def _sound(session: Session, clip: Clip, folder: Path) -> Element:
    name = xml_path(relative(clip.file.path, folder))
    audio = element(
        "Audio",
        {
            "algorithm": "raw",
            "channels": clip.file.channels,
            "duration": seconds(clip.file.frames, session.rate_hz),
            "sampleRate": session.rate_hz,
        },
        element("File", {"path": name, "external": "true"}),
    )
    if not clip.gain_db:
        return audio
    gain = element(
        "Points",
        {"unit": "decibel"},
        element("Target", {"expression": "gain"}),
        element("RealPoint", {"time": "0.0", "value": clip.gain_db, "interpolation": "hold"}),
    )
    return element("Lanes", {}, audio, gain)


def _markers(session: Session) -> list[Element]:
    if not session.markers:
        return []
    markers = [
        element(
            "Marker",
            {"time": seconds(m.position_frames, session.rate_hz), "name": xml_name(m.name)},
        )
        for m in session.markers
    ]
    return [element("Markers", {"timeUnit": "seconds"}, *markers)]


def _tempo_map(session: Session) -> list[Element]:
    """Tempo changes behind the first one, which the transport holds."""
    if len(session.tempos) < 2:
        return []
    tempos, meters = [], []
    for tempo in session.tempos:
        time_s = seconds(tempo.position_frames, session.rate_hz)
        value = repr(float(tempo.bpm))
        point = {"time": time_s, "value": value, "interpolation": "hold"}
        tempos.append(element("RealPoint", point))
        meter = {"time": time_s, "numerator": tempo.beats, "denominator": tempo.unit}
        meters.append(element("TimeSignaturePoint", meter))
    unit = {"timeUnit": "seconds"}
    target = element("Target", {"parameter": "tempo"})
    bars = element("Target", {"parameter": "meter"})
    return [
        element("TempoAutomation", {**unit, "unit": "bpm"}, target, *tempos),
        element("TimeSignatureAutomation", unit, bars, *meters),
    ]
