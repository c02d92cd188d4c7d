"""Bounces found by a scan of a watched folder."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.intake import scan as scanning
from bridge.intake.scan import FolderScanner, scan
from tests.hypothesis_profiles import examples


def _put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def _names(found: scanning.Scan, folder: Path) -> list[str]:
    return [file.path.relative_to(folder).as_posix() for file in found.files]


def _manifest(folder: Path, **content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(content, indent=2))


def test_audio_files_are_found_with_size_and_time_sorted_by_path(tmp_path: Path) -> None:
    _put(tmp_path, "b.wav", "sub/deep er/A.FLAC", "a.Aiff", "ünï cöde.w64", "notes.txt", "wav")
    found = scan(tmp_path)
    assert _names(found, tmp_path) == ["a.Aiff", "b.wav", "sub/deep er/A.FLAC", "ünï cöde.w64"]
    status = (tmp_path / "b.wav").stat()
    assert found.files[1] == scanning.FoundFile(
        tmp_path / "b.wav", status.st_size, status.st_mtime_ns
    )
    assert found.root == (tmp_path.stat().st_dev, tmp_path.stat().st_ino)
    assert not found.missing
    assert not found.unreadable


@pytest.mark.parametrize("suffix", sorted(scanning.AUDIO_SUFFIXES))
def test_every_suffix_counts_in_any_case(suffix: str) -> None:
    assert scanning.is_bounce_name(f"Mix 1{suffix}")
    assert scanning.is_bounce_name(f"Mix 1{suffix.upper()}")
    assert not scanning.is_bounce_name(suffix)  # hidden, and no suffix


@pytest.mark.parametrize(
    "name",
    [
        *(".mix.wav", "._mix.wav", "~mix.wav", "~syncthing~mix.wav", ".syncthing.mix.wav"),
        *("mix.wav~", "mix.wav.tmp", "mix.wav.TEMP", "mix.wav.part", "mix.wav.partial"),
        *("mix.wav.crdownload", "mix.wav.download", ".mix.wav.Xy12ab"),
    ],
)
def test_hidden_and_temporary_names_are_left_out_as_files_and_as_folders(
    tmp_path: Path, name: str
) -> None:
    _put(tmp_path, name, f"folder/{name}/inside.wav", "mix.wav")
    assert _names(scan(tmp_path), tmp_path) == ["mix.wav"]


def test_links_and_special_files_are_left_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    watched = tmp_path / "watched"
    _put(outside, "far.wav")
    _put(watched, "near.wav")
    (watched / "link.wav").symlink_to(outside / "far.wav")
    (watched / "dangling.wav").symlink_to(outside / "nothing.wav")
    (watched / "linked").symlink_to(outside, target_is_directory=True)
    (watched / "loop").symlink_to(watched, target_is_directory=True)
    (watched / "folder.wav").mkdir()
    os.mkfifo(watched / "pipe.wav")
    assert _names(scan(watched), watched) == ["near.wav"]


def test_a_watched_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    _put(tmp_path / "real", "mix.wav")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert _names(scan(tmp_path / "link"), tmp_path / "link") == ["mix.wav"]


def test_output_folders_are_left_out_however_they_are_spelled(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    _put(watched, "mix.wav", "Stems/mix/mix - vocals.wav")
    (tmp_path / "link").symlink_to(watched, target_is_directory=True)
    for spelled in (watched / "Stems", tmp_path / "link" / "Stems"):
        found = scan(watched, output_dirs=[spelled])
        assert _names(found, watched) == ["mix.wav"]


def test_stems_may_go_right_beside_the_bounces(tmp_path: Path) -> None:
    _put(tmp_path, "mix.wav")
    assert _names(scan(tmp_path, output_dirs=[tmp_path]), tmp_path) == ["mix.wav"]
    assert _names(scan(tmp_path, output_dirs=[tmp_path.parent]), tmp_path) == ["mix.wav"]


def test_our_own_outputs_are_left_out_wherever_they_were_copied(tmp_path: Path) -> None:
    _put(tmp_path, "mix.wav", "copy/mix - vocals.wav", "copy/sub/x.wav", "theirs/y.wav")
    _manifest(tmp_path / "copy", schema="1", generator="stembridge 0.1.0")
    _manifest(tmp_path / "theirs", generator="something else", note="not stembridge")
    assert _names(scan(tmp_path), tmp_path) == ["mix.wav", "theirs/y.wav"]


def test_a_pipe_called_manifest_does_not_block(tmp_path: Path) -> None:
    _put(tmp_path, "mix.wav")
    os.mkfifo(tmp_path / "manifest.json")
    assert _names(scan(tmp_path), tmp_path) == ["mix.wav"]


def test_a_missing_folder_is_missing_not_empty(tmp_path: Path) -> None:
    assert scan(tmp_path / "gone").missing
    (tmp_path / "file").touch()
    assert scan(tmp_path / "file").missing
    assert not scan(tmp_path).missing


def test_folders_that_cannot_be_read_are_reported_and_the_walk_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(tmp_path, "a/1.wav", "b/2.wav", "c/3.wav")
    real = os.scandir

    def refusing(path: Path) -> object:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = scan(tmp_path)
    assert _names(found, tmp_path) == ["a/1.wav", "c/3.wav"]
    assert found.unreadable == (scanning.Unreadable(tmp_path / "b", "Permission denied"),)


def test_files_that_vanish_do_not_stop_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(tmp_path, "a/1.wav", "b/2.wav", "c/3.wav")
    real = os.scandir

    def removing(path: Path) -> object:
        listing = real(path)
        if path.name == "a":  # after it was listed, before its files are looked at
            (path / "1.wav").unlink()
        if path == tmp_path:
            (tmp_path / "b" / "2.wav").unlink()
            (tmp_path / "b").rmdir()
        return listing

    monkeypatch.setattr(os, "scandir", removing)
    found = scan(tmp_path)
    assert _names(found, tmp_path) == ["c/3.wav"]
    assert not found.unreadable


def test_a_folder_that_vanishes_as_a_whole_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Path) -> object:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "scandir", gone)
    assert scan(tmp_path).missing


def test_nesting_has_an_end_and_it_is_reported(tmp_path: Path) -> None:
    depth = scanning.MAX_DEPTH
    _put(tmp_path, "/".join(["d"] * depth) + "/in.wav", "/".join(["e"] * (depth + 1)) + "/out.wav")
    found = scan(tmp_path)
    assert [file.path.name for file in found.files] == ["in.wav"]
    assert len(found.unreadable) == 1
    territory = FolderScanner(tmp_path)
    assert territory.admits(found.files[0].path)
    assert not territory.admits(found.unreadable[0].path / "out.wav")


def test_names_that_are_not_text_are_found(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    _put(tmp_path, name)
    assert [file.path.name for file in scan(tmp_path).files] == [name]


PARTS = ["a", "B", ".h", "~t", "x.part", "Stems", "ours", "y.wav", "z.flac", "n.txt"]
TREES = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4), max_size=12)


@settings(max_examples=examples(60))
@given(TREES, st.booleans())
def test_a_hinted_path_is_judged_as_the_walk_judges_it(tree: list[list[str]], ours: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for parts in tree:
            path = folder.joinpath(*parts)
            if not path.exists() and not any(up.is_file() for up in path.parents):
                _put(folder, "/".join(parts))
        if ours and (folder / "ours").is_dir():
            _manifest(folder / "ours", generator="stembridge")
        territory = FolderScanner(folder, (folder / "Stems",))
        found = {file.path for file in territory.scan().files}
        files = {path for path in folder.rglob("*") if path.is_file()}
        assert {path for path in files if territory.admits(path)} == found
        folders = [path for path in folder.iterdir() if path.is_dir()]
        below = {file.path for top in folders for file in territory.scan_below(top).files}
        assert below == {path for path in found if path.parent != folder}
        assert not territory.admits(folder.parent / "y.wav")
