"""Detection of network drives by tables of mounts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from bridge.intake.mounts import network_type, network_type_in, parse_mount, parse_mountinfo
from bridge.intake.watcher import NativeNotifier, PollingNotifier, Watcher

LINUX = rb"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:27 / /mnt/My\040Audio\011x rw - cifs //nas/audio rw,vers=3.0
31 22 0:28 / /mnt/nas rw shared:9 master:2 - nfs4 nas:/vol rw
32 31 0:29 / /mnt/nas/local rw - ext4 /dev/sdb1 rw
33 22 0:30 / /mnt/ssh rw - fuse.sshfs me@host: rw
34 22 0:31 / /mnt/twice rw - nfs4 nas:/old rw
35 22 0:32 / /mnt/twice rw - tmpfs none rw
36 22 0:33 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
37 22 0:34 / /mnt/caf\351 rw - nfs nas:/latin1 rw
half a line
"""
MACOS = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
//me@nas._smb._tcp.local/Audio on /Volumes/Audio (two) (smbfs, nodev, nosuid, mounted by me)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/home/me/Bounces", None),
        ("/mnt/My Audio\tx", "cifs"),
        ("/mnt/My Audio\tx/Bounces", "cifs"),
        ("/mnt/My", None),
        ("/mnt/nas/Bounces", "nfs4"),
        ("/mnt/nasty", None),
        ("/mnt/nas/local/Bounces", None),
        ("/mnt/ssh/a", "fuse.sshfs"),
        ("/mnt/twice/a", None),
        ("/mnt/ntfs/a", None),
        ("/mnt/caf\udce9/a", "nfs"),
    ],
)
def test_the_mount_that_holds_a_folder_decides(folder: str, expected: str | None) -> None:
    assert network_type_in(parse_mountinfo(LINUX), PurePosixPath(folder)) == expected


def test_parse_mount_of_macos() -> None:
    table = parse_mount(MACOS)
    assert network_type_in(table, PurePosixPath("/Volumes/Audio (two)/Bounces")) == "smbfs"
    assert network_type_in(table, PurePosixPath("/Users/me")) is None
    assert network_type_in([], PurePosixPath("/Users/me")) is None


def test_this_machine_agrees_with_another_program(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("asks stat of GNU coreutils")
    told = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
    )
    remote = told.stdout.strip() in {"nfs", "cifs", "smb2", "v9fs", "fuseblk", "fuse", "afs"}
    assert remote or network_type(tmp_path) is None
    assert network_type(tmp_path / "not" / "there") == network_type(tmp_path)


def test_a_network_drive_is_polled_with_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []

    def refuse(_: Path) -> NativeNotifier:
        pytest.fail("events were asked for")

    watcher = Watcher(
        tmp_path, polling=False, warn=warnings.append, native=refuse, network=lambda _: "nfs4"
    )
    for _ in range(3):
        watcher.restart()
        assert watcher.polling
        assert isinstance(watcher._notifier, PollingNotifier)
    (warning,) = warnings
    assert "it is on a network drive, nfs4" in warning
    assert str(tmp_path) in warning


def test_requested_polling_gives_no_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    watcher = Watcher(tmp_path, polling=True, warn=warnings.append, network=lambda _: "nfs4")
    watcher.start()
    assert watcher.polling
    assert warnings == []
