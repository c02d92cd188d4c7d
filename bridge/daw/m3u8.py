"""Playlist of every file of a session (extended M3U in UTF-8), for players and drag and drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.daw.files import write_file
from bridge.daw.text import encoded, line_path, one_line, relative, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.daw.session import Session

SUFFIX = ".m3u8"


def write(session: Session, path: Path, folder: Path | None = None) -> None:
    """Write the playlist; files are named relative to `folder`, by default its own.

    Raises SessionError for a file name that the format cannot hold, and OutputError.
    """
    lines = ["#EXTM3U", f"#PLAYLIST:{one_line(session.name)}"]
    for clip in session.clips:
        name = line_path(relative(clip.file.path, folder or path.parent))
        lines.append(f"#EXTINF:{seconds(clip.length_frames, session.rate_hz)},{_title(clip.name)}")
        # A line that begins with "#" is a comment, and blanks at either end may be taken away.
        lines.append(name if name.startswith(("/", "../")) or ":" in name[:3] else f"./{name}")
    write_file(path, encoded("\n".join(lines) + "\n"))


def _title(name: str) -> str:
    return one_line(name).strip()
