"""Detection of network drives, whose file events are incomplete.

A network drive reports changes by this machine only: events would arrive for some bounces and never
for others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Types as named by the kernel, or by the FUSE program after "fuse."; includes those between a
# virtual machine or container and its host.
NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "afpfs", "ncpfs", "coda", "webdav"),
        *("davfs", "9p", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2"),
        *("sshfs", "rclone", "s3fs", "davfs2", "curlftpfs", "gvfsd-fuse", "google-drive-ocamlfuse"),
        *("vboxsf", "vmhgfs", "vmhgfs-fuse", "prl_fs", "virtiofs", "grpcfuse"),
    }
)
# A line of `mount` on macOS: "//me@nas/audio on /Volumes/audio (smbfs, nodev, ...)".
_MOUNT_LINE = re.compile(r"^.* on (?P<point>/.*) \((?P<type>[^,)]+)[^()]*\)$")
_MOUNT_TIMEOUT_S = 5.0  # it reads the kernel's table, no server
_DRIVE_REMOTE = 4  # Windows, GetDriveTypeW


@dataclass(frozen=True)
class Mount:
    """A mounted file system: mount point and type."""

    mount_point: PurePosixPath
    type: str


def network_type(folder: Path) -> str | None:
    """Type of the network file system of `folder`; None for a local or unknown one."""
    try:
        if os.name == "nt":
            return _windows(folder)
        if sys.platform == "darwin":
            table = parse_mount(_printed_mounts())
        else:
            table = parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
        return network_type_in(table, PurePosixPath(folder.resolve()))
    except (OSError, subprocess.SubprocessError):
        return None


def network_type_in(table: Iterable[Mount], folder: PurePosixPath) -> str | None:
    """`network_type` by a table of mounts, in mount order; `folder` is free of links."""
    holds = [m for m in table if m.mount_point == folder or m.mount_point in folder.parents]
    if not holds:
        return None
    deepest = max(len(mount.mount_point.parts) for mount in holds)
    top = [mount for mount in holds if len(mount.mount_point.parts) == deepest][-1]
    kind = top.type.removeprefix("fuse.")
    return top.type if kind in NETWORK_TYPES else None


def parse_mountinfo(data: bytes) -> list[Mount]:
    """Parse Linux's /proc/self/mountinfo (proc(5)); malformed lines are skipped."""
    mounts = []
    for line in data.splitlines():
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(), after.split()
        if len(fields) >= 6 and kind:
            mounts.append(Mount(PurePosixPath(_unescaped(fields[4])), os.fsdecode(kind[0])))
    return mounts


def parse_mount(text: str) -> list[Mount]:
    """Parse the output of macOS's `mount`."""
    found = (_MOUNT_LINE.match(line) for line in text.splitlines())
    return [Mount(PurePosixPath(match["point"]), match["type"]) for match in found if match]


def _unescaped(field: bytes) -> str:
    """Decode the octal escapes of space, tab, newline and backslash (proc(5))."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def _printed_mounts() -> str:
    ran = subprocess.run(["/sbin/mount"], capture_output=True, check=True, timeout=_MOUNT_TIMEOUT_S)
    return os.fsdecode(ran.stdout)


def _windows(folder: Path) -> str | None:
    import ctypes

    drive = folder.resolve().drive
    if drive.startswith("\\\\"):
        return "a share"
    windll = getattr(ctypes, "windll", None)  # there on Windows only
    kind = windll.kernel32.GetDriveTypeW(f"{drive}\\") if windll else None
    return "a share" if kind == _DRIVE_REMOTE else None
