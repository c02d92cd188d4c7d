"""Checks of the files and folders on the command line, before any work begins."""

from __future__ import annotations

import os
import stat
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from bridge.errors import NotAudio, OutputError, StembridgeError, UnsupportedBounce, UsageError

if TYPE_CHECKING:
    from pathlib import Path

# Similarity for a suggestion (difflib ratio): names with one or two typing errors.
_SIMILARITY = 0.8
_MOST_NAMES = 1000  # files of a folder that are compared for a suggestion


def check_sound_file(file: Path) -> None:
    """Raise UsageError unless the file exists; the message suggests a similar name."""
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        if file.is_symlink():
            raise UsageError(f"a link to {file.readlink()}, which does not exist") from None
        near = _near(file)
        raise UsageError(f"there is no such file; {near or 'check the path'}") from None
    except OSError as error:
        text = f"cannot be read ({error.strerror}); check the path and its permissions"
        raise UsageError(text) from None
    if stat.S_ISDIR(status.st_mode):
        text = f"a folder; name its files, or convert all with `stembridge batch '{file}'`"
        raise UsageError(text)


def check_out(out: Path | None) -> None:
    """Raise UsageError if the output folder exists as, or lies below, a file."""
    if out is None:
        return
    place = out.absolute()
    # Unlike Path.exists, lexists is False instead of raising for an unreadable folder.
    nearest = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not os.path.isdir(nearest):  # noqa: PTH112
        raise UsageError(f"--out {out}: {nearest} is not a folder; name another")


def error_text(file: Path, error: StembridgeError) -> str:
    """Error text for a file, for commands that process it once.

    Names the format by its suffix where that is known: it is more specific than the first bytes.
    """
    from bridge.intake.not_read import FORMATS
    from bridge.intake.scan import is_bounce_name

    suffix = file.suffix.lower()
    if isinstance(error, NotAudio | UnsupportedBounce) and suffix in FORMATS:
        known = FORMATS[suffix]
        if not is_bounce_name(f"x{suffix}"):
            return f"not read: {known.name}; {known.advice}"
    if isinstance(error, OutputError):
        return str(error).replace("then `stembridge retry`", "then try again")
    return str(error)


def _near(file: Path) -> str | None:
    try:
        names = [path.name for path in islice(file.parent.iterdir(), _MOST_NAMES)]
    except OSError:
        return None
    folded = {name.casefold(): name for name in names}
    found = get_close_matches(file.name.casefold(), folded, n=1, cutoff=_SIMILARITY)
    return f"did you mean '{folded[found[0]]}'?" if found else None
