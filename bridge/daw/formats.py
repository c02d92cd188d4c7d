"""Registry of session formats: their file names and requirements."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge.daw import aaf, ardour, dawproject, m3u8, reaper, spotting, stem_mp4
from bridge.errors import OutputError, SessionDefect, SessionError, StembridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bridge.daw.session import Session


@dataclass(frozen=True)
class SessionFormat:
    """Format of session files.

    Attributes:
        suffix: of its file name.
        joins: whether it can hold more than one bounce.
        write: write(session, path, folder), see its module; `folder` is where the file will lie.
        missing: missing() returns why it cannot be written here, or None.
    """

    name: str
    summary: str
    suffix: str
    write: Callable[[Session, Path, Path], None]
    joins: bool = True
    missing: Callable[[], str | None] = lambda: None

    def place(self, folder: Path, name: str) -> Path:
        """Return the path of the session `name` in `folder`; `name` must be a legal file name."""
        return folder / f"{name}{self.suffix}"


def _absolute(write: Callable[[Session, Path], None]) -> Callable[[Session, Path, Path], None]:
    """Adapt the writer of a format that names files by absolute paths, or not at all."""
    return lambda session, path, _folder: write(session, path)


FORMATS: Mapping[str, SessionFormat] = MappingProxyType(
    {
        one.name: one
        for one in (
            SessionFormat("reaper", "REAPER project", reaper.SUFFIX, reaper.write),
            SessionFormat(
                "dawproject",
                "DAWproject: Bitwig Studio, Studio One, Cubase",
                dawproject.SUFFIX,
                dawproject.write,
            ),
            SessionFormat(
                "ardour", "Ardour session, a folder", ardour.SUFFIX, _absolute(ardour.write)
            ),
            SessionFormat(
                "aaf",
                "AAF: Pro Tools, Logic, Nuendo",
                aaf.SUFFIX,
                _absolute(aaf.write),
                missing=aaf.missing,
            ),
            SessionFormat(
                "stem-mp4",
                "stem file: Traktor, Mixxx",
                stem_mp4.SUFFIX,
                _absolute(stem_mp4.write),
                joins=False,
            ),
            SessionFormat("m3u8", "playlist of the files", m3u8.SUFFIX, m3u8.write),
            SessionFormat(
                "csv", "table of the places, for spotting", spotting.SUFFIX, spotting.write
            ),
        )
    }
)


def find_format(name: str) -> SessionFormat:
    """Return the format of that name. Raises SessionError with a suggestion for an unknown one."""
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, FORMATS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}"
    raise SessionError(f"unknown session format {name!r}; {hint}")


def write_session(
    name: str, session: Session, folder: Path, file_name: str, *, stays_in: Path | None = None
) -> Path:
    """Write one session file and return the path to open.

    Paths in it are relative to the folder where it will stay, or absolute (Ardour, AAF).

    Args:
        name: of the format.
        session: to write.
        folder: to write it to: where the stems lie, or above several of them.
        file_name: legal as a file name, without suffix.
        stays_in: the folder into which it is moved afterwards, if any.

    Raises:
        SessionError: the format is unknown, cannot be written here or cannot hold this session;
            SessionDefect for an unexpected exception of its writer.
        OutputError: the system refused.
    """
    chosen = find_format(name)
    reason = chosen.missing()
    if reason:
        raise SessionError(f"{chosen.summary}: {reason}")
    path = chosen.place(folder.absolute(), file_name)
    try:
        chosen.write(session, path, (stays_in or folder).absolute())
    except (SessionError, OutputError):
        raise
    except StembridgeError as error:  # of a file whose header a writer reads
        raise SessionError(str(error)) from error
    except Exception as error:
        raise SessionDefect(
            f"internal error: {type(error).__name__}: {error}; please report it"
        ) from error
    return ardour.session_file(path) if chosen.name == "ardour" else path
