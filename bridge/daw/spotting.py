"""Table (CSV) of the positions of all clips, for spotting by hand in any DAW."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from bridge.daw.files import write_file
from bridge.daw.text import cell_path, encodable, encoded, relative, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.daw.session import Session

SUFFIX = ".spotting.csv"

FPS = 25
"""Pictures per second of the timecode column (EBU); the other columns do not depend on it."""

COLUMNS = (
    *("track", "clip", "file", "rate_hz", "channels", "muted"),
    *("time_reference_frames", "start_s", f"start_timecode_{FPS}fps"),
    *("length_frames", "length_s", "end_frames", "offset_frames"),
)


def write(session: Session, path: Path, folder: Path | None = None) -> None:
    """Write the table in UTF-8; files are named relative to `folder`, by default its own.

    A time reference is in frames since midnight and equals the position in the session. The last
    part of the timecode is in hundredths of a picture. Raises SessionError for an unencodable file
    name, and OutputError.
    """
    rate = session.rate_hz
    out = io.StringIO(newline="")
    table = csv.writer(out)  # as RFC 4180 has it: with CRLF, so that either in a name is quoted
    table.writerow(COLUMNS)
    for track in session.walk():
        for clip in track.clips:
            table.writerow(
                (
                    *(_text(track.name), _text(clip.name)),
                    cell_path(relative(clip.file.path, folder or path.parent)),
                    *(rate, clip.file.channels, "yes" if track.muted else "no"),
                    *(clip.start_frames, seconds(clip.start_frames, rate)),
                    timecode(clip.start_frames, rate),
                    *(clip.length_frames, seconds(clip.length_frames, rate)),
                    *(clip.end_frames, clip.offset_frames),
                )
            )
    write_file(path, encoded(out.getvalue()))


def _text(name: str) -> str:
    """Name as a cell, without NUL, at which some readers end the table."""
    return encodable(name).replace("\0", " ")


def timecode(frames: int, rate_hz: int) -> str:
    """Format a position as HH:MM:SS:PP.hh, the hundredths of a picture rounded down."""
    hundredths = frames * FPS * 100 // rate_hz
    pictures, hundredths = divmod(hundredths, 100)
    whole_s, picture = divmod(pictures, FPS)
    minutes, second = divmod(whole_s, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}:{picture:02}.{hundredths:02}"
