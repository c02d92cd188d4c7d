"""Packages through npm, by the real program and by one that stands in for it, and without it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from separator.weights import npm
from separator.weights.download import SourceFailed
from separator.weights.entries import NpmArchive, UrlFile
from separator.weights.npm import configured_registry
from separator.weights.sources import fetch_archive
from tests.support import require
from tests.unit.weights_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


def package() -> bytes:
    """As npm packs them: everything below `package/`."""
    out = io.BytesIO()
    files = {
        "package/package.json": json.dumps({"name": "pkg", "version": "1.0.0"}).encode(),
        "package/model.onnx": os.urandom(50_000),
    }
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


PACKAGE = package()
ARCHIVE = NpmArchive("npm", hashlib.sha256(PACKAGE).hexdigest(), len(PACKAGE), "pkg", "1.0.0")

FAKE_NPM = """#!{python}
import pathlib, sys
pathlib.Path({log!r}).write_text(" ".join(sys.argv[1:]))
if {errors!r}:
    print({errors!r}, file=sys.stderr)
    sys.exit(1)
folder = pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1])
for number in range({count}):
    (folder / f"pkg-1.0.{{number}}.tgz").write_bytes(pathlib.Path({content!r}).read_bytes())
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs; npm's settings are empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in list(os.environ):
        if name.lower().startswith("npm_config_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return folder


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def registry() -> Iterator[Server]:
    """Knows one package, in both ways in which it may be asked."""
    with Server(PACKAGE) as server:
        root = server.url.rpartition("/")[0]
        integrity = base64.b64encode(hashlib.sha512(PACKAGE).digest()).decode()
        version = {
            "name": "pkg",
            "version": "1.0.0",
            "dist": {"tarball": f"{root}/pkg-1.0.0.tgz", "integrity": f"sha512-{integrity}"},
        }
        whole = {"name": "pkg", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        server.others = {
            "/pkg": json.dumps(whole).encode(),
            "/pkg/1.0.0": json.dumps(version).encode(),
        }
        yield server


def root(server: Server) -> str:
    return server.url.rpartition("/")[0]


def fake_npm(
    bin_folder: Path, *, content: bytes = PACKAGE, errors: str = "", count: int = 1
) -> Path:
    given, log = bin_folder.parent / "given.tgz", bin_folder.parent / "npm.log"
    given.write_bytes(content)
    program = bin_folder / "npm"
    program.write_text(
        FAKE_NPM.format(
            python=sys.executable, log=str(log), errors=errors, content=str(given), count=count
        )
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return log


def fetch(downloads: Path) -> bytes:
    with fetch_archive(ARCHIVE, downloads, None) as file:
        file.seek(0)
        return file.read()


@pytest.mark.process
def test_npm_packs(bin_folder: Path, downloads: Path) -> None:
    log = fake_npm(bin_folder)
    progress: list[tuple[int, int | None, str]] = []
    with fetch_archive(ARCHIVE, downloads, lambda *call: progress.append(call)) as file:
        file.seek(0)
        assert file.read() == PACKAGE
    assert not list(downloads.iterdir())
    command = log.read_text().split()
    assert (command[0], command[-1]) == ("pack", "pkg@1.0.0")
    assert "--ignore-scripts" in command
    assert progress[0] == (0, len(PACKAGE), "pkg 1.0.0 by npm")
    assert progress[-1] == (len(PACKAGE), len(PACKAGE), "pkg 1.0.0 by npm")


def test_the_real_npm(
    tmp_path: Path, downloads: Path, registry: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options that we give it are ones that it has, and what it packs is what was published."""
    require.program("npm", "npm")
    monkeypatch.setenv("npm_config_registry", root(registry))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm cache"))
    assert fetch(downloads) == PACKAGE
    assert not list(downloads.iterdir())


def test_the_real_npm_when_nobody_is_there(
    tmp_path: Path, downloads: Path, registry: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    require.program("npm", "npm")
    monkeypatch.setenv("npm_config_registry", root(registry))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm cache"))
    registry.close()
    with pytest.raises(SourceFailed, match="the package registry cannot be reached"):
        fetch(downloads)


@pytest.mark.process
@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ("npm warn x\nnpm error code ENOTFOUND\nnpm error errno ENOTFOUND", "cannot be reached"),
        ("npm ERR! code ETIMEDOUT\nnpm ERR! network", "cannot be reached"),
        (
            "npm error code E404\nnpm error 404 Not Found - GET x\nnpm error A complete log of x",
            "404 Not Found - GET x",
        ),
        ("Segmentation fault", "npm ended with code 1"),
    ],
)
def test_why_npm_failed(bin_folder: Path, downloads: Path, errors: str, message: str) -> None:
    fake_npm(bin_folder, errors=errors)
    with pytest.raises(SourceFailed) as caught:
        fetch(downloads)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(downloads.iterdir())


@pytest.mark.process
@pytest.mark.parametrize("count", [0, 2])
def test_npm_that_brings_something_else(bin_folder: Path, downloads: Path, count: int) -> None:
    fake_npm(bin_folder, count=count)
    with pytest.raises(SourceFailed, match="npm downloaded no package"):
        fetch(downloads)


@pytest.mark.process
def test_a_package_with_a_wrong_hash(bin_folder: Path, downloads: Path) -> None:
    fake_npm(bin_folder, content=PACKAGE[:-1])
    with pytest.raises(SourceFailed, match="wrong sha256"):
        fetch(downloads)
    assert not list(downloads.iterdir())


@pytest.mark.process
def test_an_npm_that_does_not_run(bin_folder: Path, downloads: Path) -> None:
    program = bin_folder / "npm"
    program.write_bytes(b"\x7fELF, no program")
    program.chmod(0o755)
    with pytest.raises(SourceFailed, match="npm does not run"):
        fetch(downloads)


@pytest.mark.parametrize("way", ["environment", "file", "named file"])
def test_without_npm_its_registry_is_asked(
    bin_folder: Path,
    downloads: Path,
    registry: Server,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    settings = bin_folder.parent / "home" / ".npmrc"
    if way == "environment":
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", root(registry) + "/")
    elif way == "named file":
        settings = bin_folder.parent / "settings"
        monkeypatch.setenv("npm_config_userconfig", str(settings))
    if way != "environment":
        settings.write_text(f'; mine\n@scope:registry=x\nregistry = "{root(registry)}/"\nfund=no\n')
    assert fetch(downloads) == PACKAGE
    assert not list(downloads.iterdir())


@pytest.mark.usefixtures("bin_folder")
def test_without_npm_and_its_settings(downloads: Path) -> None:
    assert configured_registry() is None
    with pytest.raises(SourceFailed, match="npm is not installed, and its settings have no"):
        fetch(downloads)


@pytest.mark.usefixtures("bin_folder")
@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>", b"[]", b'{"dist": 3}', b'{"dist": {}}',
        b'{"dist": {"tarball": "file:///etc/passwd"}}',
        b'{"dist": {"tarball": "x"}}' + bytes(npm.MAX_DESCRIPTION_BYTES),
    ],
)  # fmt: skip
def test_a_registry_that_answers_something_else(
    downloads: Path, registry: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setenv("npm_config_registry", root(registry))
    registry.others["/pkg/1.0.0"] = answer
    with pytest.raises(SourceFailed, match="the package registry"):
        fetch(downloads)
    assert len(registry.requests) == 1  # and no other address was asked


def test_a_file_whose_sum_nobody_states(downloads: Path) -> None:
    with Server(PACKAGE) as server:
        archive = UrlFile("id", None, None, server.url)
        with (
            pytest.raises(SourceFailed, match="states the file"),
            fetch_archive(archive, downloads, None),
        ):
            pass
    assert not list(downloads.iterdir())
