"""One session file for a whole export, with every stem at its place.

It is replaced as long as it is what was written here. One that the user has opened and saved is
theirs: it is never written again.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bridge.daw import ardour
from bridge.daw.files import put
from bridge.daw.formats import find
from bridge.daw.partial import write_what_fits
from bridge.daw.session import from_manifest, join
from bridge.errors import OutputBlocked, OutputError, SessionDefect, SessionError, UsageError
from bridge.publish.output_names import legal_name
from bridge.publish.session_ownership import is_unmodified, sha256
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bridge.batch.outcome import Outcome
    from bridge.daw.session import Session

# Beside the session files; hidden, as it is of no use to anybody else.
RECORD = ".stembridge-sessions.json"


@dataclass(frozen=True)
class SessionFile:
    """A session file.

    Attributes:
        is_new: whether it was written now; else `why` says why not.
        is_failure: whether that is because it cannot be, and not because it need not or may not.
        left_out: a line for each bounce, clip and marker that is not in it, with the reason.
        traceback: of a defect of ours; empty where there is none.
    """

    path: Path
    is_new: bool
    why: str = ""
    is_failure: bool = False
    left_out: tuple[str, ...] = ()
    traceback: str = ""


@dataclass(frozen=True)
class _Record:
    """What was written last: hashes of the file and of all that it is made from, `left_out`."""

    sha256: str
    made_from: str
    left_out: tuple[str, ...] = ()


def check_formats(formats: Sequence[str]) -> None:
    """Raises UsageError for a format that is unknown, not to be written here, or holds one bounce.

    To be asked before hours of work.
    """
    for name in formats:
        try:
            chosen = find(name)
        except SessionError as error:
            raise UsageError(f"--session: {error}") from None
        if not chosen.joins:
            raise UsageError(f"--session {name}: such a file holds one bounce; choose another")
        reason = chosen.missing()
        if reason:
            raise UsageError(f"--session {name}: {reason}")


def write_sessions(
    formats: Sequence[str], found: Iterable[Outcome], out_dir: Path, name: str
) -> tuple[SessionFile, ...]:
    """Writes what has changed, one file for each format and sample rate, into the output folder.

    name: of the session. A bounce that no session can hold is left out of all of them, a clip that
    a format cannot hold is left out of that file, and a file that cannot be written costs the
    others nothing. Raises OutputBlocked.
    """
    sessions, refused = _gather(found, out_dir)
    written: list[SessionFile] = []
    for session in join(name, sessions):
        for format_name in formats:
            one = _put(format_name, session, out_dir)
            written.append(replace(one, left_out=(*refused, *one.left_out)))
    if refused and not sessions:
        places = (find(one).place(out_dir, legal_name(name)) for one in formats)
        why = "no bounce can be in it"
        written += [SessionFile(place, False, why, True, refused) for place in places]
    return tuple(written)


def _gather(found: Iterable[Outcome], out_dir: Path) -> tuple[list[Session], tuple[str, ...]]:
    """The sessions of all stem sets, and a line for each set that cannot be one."""
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
    """The session of one stem set, its tracks called as its folder is: no two are alike."""
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
    """Writes a session file unless it is there already, or is one that the user has saved.

    Parts that its format cannot hold are left out. Raises SessionError, OutputError.
    """
    path = _path(format_name, session, folder)
    made_from = hashlib.sha256(repr(session).encode("utf-8", "surrogatepass")).hexdigest()
    record = _read(folder / RECORD)
    ours = record.get(path.name)
    with disk_errors(path):
        if not is_unmodified(path, () if ours is None else (ours.sha256,)):
            why = "somebody has saved it since; move it away to have a new one"
            return SessionFile(path, False, why)
        if ours is not None and ours.made_from == made_from and path.exists():
            return SessionFile(path, False, "nothing has changed", left_out=ours.left_out)
    _, left_out = write_what_fits(format_name, session, folder, legal_name(session.name))
    with disk_errors(path):
        record[path.name] = _Record(sha256(path), made_from, left_out)
    _write(folder / RECORD, record)
    return SessionFile(path, True, left_out=left_out)


def _path(format_name: str, session: Session, folder: Path) -> Path:
    """What is to be opened, and is hashed."""
    place = find(format_name).place(folder, legal_name(session.name))
    return ardour.session_file(place) if format_name == "ardour" else place


def _read(path: Path) -> dict[str, _Record]:
    """Without it, or when it is damaged, every file counts as the user's."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _ours(facts) for name, facts in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _ours(facts: dict[str, Any]) -> _Record:
    return _Record(**{**facts, "left_out": tuple(map(str, facts.get("left_out", ())))})


def _write(path: Path, record: dict[str, _Record]) -> None:
    files = {name: asdict(record[name]) for name in sorted(record)}
    put(path, json.dumps({"files": files}, indent=2).encode("ascii") + b"\n")
