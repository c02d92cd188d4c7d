"""Mixer of an Ardour session: a master bus and a strip for every track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.daw.text import element, linear

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from bridge.daw.session import Track

MASTER = "Master"

VERSION = 7002
"""Of the session format, as Ardour 7.3 states it."""

_OPAQUE = 0xFF


class IdCounter:
    """Counter of Ardour's ids: numbers, each used once in a session."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> int:
        """Return the next id."""
        self._last += 1
        return self._last


@dataclass(frozen=True)
class PlayingTrack:
    """Track with clips: its ids, and its place from the top."""

    track: Track
    number: int
    playlist: int
    order: int


def colour(track: Track) -> int:
    """Return a track's colour in Ardour's format, 0xRRGGBBAA; 0 leaves it to Ardour."""
    if not track.colour:
        return 0
    return int(track.colour.removeprefix("#"), 16) << 8 | _OPAQUE


def master(ids: IdCounter, width: int) -> Element:
    """Build the master bus, of `width` channels, to the first outputs of the machine."""
    ports = [f"system:playback_{channel}" for channel in range(1, width + 1)]
    strip = {"strict-io": 1, "meter-type": "MeterK20", "meter-point": "MeterOutput"}
    info = {"order": 0, "flags": "MasterOut", "color": 0}
    return element(
        "Route",
        _route(ids.new(), MASTER, strip),
        element("PresentationInfo", info),
        _io(ids, MASTER, "Input", width),
        _io(ids, MASTER, "Output", width, ports),
        *_mute(ids, muted=False),
        *_processors(ids, MASTER, gain_db=0.0, bypass_panner=False),
    )


def track(ids: IdCounter, player: PlayingTrack, width: int) -> Element:
    """Build a track that plays through the master bus of `width` channels.

    A mono track goes to all channels of a wider bus at full level; other channels go one to one.
    """
    one = player.track
    channels = max(one.channels, 1)
    outputs = width if channels == 1 else channels
    ports = [f"{MASTER}/audio_in {channel}" for channel in range(1, outputs + 1)]
    strip = {
        "strict-io": 0,
        "meter-type": "MeterPeak",
        "meter-point": "MeterPostFader",
        "audio-playlist": player.playlist,
        "saved-meter-point": "MeterPostFader",
        "alignment-choice": "Automatic",
        "mode": "Normal",
    }
    info = {"order": player.order, "flags": "AudioTrack,OrderSet", "color": colour(one)}
    disk = {"active": 1, "user-latency": 0, "use-user-latency": 0}
    return element(
        "Route",
        _route(player.number, one.name, strip),
        element("PresentationInfo", info),
        _io(ids, one.name, "Input", channels),
        _io(ids, one.name, "Output", outputs, ports),
        *_mute(ids, muted=one.muted),
        _processor(ids, f"recorder:{one.name}", "diskwriter", {**disk, "record-safe": 0}),
        _processor(ids, f"player:{one.name}", "diskreader", disk),
        # A panner would take 3 dB from what it spreads.
        *_processors(ids, one.name, gain_db=one.gain_db, bypass_panner=outputs != channels),
    )


def _route(number: int, name: str, strip: dict[str, object]) -> dict[str, object]:
    fixed = {"active": 1, "denormal-protection": 0, "disk-io-point": "DiskIOPreFader"}
    head = {"version": VERSION, "id": number, "name": name, "default-type": "audio"}
    return {**head, **fixed, **strip}


def _io(
    ids: IdCounter, name: str, direction: str, channels: int, to: list[str] | None = None
) -> Element:
    port = "audio_in" if direction == "Input" else "audio_out"
    ports = [
        element(
            "Port",
            {"type": "audio", "name": f"{name}/{port} {channel + 1}"},
            *([element("Connection", {"other": to[channel]})] if to else []),
        )
        for channel in range(channels)
    ]
    io = {"name": name, "id": ids.new(), "direction": direction, "default-type": "audio"}
    return element("IO", io, *ports)


def _mute(ids: IdCounter, *, muted: bool) -> list[Element]:
    points = {"mute-point": "PostFader,Listen,Main", "muted": int(muted)}
    switch = {"name": "mute", "id": ids.new(), "flags": "Toggle,RealTime", "value": int(muted)}
    return [element("MuteMaster", points), element("Controllable", switch)]


def _processors(ids: IdCounter, name: str, *, gain_db: float, bypass_panner: bool) -> list[Element]:
    """Fader, meter and output."""
    fader = {
        "name": "gaincontrol",
        "id": ids.new(),
        "flags": "GainLike",
        "value": linear(gain_db),
    }
    panner = {"bypassed": int(bypass_panner), "user-panner": "", "linked-to-route": 1}
    outs = {"own-input": 1, "own-output": 0, "output": name, "role": "Main"}
    return [
        _processor(ids, "Amp", "amp", {}, element("Controllable", fader)),
        _processor(ids, f"meter-{name}", "meter", {}),
        _processor(ids, name, "main-outs", outs, element("PannerShell", panner)),
    ]


def _processor(
    ids: IdCounter, name: str, kind: str, attributes: Mapping[str, object], *children: Element
) -> Element:
    head = {"id": ids.new(), "name": name, "type": kind, "active": 1}
    return element("Processor", {**head, **attributes}, *children)
