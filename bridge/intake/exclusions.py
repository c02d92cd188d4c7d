"""Names of files and folders of systems, NAS and sync programs, which are never bounces.

One table for scans, file events and batches. It applies below the folder that the user names, not
to that folder itself. Only exact system names: a folder named "Trash" is an ordinary one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One excluded name.

    Attributes:
        pattern: the name; `*` matches any run of characters.
        makes: system or program that makes it.
        source: where that is documented.
        any_case: whether letter case is ignored; False for a name that a user might choose.
    """

    pattern: str
    makes: str
    source: str
    any_case: bool = True


_TRASH_SPECIFICATION = "freedesktop.org, Trash specification 1.0, Trash directories"
_WINDOWS_RECYCLE_BIN = "Microsoft, KB 136517, How the Recycle Bin stores files"
_APPLESHARE = "GitHub gitignore, Global/macOS, folders made on remote AFP shares"

EXCLUSIONS = (
    # Hidden on Unix, which covers every name below that begins with a dot; those are listed for
    # reference.
    Exclusion(".*", "hidden files and folders", "POSIX shells, ls(1)"),
    # Recycle bins.
    Exclusion("#recycle", "Synology DSM, TerraMaster TOS", "Synology, Create a Shared Folder"),
    Exclusion("@Recycle", "QNAP QTS", "QNAP, Network Recycle Bin"),
    Exclusion("$RECYCLE.BIN", "Windows Vista and later", "Microsoft, Recycle Bin, CSIDL_BITBUCKET"),
    Exclusion("RECYCLER", "Windows NT 4 to XP, on NTFS", _WINDOWS_RECYCLE_BIN, any_case=False),
    Exclusion("RECYCLED", "Windows 95 to XP, on FAT", _WINDOWS_RECYCLE_BIN, any_case=False),
    Exclusion(".Trash", "Linux desktops, macOS", _TRASH_SPECIFICATION),
    Exclusion(".Trash-*", "Linux desktops, one for each user", _TRASH_SPECIFICATION),
    Exclusion(".Trashes", "macOS, on other drives", "GitHub gitignore, Global/macOS"),
    Exclusion("Network Trash Folder", "macOS, on AFP shares", _APPLESHARE, any_case=False),
    Exclusion(".recycle", "Samba, TrueNAS", "Samba, vfs_recycle(8), recycle:repository"),
    Exclusion(".Recycle.Bin", "Unraid", "Unraid, Recycle Bin plugin"),
    # Snapshots: the same files again, as they were.
    Exclusion("#snapshot", "Synology DSM", "Synology, Snapshot Replication, visible snapshots"),
    Exclusion("@Recently-Snapshot", "QNAP QTS", "QNAP, Snapshots, snapshot directory"),
    Exclusion(".snapshot", "NetApp ONTAP over NFS", "NetApp, Snapshot directory access"),
    Exclusion("~snapshot", "NetApp ONTAP over SMB", "NetApp, Snapshot directory access"),
    Exclusion(".snapshots", "snapper, IBM Storage Scale", "snapper(8); IBM, mmsnapdir command"),
    Exclusion(".zfs", "ZFS", "OpenZFS, zfsprops(7), snapdir"),
    # Indexes, thumbnails and what a file system keeps for itself.
    Exclusion("@eaDir", "Synology DSM: thumbnails, attributes", "Synology, Media Indexing"),
    Exclusion(".@__thumb", "QNAP QTS: thumbnails", "QNAP, Multimedia Console"),
    Exclusion("System Volume Information", "Windows: restore points", "Microsoft, System Restore"),
    Exclusion("lost+found", "Linux: found by fsck", "FHS 3.0; mklost+found(8)", any_case=False),
    Exclusion("Temporary Items", "macOS, on AFP shares", _APPLESHARE, any_case=False),
    Exclusion("._*", "macOS: AppleDouble, resource forks", "RFC 1740, appendix B"),
    Exclusion(".DS_Store", "macOS Finder", "GitHub gitignore, Global/macOS"),
    Exclusion("Thumbs.db", "Windows Explorer", "GitHub gitignore, Global/Windows"),
    Exclusion("ehthumbs*.db", "Windows Media Center", "GitHub gitignore, Global/Windows"),
    Exclusion("desktop.ini", "Windows Explorer", "Microsoft, Customize folders with Desktop.ini"),
    Exclusion("Icon\r", "macOS Finder", "GitHub gitignore, Global/macOS", any_case=False),
    # Sync programs: versions, caches, and what is still being transferred.
    Exclusion(".stversions", "Syncthing: versions", "Syncthing, File Versioning"),
    Exclusion(".stfolder", "Syncthing", "Syncthing, folder marker"),
    Exclusion(".dropbox.cache", "Dropbox", "Dropbox, Clear your cache"),
    Exclusion(".sync", "Resilio Sync: archive", "Resilio, Sync archive"),
    Exclusion(".tmp.drive*", "Google Drive: transfers", "Google, Drive for desktop"),
    # Not finished, or a lock. "~" at the start is Syncthing on Windows and the owner files of
    # office programs (~$); at the end it is an editor's backup.
    Exclusion("~*", "Syncthing on Windows, office programs", "Syncthing, .stignore; MS KB 211632"),
    Exclusion("*~", "backups of editors", "GNU Emacs manual, Backup Files"),
    Exclusion("*.tmp", "temporary files", "Microsoft, GetTempFileName"),
    Exclusion("*.temp", "temporary files", "by the name"),
    Exclusion(
        "*.part", "Firefox, wget, rsync wrappers: downloads", "Mozilla, nsExternalAppHandler"
    ),
    Exclusion("*.partial", "Edge, Internet Explorer: downloads", "by the name"),
    Exclusion("*.crdownload", "Chrome: downloads", "Chromium, download_target_determiner"),
    Exclusion("*.download", "Safari: downloads", "Apple, Safari"),
)


def _expression(rows: tuple[Exclusion, ...], *, any_case: bool) -> re.Pattern[str]:
    patterns = (
        ".*".join(re.escape(piece) for piece in row.pattern.split("*"))
        for row in rows
        if row.any_case is any_case
    )
    flags = re.DOTALL | re.IGNORECASE if any_case else re.DOTALL
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), flags)


_ANY_CASE = _expression(EXCLUSIONS, any_case=True)
_EXACT = _expression(EXCLUSIONS, any_case=False)

# Cloud drives list files without local content; reading one would download it, or wait for a
# missing network. Windows: OFFLINE, RECALL_ON_OPEN, RECALL_ON_DATA_ACCESS (Microsoft,
# File Attribute Constants). macOS: SF_DATALESS (sys/stat.h; in Python's stat from 3.13 on).
_REMOTE_ATTRIBUTES = 0x1000 | 0x40000 | 0x400000
_DATALESS_FLAG = 0x40000000


def is_excluded(name: str) -> bool:
    """Whether a file or folder of this name is excluded."""
    return _ANY_CASE.fullmatch(name) is not None or _EXACT.fullmatch(name) is not None


def lies_in_excluded(path: PurePath) -> bool:
    """Whether a path, relative to the folder that the user named, has an excluded part."""
    return any(is_excluded(part) for part in path.parts)


def is_online_only(status: os.stat_result) -> bool:
    """Whether a file has no local content (OneDrive, iCloud Drive, Dropbox)."""
    attributes = getattr(status, "st_file_attributes", 0)
    flags = getattr(status, "st_flags", 0)
    return bool(attributes & _REMOTE_ATTRIBUTES or flags & _DATALESS_FLAG)
