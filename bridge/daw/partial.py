"""Session files without the clips and markers that their format cannot hold."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.daw.formats import find_format, write_session
from bridge.errors import SessionDefect, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.daw.session import Marker, Session, Track

    Attempt = Callable[[Session], object]


def write_what_fits(
    name: str, session: Session, folder: Path, file_name: str, *, stays_in: Path | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Write one session file, without clips and markers that its format cannot hold.

    A format that holds one bounce is written whole or not at all.

    Args: as of `bridge.daw.formats.write_session`.

    Returns:
        The path to open, and a line for each part that was left out, with its reason.

    Raises:
        SessionError: it cannot be written whole, and no single part is the cause or nothing would
            play.
        OutputError: the system refused.
    """
    try:
        return write_session(name, session, folder, file_name, stays_in=stays_in), ()
    except SessionError as error:
        whole = error
    if (
        isinstance(whole, SessionDefect)
        or not find_format(name).joins
        or find_format(name).missing()
    ):
        raise whole
    with tempfile.TemporaryDirectory(prefix="stembridge-session-") as place:

        def attempt(part: Session) -> None:
            write_session(name, part, Path(place), "part", stays_in=stays_in or folder)

        kept, left_out = without_unsupported(session, attempt)
    if not left_out or not any(map(_plays, kept.tracks)):
        raise whole
    return write_session(name, kept, folder, file_name, stays_in=stays_in), left_out


def without_unsupported(session: Session, attempt: Attempt) -> tuple[Session, tuple[str, ...]]:
    """Remove the clips and markers that `attempt` rejects with SessionError, each tested alone.

    Returns the rest and the reasons.
    """
    bare = replace(session, tracks=(), markers=(), tempos=())
    odd: dict[int, str] = {}
    for track in session.walk():
        for clip in track.clips:
            alone = replace(track, clips=(clip,), children=())
            reason = _refusal(replace(bare, tracks=(alone,)), attempt)
            if reason is not None:
                name = clip.file.path.name
                odd[id(clip)] = reason if reason.startswith(f"{name}: ") else f"{name}: {reason}"
    markers = _fitting_markers(bare, session.markers, attempt, odd)
    tracks = tuple(_without(track, odd) for track in session.tracks)
    return replace(session, tracks=tracks, markers=markers), tuple(odd.values())


def _fitting_markers(
    bare: Session, markers: tuple[Marker, ...], attempt: Attempt, odd: dict[int, str]
) -> tuple[Marker, ...]:
    """Markers that the format can hold, tested together first: thousands are usual.

    Adds the reasons for the others to `odd`.
    """
    if _refusal(replace(bare, markers=markers), attempt) is None:
        return markers
    for marker in markers:
        reason = _refusal(replace(bare, markers=(marker,)), attempt)
        if reason is not None:
            odd[id(marker)] = f"marker {marker.name!r}: {reason}"
    return tuple(marker for marker in markers if id(marker) not in odd)


def _plays(track: Track) -> bool:
    """Whether it has an audible clip: a session of muted ones is useless."""
    return not track.muted and (bool(track.clips) or any(map(_plays, track.children)))


def _refusal(part: Session, attempt: Attempt) -> str | None:
    try:
        attempt(part)
    except SessionError as error:
        return str(error)
    return None


def _without(track: Track, odd: dict[int, str]) -> Track:
    """Track without its rejected clips; kept by name even if it is empty then."""
    clips = tuple(clip for clip in track.clips if id(clip) not in odd)
    children = tuple(_without(child, odd) for child in track.children)
    return replace(track, clips=clips, children=children)
