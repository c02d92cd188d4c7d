"""Write errors, and disk space of a job."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import DiskFull, FileTooLarge, OutputBlocked, OutputError, StembridgeError
from bridge.publish.transaction import STAGING, check_writable
from bridge.system.disk import check_space, disk_errors, job_bytes, output_error, reserve
from tests.support import place_left, require

MEANINGS: dict[str, type[OutputError]] = {
    **dict.fromkeys(("ENOSPC", "EDQUOT"), DiskFull),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS", "EIO"), OutputBlocked),
    **dict.fromkeys(("ENODEV", "ENXIO", "ESTALE", "ENOTCONN", "ETIMEDOUT"), OutputBlocked),
    "EFBIG": FileTooLarge,
    **dict.fromkeys(("ENOENT", "EEXIST", "ENAMETOOLONG", "EINVAL", "EISDIR"), OutputError),
}


@pytest.mark.parametrize(("name", "kind"), MEANINGS.items())
def test_every_write_error_has_a_class_and_a_remedy(name: str, kind: type[OutputError]) -> None:
    number = getattr(errno, name)
    with pytest.raises(StembridgeError) as raised, disk_errors(Path("/out/mix")):
        raise OSError(number, os.strerror(number))
    assert type(raised.value) is kind
    text = str(raised.value)
    assert text.startswith(f"cannot write /out/mix ({os.strerror(number)}): ")
    assert text.endswith(", then `stembridge retry`")


def test_the_file_that_was_refused_is_named() -> None:
    error = OSError(errno.EROFS, "Read-only file system", "/out/.stembridge")
    assert "/out/.stembridge (Read-only" in str(output_error(error, Path("/out")))


def test_a_name_that_the_locale_cannot_say_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        with disk_errors(Path("/out/chœur")):
            "chœur".encode("iso8859-1")

    with pytest.raises(UnicodeEncodeError):  # else it is a defect
        write()
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso8859-1")
    with pytest.raises(OutputError, match="iso8859-1, the encoding of the locale"):
        write()


@given(
    st.integers(1, 10**9), st.integers(1, 8), st.integers(1, 6), st.integers(1, 6), st.booleans()
)
def test_job_bytes_is_the_peak(
    frames: int, channels: int, separated: int, outputs: int, chain: bool
) -> None:
    needed = job_bytes(
        frames=frames,
        channels=channels,
        separated=separated,
        outputs=outputs,
        value_bytes=3,
        chain=chain,
    )
    staged = frames * channels * 4
    published = outputs * frames * channels * 3
    moments = [separated * staged + published, separated * staged + (staged if chain else 0)]
    assert 0 < needed - max(moments) <= 1 << 20


def test_check_space_compares_with_free_space(tmp_path: Path) -> None:
    check_space(tmp_path, 1)
    with pytest.raises(DiskFull, match=r"has .* free and this bounce needs 1000000\.00 GB"):
        check_space(tmp_path, 10**15)
    with pytest.raises(OutputError, match="the folder is gone"):
        check_space(tmp_path / "gone", 1)


def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "out", 10_000)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(DiskFull):
        check_writable(tmp_path / "out", 10**15)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_file_system_is_found_full(tmp_path: Path) -> None:
    with require.tmpfs(tmp_path / "small", 4_000_000) as place:
        check_writable(place, 1_000_000)
        (place / "ballast").write_bytes(bytes(2_500_000))
        check_writable(place, 1_000_000)
        with pytest.raises(DiskFull):
            check_writable(place, 2_000_000)
        (place / "more").write_bytes(bytes(place_left(place)))
        with pytest.raises(DiskFull):
            check_writable(place, 0)
        assert not (place / STAGING).exists()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_a_limit_that_free_space_does_not_show_is_run_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a quota: there seems to be room, and there is none."""

    def refuse(_descriptor: int, _start: int, length: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DiskFull, match="quota"):
        reserve(tmp_path, 1000)


def test_a_read_only_file_system_is_found(tmp_path: Path) -> None:
    with require.read_only(tmp_path) as place, pytest.raises(OutputBlocked, match="read-only"):
        check_writable(place / "out", 1)
