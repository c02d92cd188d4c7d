"""`split --model FILE` with a file that wants to run something, or to write somewhere else.

From the command line to the worker process: nothing runs, and the user gets one
line. What each kind of payload does is tested with the reader (tests/unit/test_pickles_malicious).
"""

from __future__ import annotations

import builtins
import json
import os
import pickle
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.bounces import render
from tests.cli.command import check_one_line_error
from tests.malicious_pickles import MAGIC, Calls
from tests.support import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command import Desk, Inside


def zipped(target: str, path: Path) -> None:
    """As torch.save writes since 1.6."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Calls(os.system, f"touch {target}"), 2))


def stream(target: str, path: Path) -> None:
    """As torch.save wrote before."""
    payload = pickle.dumps(Calls(builtins.exec, f"open({target!r}, 'w')"), protocol=2)
    path.write_bytes(b"\x80\x02\x8a\x0a" + MAGIC + b"." + payload)


def bare(target: str, path: Path) -> None:
    """A pickle and nothing else."""
    path.write_bytes(pickle.dumps(Calls(subprocess.check_output, ["touch", target])))


def array(target: str, path: Path) -> None:
    """An .npz whose array is of objects."""
    np.savez(path.with_suffix(".npz"), weights=np.array([Calls(os.system, f"touch {target}")], "O"))
    path.with_suffix(".npz").rename(path)


def climbing(target: str, path: Path) -> None:
    """An archive with a member that would be unpacked beside it."""
    Path(target + ".source").write_text("x")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(target + ".source", arcname=f"../../../../../../..{target}")
    Path(target + ".source").unlink()


KINDS = [
    (zipped, "model.th"),
    (zipped, "model.pt"),
    (stream, "model.th"),
    (bare, "model.th"),
    (bare, "model.ckpt"),
    (array, "model.safetensors"),
    (climbing, "model.onnx"),
    (climbing, "model.tar.gz"),
]


@pytest.mark.parametrize(
    ("write", "name"), KINDS, ids=lambda value: getattr(value, "__name__", value)
)
def test_nothing_in_a_file_of_weights_runs(
    inside: Inside, desk: Desk, write: Callable[[str, Path], None], name: str
) -> None:
    target = desk.home / "was-here"
    write(str(target), desk.home / name)
    render(desk.home / "mix.wav")
    before = names(desk.home)
    # The first of them as a user runs it; the rest share a worker process.
    run = desk.run if (write, name) == KINDS[0] else inside
    result = run("split", "mix.wav", "--model", str(desk.home / name))
    assert result.code in {1, 2}
    text = check_one_line_error(result, result.code)
    assert name in text
    assert not target.exists()
    assert names(desk.home) == before


@pytest.mark.parametrize(
    "stem", ["../../../escaped", "/tmp/escaped", "a\nb", "\x1b[2Jclear", "x" * 300, "..", "nul\0l"]
)
def test_no_stem_of_a_model_leaves_its_folder(inside: Inside, desk: Desk, stem: str) -> None:
    settings = json.loads(Path(desk.model).read_text())
    settings["instrument_list"] = ["vocals", stem]
    (desk.home / "evil.json").write_text(json.dumps(settings))
    render(desk.home / "mix.wav")
    before = {path for path in desk.home.parent.rglob("*") if path.suffix != ".pyc"}
    result = inside("split", "mix.wav", "--model", "evil.json")
    assert result.code in {1, 2}
    assert check_one_line_error(result, result.code).isprintable()
    # Nothing new; other tests' files may go meanwhile.
    assert not {path for path in desk.home.parent.rglob("*") if path.suffix != ".pyc"} - before
