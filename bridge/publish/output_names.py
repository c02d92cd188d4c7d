"""Where the stems of a bounce go: a folder that is legal on every system and belongs to one bounce.

Pure. The name follows the bounce's own; two bounces that would share a folder are told apart, and a
name once given stays with its bounce.
"""

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

# A suffix that tells bounces apart, as in "song (flac)"; longer ones are not audio formats.
_MAX_KIND_CHARACTERS = 8

# Windows forbids them; "/" separates everywhere, ":" on classic macOS.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
# Device names of Windows, with any extension.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]) *(\.|$)", re.IGNORECASE
)
# Control characters, line and paragraph separators: no place in a name, and they break listings.
_CONTROL_CATEGORIES = frozenset({"Cc", "Zl", "Zp"})

_NAMELESS = "untitled"


def output_name(source: PurePath, taken: Mapping[str, str]) -> PurePosixPath:
    """The output folder of a bounce, relative to the output directory; mirrors its sub-folders.

    source: the bounce, relative to its watched folder, or absolute when it is not from there; then
    nothing is mirrored. taken: every output folder in use there, as given out, and the bounce that
    owns it (`source.as_posix()`, or an absolute path for one of another folder). They are compared
    without regard to letter case and Unicode composition, as macOS and Windows do.

    A bounce that owns a folder gets it again. Else it gets `<bounce>`, then `<bounce> (flac)`,
    `<bounce> (flac 2)` and so on, whichever is free. No folder is inside another bounce's.
    """
    return OutputNames(taken).assign(source)


class OutputNames:
    """`output_name` for many bounces, one after the other; a name once given is taken."""

    def __init__(self, taken: Mapping[str, str]) -> None:
        self._held = {owner: name for name, owner in taken.items()}  # the last one, if several
        self._used = {collision_key(name) for name in taken}
        self._around = {parent for key in self._used for parent in _ancestors(key)}

    def assign(self, source: PurePath) -> PurePosixPath:
        """The output folder of a bounce, which owns it from now on."""
        owner = source.as_posix()
        if owner not in self._held:
            name = self._free(source).as_posix()
            key = collision_key(name)
            self._held[owner] = name
            self._used.add(key)
            self._around.update(_ancestors(key))
        return PurePosixPath(self._held[owner])

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
    """The file of one stem. bounce_name: the last part of `output_name`. suffix: with its dot.

    A long stem's name is at the cost of the bounce's. Stems that differ in more than letter case
    and composition get files that do.
    """
    # With its dash, so that a stem named CON needs no change: the file does not begin with it.
    ending = f" {legal_name(f'- {stem}', _MAX_STEM_BYTES)}{suffix}"
    room_bytes = _MAX_NAME_BYTES - _TEMPORARY_ENDING_BYTES - len(ending.encode())
    return legal_name(bounce_name, room_bytes) + ending


def collision_key(name: str) -> str:
    """Equal for names that some file system takes for the same (letter case, composition)."""
    # Decomposed first: folding a composed letter can differ from folding its parts (Unicode 3.13,
    # D146).
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def legal_name(name: str, max_bytes: int = MAX_BOUNCE_BYTES) -> str:
    """One part of a path, made legal on Linux, macOS and Windows and at most `max_bytes` of UTF-8.

    Composed (NFC). Forbidden characters become "_", control characters go, so do dots and spaces at
    either end. Where more than that is lost (undecodable bytes, length), a hash of `name` is added.
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
    """Those that are mirrored: none of a file that does not lie in the watched folder."""
    return () if source.anchor else source.parts[:-1]


def _leaves(source: PurePath) -> Iterator[str]:
    """Names for the folder of one bounce, best first."""
    kind = legal_name(source.suffix[1:].lower())[:_MAX_KIND_CHARACTERS] if source.suffix else "2"
    return _numbered(legal_name(source.stem), kind)


def _numbered(name: str, kind: str) -> Iterator[str]:
    """name, "name (kind)", "name (kind 2)" ... all within MAX_BOUNCE_BYTES."""
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
