"""One session file for a whole export, with every stem at its place.

It is replaced as long as it is what was written here. One that the user has opened and saved is
theirs: it is never written again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from bridge.daw import ardour
from bridge.daw.files import put
from bridge.daw.formats import find, write_session
from bridge.daw.session import from_manifest, join
from bridge.disk import disk_errors
from bridge.errors import SessionError, UsageError
from bridge.intake.names import legal_name
from bridge.kept import is_ours, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bridge.batch.outcome import Outcome
    from bridge.daw.session import Session

# Beside the session files; hidden, as it is of no use to anybody else.
RECORD = ".stembridge-sessions.json"


@dataclass(frozen=True)
class Written:
    """A session file. is_new: whether it was written now; else `why` says why not.

    is_failure: whether that is because it cannot be, and not because it need not or may not.
    """

    path: Path
    is_new: bool
    why: str = ""
    is_failure: bool = False


@dataclass(frozen=True)
class _Ours:
    """What was written last: hashes of the file, and of all that it is made from."""

    sha256: str
    made_from: str


def check_formats(formats: Sequence[str]) -> None:
    """Raises UsageError for a format that is unknown, not to be written here, or holds one bounce.

    To be asked before hours of work.
    """
    for name in formats:
        try:
            chosen = find(name)
        except SessionError as error:
            raise UsageError(f"--session: {error}") from None
        reason = chosen.missing()
        if reason:
            raise UsageError(f"--session {name}: {reason}")
        if not chosen.joins:
            raise UsageError(f"--session {name}: such a file holds one bounce; choose another")


def write_sessions(
    formats: Sequence[str], found: Iterable[Outcome], out_dir: Path, name: str
) -> tuple[Written, ...]:
    """Writes what has changed, one file for each format and sample rate, into the output folder.

    name: of the session. One that its format cannot hold costs the others nothing. Raises
    OutputError.
    """
    written: list[Written] = []
    joined = join(name, (session for one in found if (session := session_of(one, out_dir))))
    for session in joined:
        written += [_put(format_name, session, out_dir) for format_name in formats]
    return tuple(written)


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


def _put(format_name: str, session: Session, folder: Path) -> Written:
    try:
        return put_session(format_name, session, folder)
    except SessionError as error:
        return Written(_path(format_name, session, folder), False, str(error), is_failure=True)


def put_session(format_name: str, session: Session, folder: Path) -> Written:
    """Writes a session file unless it is there already, or is one that the user has saved.

    Raises SessionError, OutputError.
    """
    path = _path(format_name, session, folder)
    made_from = hashlib.sha256(repr(session).encode("utf-8", "surrogatepass")).hexdigest()
    record = _read(folder / RECORD)
    ours = record.get(path.name)
    with disk_errors(path):
        if not is_ours(path, () if ours is None else (ours.sha256,)):
            why = "somebody has saved it since; move it away to have a new one"
            return Written(path, False, why)
        if ours is not None and ours.made_from == made_from and path.exists():
            return Written(path, False, "nothing has changed")
    write_session(format_name, session, folder, legal_name(session.name))
    with disk_errors(path):
        record[path.name] = _Ours(sha256(path), made_from)
    _write(folder / RECORD, record)
    return Written(path, True)


def _path(format_name: str, session: Session, folder: Path) -> Path:
    """What is to be opened, and is hashed."""
    place = find(format_name).place(folder, legal_name(session.name))
    return ardour.session_file(place) if format_name == "ardour" else place


def _read(path: Path) -> dict[str, _Ours]:
    """Without it, or when it is damaged, every file counts as the user's."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _Ours(**facts) for name, facts in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, record: dict[str, _Ours]) -> None:
    files = {name: asdict(record[name]) for name in sorted(record)}
    put(path, json.dumps({"files": files}, indent=2).encode("ascii") + b"\n")
