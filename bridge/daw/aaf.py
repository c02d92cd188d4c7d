"""AAF (Advanced Authoring Format) for Pro Tools, Logic, Nuendo and others, by pyaaf2.

Audio is linked, not embedded. By the AAF Edit Protocol a sound slot is mono: a stem of several
channels gets a slot for each. An AAF has no muted tracks, so muted ones are left out: with the
stems they would sound twice. The bytes hold no date, and ids follow from the content.
"""

from __future__ import annotations

import datetime
import importlib.util
import itertools
import struct
from typing import TYPE_CHECKING, Any

from bridge import __version__
from bridge.audio.chunks import open_bounce, read_chunk, read_layout
from bridge.daw.files import new_file
from bridge.daw.text import guid, xml_name
from bridge.errors import BounceError, SessionError

if TYPE_CHECKING:
    import uuid
    from pathlib import Path

    from bridge.daw.session import Clip, Session, SoundFile, Track

SUFFIX = ".aaf"

_NO_DATE = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - the format's dates have no zone
_PRODUCT = "Stembridge"
_TIMECODE_FPS = 25  # of the clock that begins at 0 with the session; positions are in frames
# SMPTE ST 330: the label of a basic UMID whose material number is a UUID.
_UMID_LABEL = bytes.fromhex("060a2b340101010501010f2013000000")
_LAST_POSITION = 2**63 - 1  # Int64 (AAF Object Specification 1.1)
_TEXT_LIMIT = 255  # of what some readers keep of a name


def write(session: Session, path: Path) -> None:
    """Write the AAF. The files must lie where the session states: their headers are copied into it.

    Raises:
        SessionError: pyaaf2 is not installed; gains and overlapping clips, which this writer does
            not support; positions and rates out of the format's range; or a file that is no WAV or
            has an unencodable name.
        BounceError: the header of a file cannot be read.
        OutputError: the system refused.
    """
    reason = missing()
    if reason:
        raise SessionError(f"an AAF {reason}")
    import aaf2

    tracks = [track for track in _audible(session.tracks) if track.clips]
    _check(tracks)
    session.check_reach(_LAST_POSITION, "an AAF")
    with new_file(path) as temporary, aaf2.open(str(temporary), "w") as file:
        _sign(file, session)
        _Writer(file, session).compose(tracks)


def missing() -> str | None:
    """Return why no AAF can be written in this environment; None if one can."""
    if importlib.util.find_spec("aaf2"):
        return None
    return "needs pyaaf2: install stembridge[aaf]"


def _audible(tracks: tuple[Track, ...]) -> list[Track]:
    """Tracks that are neither muted nor in a muted folder."""
    found = []
    for track in tracks:
        if not track.muted:
            found += [track, *_audible(track.children)]
    return found


def _check(tracks: list[Track]) -> None:
    for track in tracks:
        if track.gain_db or any(clip.gain_db for clip in track.clips):
            raise SessionError(f"{track.name!r}: an AAF of this program holds no gains; set 0 dB")
        ordered = sorted(track.clips, key=lambda clip: clip.start_frames)
        if any(a.end_frames > b.start_frames for a, b in itertools.pairwise(ordered)):
            raise SessionError(f"{track.name!r}: its clips overlap, which an AAF cannot hold")


def _sign(file: Any, session: Session) -> None:
    """Write the identification, over pyaaf2's own, which holds a clock and random numbers."""
    (identification,) = file.header["IdentificationList"].value
    identification["ProductName"].value = _PRODUCT
    identification["CompanyName"].value = _PRODUCT
    identification["ProductVersionString"].value = __version__
    identification["ProductID"].value = _auid(guid(_PRODUCT))
    identification["Date"].value = _NO_DATE
    identification["Platform"].value = ""
    identification["GenerationAUID"].value = _auid(guid("generation", session.name))
    file.header["LastModified"].value = _NO_DATE


def _auid(value: uuid.UUID) -> Any:
    from aaf2.auid import AUID

    return AUID(str(value))


