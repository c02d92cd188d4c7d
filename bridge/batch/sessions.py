"""Session files for a whole export, with all stems at their time references.

A session file is updated only while its content is what was written here: one that the user has
saved is never overwritten.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bridge.daw import ardour
from bridge.daw.files import write_file
from bridge.daw.formats import find_format
from bridge.daw.partial import write_what_fits
from bridge.daw.session import from_manifest, merge_sessions
from bridge.errors import OutputBlocked, OutputError, SessionDefect, SessionError, UsageError
from bridge.publish.output_names import legal_name
from bridge.publish.session_ownership import is_unmodified, sha256
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bridge.batch.outcome import Outcome
    from bridge.daw.session import Session

# Hidden file beside the session files, with their hashes.
RECORD = ".stembridge-sessions.json"


@dataclass(frozen=True)
class SessionFile:
    """Result of writing one session file.

    Attributes:
        path: the file.
        is_new: whether it was written now.
        why: reason for not writing it; empty if it was written.
        is_failure: whether writing failed, as opposed to being unnecessary or not allowed.
        left_out: one line per omitted bounce, clip and marker, with the reason.
        traceback: of an internal error, else empty.
    """

    path: Path
    is_new: bool
    why: str = ""
    is_failure: bool = False
    left_out: tuple[str, ...] = ()
    traceback: str = ""


@dataclass(frozen=True)
class _Record:
    """Last written state: hashes of the file and of its session, and the omitted parts."""

    sha256: str
    made_from: str
    left_out: tuple[str, ...] = ()


def check_formats(formats: Sequence[str]) -> None:
    """Raise UsageError for a format that is unknown, not available, or limited to one bounce."""
    for name in formats:
        try:
            chosen = find_format(name)
        except SessionError as error:
            raise UsageError(f"--session: {error}") from None
        if not chosen.joins:
            raise UsageError(f"--session {name}: this format holds only one bounce; choose another")
        reason = chosen.missing()
        if reason:
            raise UsageError(f"--session {name}: {reason}")


def write_sessions(
    formats: Sequence[str], found: Iterable[Outcome], out_dir: Path, name: str
) -> tuple[SessionFile, ...]:
    """Write changed session files, one per format and sample rate, into the output folder.

    Bounces that no session can hold are omitted from all files, clips that a format cannot hold
    from its file; a file that cannot be written does not affect the others.

    Args:
        formats: names of session formats.
        found: outcomes of the batch.
        out_dir: output folder.
        name: of the session.

    Raises:
        OutputBlocked: the disk is full, or cannot be written.
    """
    sessions, refused = _gather(found, out_dir)
    written: list[SessionFile] = []
    for session in merge_sessions(name, sessions):
        for format_name in formats:
            one = _put(format_name, session, out_dir)
            written.append(replace(one, left_out=(*refused, *one.left_out)))
    if refused and not sessions:
        places = (find_format(one).place(out_dir, legal_name(name)) for one in formats)
        why = "it cannot hold any of the bounces"
        written += [SessionFile(place, False, why, True, refused) for place in places]
    return tuple(written)


def _gather(found: Iterable[Outcome], out_dir: Path) -> tuple[list[Session], tuple[str, ...]]:
    """Sessions of all stem sets, and one line per set without a session."""
    sessions, refused = [], []
    for one in found:
        try:
            session = session_of(one, out_dir)
        except SessionError as error:
            refused.append(f"{one.source}: {error}")
        else:
            sessions += [] if session is None else [session]
    return sessions, tuple(refused)


def session_of(outcome: Outcome, out_dir: Path) -> Session | None:
    """The session of one stem set, with tracks named after its folder, so that names differ."""
    if outcome.manifest is None or outcome.folder is None:
        return None
    session = from_manifest(outcome.manifest.to_json(), outcome.folder)
    name = " - ".join(outcome.folder.relative_to(out_dir).parts)
    bounce, stems = session.tracks
    return replace(
        session, tracks=(replace(bounce, name=name), replace(stems, name=f"{name} stems"))
    )


def _put(format_name: str, session: Session, folder: Path) -> SessionFile:
    try:
        return write_session(format_name, session, folder)
    except OutputBlocked:
        raise
    except (SessionError, OutputError) as error:
        lines = traceback.format_exception(error) if isinstance(error, SessionDefect) else ()
        path = _path(format_name, session, folder)
        return SessionFile(path, False, str(error), is_failure=True, traceback="".join(lines))


def write_session(format_name: str, session: Session, folder: Path) -> SessionFile:
    """Write a session file unless it is up to date, or was saved by the user.

    Parts that its format cannot hold are omitted. Raises SessionError, OutputError.
    """
    path = _path(format_name, session, folder)
    made_from = hashlib.sha256(repr(session).encode("utf-8", "surrogatepass")).hexdigest()
    record = _read(folder / RECORD)
    ours = record.get(path.name)
    with disk_errors(path):
        if not is_unmodified(path, () if ours is None else (ours.sha256,)):
            why = "it was saved by another program; move it away to get a new one"
            return SessionFile(path, False, why)
        if ours is not None and ours.made_from == made_from and path.exists():
            return SessionFile(path, False, "unchanged", left_out=ours.left_out)
    _, left_out = write_what_fits(format_name, session, folder, legal_name(session.name))
    with disk_errors(path):
        record[path.name] = _Record(sha256(path), made_from, left_out)
    _write(folder / RECORD, record)
    return SessionFile(path, True, left_out=left_out)


def _path(format_name: str, session: Session, folder: Path) -> Path:
    """The file that is opened in the DAW, and hashed."""
    place = find_format(format_name).place(folder, legal_name(session.name))
    return ardour.session_file(place) if format_name == "ardour" else place


def _read(path: Path) -> dict[str, _Record]:
    """The records by file name; empty if missing or damaged: all files count as the user's."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _ours(facts) for name, facts in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _ours(facts: dict[str, Any]) -> _Record:
    return _Record(**{**facts, "left_out": tuple(map(str, facts.get("left_out", ())))})


def _write(path: Path, record: dict[str, _Record]) -> None:
    files = {name: asdict(record[name]) for name in sorted(record)}
    write_file(path, json.dumps({"files": files}, indent=2).encode("ascii") + b"\n")
