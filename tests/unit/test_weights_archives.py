"""Taking files out of archives: only the known ones, under their known names, within limits."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, BinaryIO

import pytest

from separator.errors import BadCheckpoint, WrongChecksum
from separator.weights.archives import extract, extract_source
from separator.weights.entries import BundleSource, PackedFile, UrlFile

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS = (PackedFile("model.index"), PackedFile("model.data-00000-of-00001"))
FILES = {"model.index": b"index" * 100, "model.data-00000-of-00001": b"data" * 100}


def tar_gz(*entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> BinaryIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content))
    return file


def zipped(*entries: tuple[str, bytes]) -> BinaryIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize("make", [tar_gz, zipped])
@pytest.mark.parametrize("folder", ["", "./", "2stems/"])
def test_known_files_come_out_and_no_others(tmp_path: Path, make: object, folder: str) -> None:
    assert callable(make)
    entries = [(f"{folder}{name}", content) for name, content in FILES.items()]
    extra = [(f"{folder}._model.index", b"x"), (f"{folder}model.meta", b"x")]
    sums = extract(make(*extra, *entries), MEMBERS, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == FILES
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@pytest.mark.parametrize("make", [tar_gz, zipped])
@pytest.mark.parametrize(
    "name", ["../evil", "{root}/evil", "a/../../evil", "..", "model.index/../../e"]
)
def test_paths_of_the_archive_lead_nowhere(tmp_path: Path, make: object, name: str) -> None:
    assert callable(make)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    extract(make((name.format(root=tmp_path), b"evil"), *FILES.items()), MEMBERS, inside)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(FILES)


def test_a_traversing_path_that_ends_like_a_member(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    entries = [(f"../../{name}", content) for name, content in FILES.items()]
    extract(tar_gz(*entries), MEMBERS, inside)
    assert sorted(path.name for path in inside.iterdir()) == sorted(FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_are_no_files(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(BadCheckpoint, match=r"lacks model\.index"):
        extract(tar_gz(("model.index", b""), kind=kind, link="/etc/passwd"), MEMBERS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_member_that_is_missing_or_twice(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"lacks model\.data"):
        extract(zipped(("model.index", b"x")), MEMBERS, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    entries = [("a/model.index", b"x"), ("b/model.index", b"y")]
    with pytest.raises(BadCheckpoint, match="twice"):
        extract(tar_gz(*entries), MEMBERS, other)


def test_another_file_under_the_known_name(tmp_path: Path) -> None:
    member = PackedFile("model.index", hashlib.sha256(b"right").hexdigest())
    with pytest.raises(WrongChecksum, match=r"model\.index"):
        extract(zipped(("model.index", b"wrong")), [member], tmp_path)


def test_of_a_sum_the_first_digits_may_be_known(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    archive = zipped(("model.index", b"right"))
    known = PackedFile("model.index", digest[:8])
    assert extract(archive, [known], tmp_path) == {"model.index": digest}
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(WrongChecksum, match=r"model\.index"):
        extract(archive, [PackedFile("model.index", "0" * 8)], other)


def test_a_plain_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Also when it is an archive by itself, as `.th` files since 2020 are."""
    archive = zipped(("model.index", b"x" * 1000))
    archive.seek(0)
    content = archive.read()
    digest = hashlib.sha256(content).hexdigest()
    for sum_ in (digest, digest[:8], None):
        file = UrlFile("id", sum_, None, "https://host/a-12345678.th")
        source = BundleSource(file, "th", (PackedFile("a-12345678.th", sum_),))
        stream = io.BytesIO(content)
        stream.seek(7)  # wherever who verified it left it
        into = tmp_path / f"into {sum_}"
        into.mkdir()
        assert extract_source(source, stream, into) == {"a-12345678.th": digest}
        assert [path.read_bytes() for path in into.iterdir()] == [content]
    wrong = BundleSource(file, "th", (PackedFile("b.th", "0" * 64),))
    with pytest.raises(WrongChecksum, match=r"b\.th"):
        extract_source(wrong, io.BytesIO(content), tmp_path)


@pytest.mark.parametrize("make", [tar_gz, zipped])
def test_bombs_are_stopped(tmp_path: Path, make: object) -> None:
    """8 MB of zeros, compressed to some kB, against a limit of 1 MB."""
    assert callable(make)
    with pytest.raises(BadCheckpoint, match=r"larger than|more than"):
        extract(
            make(("model.index", bytes(8_000_000))), MEMBERS, tmp_path, max_member_bytes=1_000_000
        )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000


def test_a_bomb_that_is_no_member_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    archive = tar_gz(("junk", bytes(8_000_000)), *FILES.items())
    with pytest.raises(BadCheckpoint, match="more than"):
        extract(archive, MEMBERS, tmp_path, max_member_bytes=1_000_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive at all",
        gzip.compress(b"no tar at all"),
        gzip.compress(bytes(2000))[:-20],
        b"PK\x05\x06" + bytes(18),
    ],
    ids=["empty", "text", "gzip of text", "gzip cut off", "zip without members"],
)
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        extract(io.BytesIO(content), MEMBERS, tmp_path)


def test_truncated_archives(tmp_path: Path) -> None:
    content = tar_gz(*FILES.items())
    content.seek(0)
    whole = content.read()
    for number, length in enumerate(range(1, len(whole) - 8, 7)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(BadCheckpoint):
            extract(io.BytesIO(whole[:length]), MEMBERS, folder)