class _Writer:
    """Builder of the mobs: one per file, one for the material in it, one for the session."""

    def __init__(self, file: Any, session: Session) -> None:
        self._file = file
        self._session = session
        self._materials: dict[SoundFile, Any] = {}

    def compose(self, tracks: list[Track]) -> None:
        """Build the session's mob."""
        top = self._mob("CompositionMob", self._session.name, "session")
        top.usage = "Usage_TopLevel"
        clock = top.create_timeline_slot(_TIMECODE_FPS)
        clock.name = "Timecode"
        clock.segment = self._file.create.Timecode(_TIMECODE_FPS)
        for track in tracks:
            channels = max(clip.file.channels for clip in track.clips)
            for channel in range(channels):
                slot = top.create_sound_slot(self._session.rate_hz)
                mono = _text(track.name)
                slot.name = mono if channels == 1 else f"{mono} {channel + 1}"
                slot["PhysicalTrackNumber"].value = channel + 1
                self._fill(slot.segment, track, channel)
        self._mark(top)

    def _fill(self, sequence: Any, track: Track, channel: int) -> None:
        """Add the clips of one channel, with silence between them."""
        at_frames = 0
        for clip in sorted(track.clips, key=lambda one: one.start_frames):
            if clip.start_frames > at_frames:
                gap = clip.start_frames - at_frames
                sequence.components.append(self._file.create.Filler("sound", gap))
            sequence.components.append(self._clip(clip, channel))
            at_frames = clip.end_frames
        sequence.length = at_frames

    def _clip(self, clip: Clip, channel: int) -> Any:
        material = self._materials.get(clip.file)
        if material is None:
            material = self._materials[clip.file] = self._material(clip)
        if channel >= clip.file.channels:
            return self._file.create.Filler("sound", clip.length_frames)
        slot_id = channel + 1
        return material.create_source_clip(
            slot_id, clip.offset_frames, clip.length_frames, media_kind="sound"
        )

    def _material(self, clip: Clip) -> Any:
        """Build the file's mob, and the material mob that clips refer to."""
        rate, frames = self._session.rate_hz, clip.file.frames
        source = self._mob("SourceMob", clip.file.path.name, "file", clip.file.path)
        source.descriptor = self._descriptor(clip.file)
        material = self._mob("MasterMob", clip.name, "material", clip.file.path)
        for channel in range(1, clip.file.channels + 1):
            slot = source.create_empty_slot(rate, "sound", channel)
            slot.segment.length = frames
            slot["PhysicalTrackNumber"].value = channel
            seen = material.create_timeline_slot(rate, channel)
            seen.segment = source.create_source_clip(channel, 0, frames, media_kind="sound")
            seen["PhysicalTrackNumber"].value = channel
        return material

    def _descriptor(self, file: SoundFile) -> Any:
        locator = self._file.create.NetworkLocator()
        locator["URLString"].value = _url(file.path)
        made = self._file.create.WAVEDescriptor()
        made["SampleRate"].value = self._session.rate_hz
        made["Length"].value = file.frames
        made["Summary"].value = bytearray(_summary(file.current_path))
        made["ContainerFormat"].value = self._file.dictionary.lookup_containerdef("AAF")
        made["Locator"].append(locator)
        return made

    def _mark(self, top: Any) -> None:
        """Add the session's markers, in a slot of their own."""
        if not self._session.markers:
            return
        create = self._file.create
        sequence = create.Sequence("DescriptiveMetadata")
        for marker in self._session.markers:
            event = create.DescriptiveMarker()
            event.media_kind = "DescriptiveMetadata"
            event["Position"].value = marker.position_frames
            event["Comment"].value = _text(marker.name)
            event["DescribedSlots"].value = [2]  # the first sound slot, behind the timecode
            sequence.components.append(event)
        slot = create.EventMobSlot(len(list(top.slots)) + 1, "Markers", sequence)
        slot.edit_rate = self._session.rate_hz
        slot["PhysicalTrackNumber"].value = 1
        top.slots.append(slot)

    def _mob(self, kind: str, name: str, *content: object) -> Any:
        from aaf2.mobid import MobID

        mob = getattr(self._file.create, kind)(_text(name))
        number = guid(self._session.name, *content)
        mob.mob_id = MobID(bytes_le=_UMID_LABEL + number.bytes_le)
        mob["CreationTime"].value = _NO_DATE
        mob["LastModified"].value = _NO_DATE
        self._file.content.mobs.append(mob)
        return mob


def _text(name: str) -> str:
    """Name without characters that XML, and so UTF-16, cannot hold."""
    return xml_name(name)[:_TEXT_LIMIT]


def _url(path: Path) -> str:
    try:
        return path.as_uri()
    except UnicodeEncodeError:
        raise SessionError(
            f"{str(path)!r}: an AAF cannot hold that name; rename the file"
        ) from None


def _summary(path: Path) -> bytes:
    """Head of a WAV: RIFF and the fmt chunk."""
    no_wav = SessionError(f"{path.name}: an AAF links to plain WAV files; choose WAV as the target")
    try:
        layout = read_layout(path)
    except BounceError:
        raise no_wav from None
    ref = layout.find(b"fmt ")
    if ref is None or layout.byte_order == "big":
        raise no_wav
    with open_bounce(path) as file:
        fmt = read_chunk(file, ref)
    size = min(layout.claimed_bytes, 0xFFFFFFFF)  # a larger one is in ds64, which has no place here
    return struct.pack("<4sI8sI", b"RIFF", size, b"WAVEfmt ", len(fmt)) + fmt
