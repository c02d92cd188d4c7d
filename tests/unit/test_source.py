"""Identity of a bounce and detection of changes."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from bridge import errors, source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Tamper = Callable[[Callable[[], object]], None]


@pytest.fixture
def bounce(tmp_path: Path) -> Path:
    path = tmp_path / "mix.wav"
    path.write_bytes(os.urandom(3_000_001))  # more than two blocks
    return path


@pytest.fixture
def while_reading(monkeypatch: pytest.MonkeyPatch) -> Tamper:
    """Runs an action between the first and the second block."""

    def install(action: Callable[[], object]) -> None:
        class Tampering:
            def __init__(self) -> None:
                self._real, self._blocks = hashlib.sha256(), 0

            def update(self, block: bytes) -> None:
                self._blocks += 1
                if self._blocks == 1:
                    action()
                self._real.update(block)

            def hexdigest(self) -> str:
                return self._real.hexdigest()

        class Module:
            sha256 = Tampering

        monkeypatch.setattr(source, "hashlib", Module)

    return install


def test_identity_matches_the_file_status(bounce: Path) -> None:
    identity = source.identify(bounce)
    listed = subprocess.run(["sha256sum", bounce], check=True, capture_output=True, text=True)
    status = bounce.stat()
    assert identity.sha256 == listed.stdout.split()[0]
    assert (identity.path, identity.size) == (bounce, 3_000_001)
    assert (identity.mtime_ns, identity.inode) == (status.st_mtime_ns, status.st_ino)


def test_an_empty_file_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert source.identify(tmp_path / "empty.wav").sha256 == hashlib.sha256().hexdigest()


def test_reading_leaves_the_source_as_it_was(bounce: Path) -> None:
    before, status = bounce.read_bytes(), bounce.stat()
    bounce.chmod(0o400)
    source.identify(bounce)
    assert bounce.read_bytes() == before
    assert bounce.stat().st_mtime_ns == status.st_mtime_ns


def test_growth_while_it_is_read_is_noticed(bounce: Path, while_reading: Tamper) -> None:
    def grow() -> None:
        with bounce.open("ab") as file:
            file.write(b"more")

    while_reading(grow)
    with pytest.raises(errors.BounceChanged, match="changed while it was read"):
        source.identify(bounce)


def test_a_rewrite_of_the_same_length_is_noticed(bounce: Path, while_reading: Tamper) -> None:
    before_ns = bounce.stat().st_mtime_ns

    def rewrite() -> None:
        bounce.write_bytes(bytes(3_000_001))
        os.utime(bounce, ns=(before_ns, before_ns + 1))

    while_reading(rewrite)
    with pytest.raises(errors.BounceChanged):
        source.identify(bounce)


def test_truncation_is_noticed(bounce: Path, while_reading: Tamper) -> None:
    while_reading(lambda: os.truncate(bounce, 10))
    with pytest.raises(errors.BounceChanged):
        source.identify(bounce)


def test_a_replacement_with_equal_size_and_time_is_noticed(
    bounce: Path, while_reading: Tamper
) -> None:
    status = bounce.stat()

    def replace() -> None:
        newer = bounce.with_name("newer")
        newer.write_bytes(bytes(status.st_size))
        os.utime(newer, ns=(status.st_atime_ns, status.st_mtime_ns))
        newer.replace(bounce)

    while_reading(replace)
    with pytest.raises(errors.BounceChanged):
        source.identify(bounce)


def test_removal_is_a_change(bounce: Path, while_reading: Tamper) -> None:
    while_reading(bounce.unlink)
    with pytest.raises(errors.BounceChanged, match="removed or renamed"):
        source.identify(bounce)
    with pytest.raises(errors.BounceChanged):
        source.identify(bounce.parent / "gone" / "mix.wav")


def test_still_tells_change_and_removal(bounce: Path) -> None:
    identity = source.identify(bounce)
    source.check_unchanged(identity)
    os.utime(bounce, ns=(0, identity.mtime_ns + 1))
    with pytest.raises(errors.BounceChanged, match="changed"):
        source.check_unchanged(identity)
    os.utime(bounce, ns=(0, identity.mtime_ns))
    source.check_unchanged(identity)
    bounce.unlink()
    with pytest.raises(errors.BounceChanged, match="removed"):
        source.check_unchanged(identity)


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_other_content_behind_the_same_size_and_time_is_noticed(bounce: Path, how: str) -> None:
    """As `cp --preserve` and `rsync --inplace --times` leave it."""
    identity, status = source.identify(bounce), bounce.stat()
    data = bytearray(bounce.read_bytes())
    data[-1] ^= 1
    if how == "in place":
        with bounce.open("r+b") as file:
            file.write(data)
        assert bounce.stat().st_ino == identity.inode
    else:
        bounce.with_name("newer").write_bytes(data)
        bounce.with_name("newer").replace(bounce)
    os.utime(bounce, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.has_size_and_mtime(bounce, identity.size, identity.mtime_ns)
    with pytest.raises(errors.BounceChanged, match="changed"):
        source.check_unchanged(identity)


def test_waiting_is_called_while_hashing(bounce: Path) -> None:
    heard: list[int] = []
    identity = source.identify(bounce, lambda: heard.append(1))
    assert len(heard) == 3  # 3,000,001 bytes

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.check_unchanged(identity, stop)


def test_has_size_and_mtime(bounce: Path, tmp_path: Path) -> None:
    status = bounce.stat()
    known = (status.st_size, status.st_mtime_ns)
    assert source.has_size_and_mtime(bounce, *known)
    assert not source.has_size_and_mtime(bounce, known[0] + 1, known[1])
    assert not source.has_size_and_mtime(bounce, known[0], known[1] + 1)
    (tmp_path / "link.wav").symlink_to(bounce)
    assert not source.has_size_and_mtime(tmp_path / "link.wav", *known)
    assert not source.has_size_and_mtime(tmp_path / "gone.wav", *known)


@pytest.mark.timeout(10)  # a FIFO that is opened the plain way blocks for ever
@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "socket", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mix.wav"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "real.wav").write_bytes(b"x")
        path.symlink_to(tmp_path / "real.wav")
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.close()
    else:
        path = type(path)("/dev/null")
    with pytest.raises(errors.NotAudio, match="not a regular file"):
        source.identify(path)


def test_a_file_that_may_not_be_read_is_reported_as_such(
    bounce: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(errors.OutputError, match="Permission denied"):
        source.identify(bounce)
