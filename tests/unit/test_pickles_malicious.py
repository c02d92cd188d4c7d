"""Checkpoints that want to run something: nothing runs, and the error names what they asked for."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import separator
from separator.errors import BadCheckpoint, UnsafePickle
from tests.malicious_pickles import MAGIC, Calls

CONTAINERS = ("zip", "stream", "notes of a stream", "v1 tuple", "v3 dict", "state")


class HTDemucs:
    """Has the name of an official class, and a payload."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.target,), {"target": self.target}


HTDemucs.__module__, HTDemucs.__qualname__ = "demucs.htdemucs", "HTDemucs"


@pytest.fixture(autouse=True)
def official_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pickle write the class under its official name."""
    module = ModuleType("demucs.htdemucs")
    module.HTDemucs = HTDemucs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "demucs", ModuleType("demucs"))
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", module)


def payloads(target: str) -> dict[str, tuple[object, str]]:
    """Name: what is pickled, and what the error must name."""
    command = f"touch {target}"
    system = f"{os.system.__module__}.system"
    return {
        "os.system": (Calls(os.system, command), system),
        "eval": (Calls(builtins.eval, f"open({target!r}, 'w')"), "eval"),
        "exec": (Calls(builtins.exec, f"open({target!r}, 'w')"), "exec"),
        "subprocess": (Calls(subprocess.check_output, ["touch", target]), "check_output"),
        "nested deep in values": ({"a": [1, (2, {"b": Calls(os.system, command)})]}, system),
        "as an argument of a harmless call": (
            Calls(collections.OrderedDict, Calls(os.system, command)),
            system,
        ),
        "as the state of a harmless object": (
            Calls(collections.OrderedDict, state={"_metadata": Calls(os.system, command)}),
            system,
        ),
        "a model's class with a payload": (HTDemucs(target), "demucs.htdemucs.HTDemucs"),
        "getattr": (Calls(getattr, "text", "join"), "getattr"),
        "import": (Calls(__import__, "antigravity"), "__import__"),
        "torch's own loader": (Calls(torch.load, target), "load"),
        "torch.jit": (Calls(torch.jit.load, target), "load"),
        "numpy's loader": (Calls(np.load, target), "load"),
        "a path": (Path(target), "pathlib"),
    }


def contain(container: str, value: object, protocol: int, path: Path) -> Path:
    """The value in the place where a release has its class or its tensors."""
    wrapped = {
        "v1 tuple": (value, (), {}, {}),
        "v3 dict": {"klass": value, "args": (), "kwargs": {}, "state": {}},
        "state": {"klass": HTDemucs, "args": (), "kwargs": {}, "state": {"a": value}},
    }.get(container, value)
    pickled = pickle.dumps(wrapped, protocol=protocol)
    if container == "stream":
        head = b"\x80\x02\x8a\x0a" + MAGIC + b"."
        rest = [1001, {"little_endian": True}]
        parts = [pickle.dumps(part, protocol=2) for part in rest]
        path.write_bytes(head + b"".join(parts) + pickled + pickle.dumps([], protocol=2))
    elif container == "notes of a stream":
        head = b"\x80\x02\x8a\x0a" + MAGIC + b"."
        path.write_bytes(head + pickled)  # where the version should be
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
    return path


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", payloads(""))
def test_nothing_runs_and_the_error_names_it(
    tmp_path: Path, name: str, protocol: int, container: str
) -> None:
    target = tmp_path / "was-here"
    payload, named = payloads(str(target))[name]
    path = contain(container, payload, protocol, tmp_path / "model.th")
    with pytest.raises(UnsafePickle) as caught:
        separator.load_checkpoint(path)
    assert not target.exists()
    assert "antigravity" not in sys.modules
    assert named in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_python_itself_would_have_run_it(tmp_path: Path) -> None:
    """Else the tests above could pass because the payloads are none."""
    target = tmp_path / "was-here"
    payload, _ = payloads(str(target))["os.system"]
    pickle.loads(pickle.dumps(payload, protocol=2))
    assert target.exists()


def persistent(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"Q."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@pytest.mark.parametrize(
    "pickled",
    [
        # A model's class is a name: it is not called, not by any opcode that calls.
        b"\x80\x02cdemucs.htdemucs\nHTDemucs\n)R.",
        b"\x80\x02cdemucs.htdemucs\nHTDemucs\n)\x81.",
        b"\x80\x04cdemucs.htdemucs\nHTDemucs\n)}\x92.",
        b"\x80\x02(cdemucs.htdemucs\nHTDemucs\no.",
        b"\x80\x02(idemucs.htdemucs\nHTDemucs\n.",
        b"\x80\x02cdemucs.htdemucs\nHTDemucs\n}b.",
        # Names that go through an allowed one.
        b"\x80\x02cdemucs.htdemucs\nHTDemucs.__init__\n.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        # A persistent id that names a class from somewhere else.
        persistent(b"(" + text("module") + text("os.system") + text("a") + text("b") + b"t"),
        # A storage class that is none.
        persistent(
            b"(" + text("storage") + b"cdemucs.htdemucs\nHTDemucs\n" + text("0") + text("cpu")
            + b"K\x01t"
        ),
        # extension registry
        b"\x80\x02\x82\x01.",
    ],
)  # fmt: skip
def test_names_are_never_called(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "model.th"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(4))
    with pytest.raises(BadCheckpoint) as caught:
        separator.load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02)" + b"q\x00h\x00\x86" * 300 + b".",  # 2**300 paths through one tuple
        b"\x80\x02cfractions\nFraction\n" + text("9" * 60 + "/7") + b"\x85R.",
        b"\x80\x02" + b"]q\x00h\x00a.",  # a list in itself
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02}" + text("klass") + b"cdemucs.htdemucs\nHTDemucs\n" + b"s"
        + text("args") + b")s" + text("kwargs") + b"]q\x01h\x01as.",
    ],
)  # fmt: skip
def test_odd_values_are_refused_at_once(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "model.th"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(BadCheckpoint):
        separator.load_checkpoint(path)


def test_arguments_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    """A list of lists of lists, each twice the one before, in 100 bytes."""
    grown = b"]" + b"".join(b"q%c]h%ch%c\x86" % (i, i, i) for i in range(1, 60))
    pickled = b"\x80\x02}(" + text("klass") + b"cdemucs.htdemucs\nHTDemucs\n"
    pickled += text("args") + b")" + text("kwargs") + b"}" + text("a") + grown + b"s"
    pickled += text("state") + b"}u."
    path = tmp_path / "model.th"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(BadCheckpoint):
        separator.load_checkpoint(path)
