"""Output folder names: legal on every system, unique for each bounce, and stable. Pure."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set

# Limit of one name on ext4, APFS, NTFS (there in UTF-16 units, never more than the bytes) and SMB.
_MAX_NAME_BYTES = 255
# The longest stem file is "<bounce> - accompaniment.wav"; a temporary name may add a suffix to it.
_LONGEST_ENDING_BYTES = len(" - accompaniment.wav")
_TEMPORARY_ENDING_BYTES = 16
MAX_BOUNCE_BYTES = _MAX_NAME_BYTES - _LONGEST_ENDING_BYTES - _TEMPORARY_ENDING_BYTES
# With its dash. A name in a preset has 64 characters at most, which can be 256 bytes.
_MAX_STEM_BYTES = 100

# Of a suffix that distinguishes bounces, as in "song (flac)"; audio formats have no longer one.
_MAX_KIND_CHARACTERS = 8

# Windows forbids them; "/" separates everywhere, ":" on classic macOS.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
# Device names of Windows, with any extension.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]) *(\.|$)", re.IGNORECASE
)
# Control characters, line and paragraph separators: they break listings.
_CONTROL_CATEGORIES = frozenset({"Cc", "Zl", "Zp"})

_NAMELESS = "untitled"


def output_name(source: PurePath, taken: Mapping[str, str]) -> PurePosixPath:
    """Choose the output folder of a bounce, relative to the folder of all stem sets.

    Sub-folders of the watched folder are mirrored. A bounce that owns a folder gets it again, else
    the first free one of `<bounce>`, `<bounce> (flac)`, `<bounce> (flac 2)` and so on. No folder is
    inside that of another bounce. Names are compared without letter case and Unicode composition,
    as macOS and Windows do.

    Args:
        source: the bounce, relative to its watched folder; absolute if it lies elsewhere, then
            nothing is mirrored.
        taken: output folders in use, with the bounce that owns each (`source.as_posix()`).
    """
    return OutputNames(taken).assign(source)


class OutputNames:
    """`output_name` for many bounces in turn; each name assigned is in use from then on."""

    def __init__(self, taken: Mapping[str, str]) -> None:
        self._owned = {owner: name for name, owner in taken.items()}  # the last one, if several
        self._used = {collision_key(name) for name in taken}
        self._around = {parent for key in self._used for parent in _ancestors(key)}

    def assign(self, source: PurePath) -> PurePosixPath:
        """Assign the output folder of a bounce, which owns it from then on."""
        owner = source.as_posix()
        if owner not in self._owned:
            name = self._free(source).as_posix()
            key = collision_key(name)
            self._owned[owner] = name
            self._used.add(key)
            self._around.update(_ancestors(key))
        return PurePosixPath(self._owned[owner])

    def is_free(self, name: PurePosixPath) -> bool:
        """Whether a folder is not in use, not above one in use, and not inside one."""
        return _is_free(collision_key(name.as_posix()), self._used, self._around)

    def _free(self, source: PurePath) -> PurePosixPath:
        folder = PurePosixPath()
        for part in _folders(source):
            folder = next(
                path
                for path in (folder / name for name in _numbered(legal_name(part), "folder"))
                if collision_key(path.as_posix()) not in self._used
            )
        return next(
            path for path in (folder / name for name in _leaves(source)) if self.is_free(path)
        )


def stem_file_name(bounce_name: str, stem: str, suffix: str = ".wav") -> str:
    """File name of one stem, `<bounce> - <stem><suffix>`, made legal.

    A long stem name shortens the bounce name. Distinct stems get distinct files, letter case and
    Unicode composition aside.

    Args:
        bounce_name: last part of `output_name`.
        stem: name of the stem.
        suffix: file suffix with its dot.
    """
    # With the dash: a stem named CON needs no change then, as the file name does not begin with it.
    ending = f" {legal_name(f'- {stem}', _MAX_STEM_BYTES)}{suffix}"
    room_bytes = _MAX_NAME_BYTES - _TEMPORARY_ENDING_BYTES - len(ending.encode())
    return legal_name(bounce_name, room_bytes) + ending


def collision_key(name: str) -> str:
    """Key that is equal for names that some file system treats as one (case, composition)."""
    # Decomposed first: folding a composed letter can differ from folding its parts (Unicode 3.13,
    # D146).
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def legal_name(name: str, max_bytes: int = MAX_BOUNCE_BYTES) -> str:
    """Make one part of a path legal on Linux, macOS and Windows, within `max_bytes` of UTF-8.

    The result is composed (NFC). Forbidden characters become "_"; control characters, and dots and
    spaces at either end, are removed. If more is lost (undecodable bytes, length), a hash of `name`
    is appended.
    """
    undecodable = any("\ud800" <= character <= "\udfff" for character in name)
    kept = "".join(
        "_" if "\ud800" <= character <= "\udfff" else character
        for character in name
        if unicodedata.category(character) not in _CONTROL_CATEGORIES
    )
    legal = unicodedata.normalize("NFC", _FORBIDDEN.sub("_", kept)).strip(" .") or _NAMELESS
    if _RESERVED.match(legal):
        legal = f"_{legal}"
    if undecodable or len(legal.encode()) > max_bytes:
        mark = " " + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return _cut(legal, max_bytes - len(mark)) + mark
    return legal


def _cut(name: str, max_bytes: int) -> str:
    """The longest beginning within `max_bytes` of UTF-8 that does not end in a dot or space."""
    return name.encode()[:max_bytes].decode(errors="ignore").rstrip(" .")


def _folders(source: PurePath) -> tuple[str, ...]:
    """Folders to mirror; none for a file outside the watched folder."""
    return () if source.anchor else source.parts[:-1]


def _leaves(source: PurePath) -> Iterator[str]:
    """Candidate names for the folder of one bounce, best first."""
    kind = legal_name(source.suffix[1:].lower())[:_MAX_KIND_CHARACTERS] if source.suffix else "2"
    return _numbered(legal_name(source.stem), kind)


def _numbered(name: str, kind: str) -> Iterator[str]:
    """Yield name, "name (kind)", "name (kind 2)" ... within MAX_BOUNCE_BYTES."""
    yield name
    for number in itertools.count(1):
        ending = f" ({kind})" if number == 1 else f" ({kind} {number})"
        yield legal_name(name, MAX_BOUNCE_BYTES - len(ending.encode())) + ending


def _is_free(key: str, used: Set[str], around: Set[str]) -> bool:
    """Whether the folder is not in use, not above one in use, and not inside one."""
    return key not in used and key not in around and not any(up in used for up in _ancestors(key))


def _ancestors(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
