"""Processes are identified by more than their number."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from bridge.system.processes import UNKNOWN, process_namespace, start_mark, this_process


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_this_process_is_not_gone() -> None:
    me = this_process()
    assert (me.host, me.pid) == (process_namespace(), os.getpid())
    assert me.is_here
    assert not me.is_gone
    assert start_mark(os.getpid()) == me.start_mark != UNKNOWN


def test_a_process_is_gone_when_it_ends_and_its_number_is_not_enough() -> None:
    child = sleeper()
    try:
        mark = start_mark(child.pid)
        assert mark
        assert mark == start_mark(child.pid)  # it does not change with time
        theirs = replace(this_process(), pid=child.pid, start_mark=mark)
        assert not theirs.is_gone
        assert replace(theirs, start_mark="an earlier process").is_gone
        assert not replace(theirs, start_mark=UNKNOWN).is_gone
        assert not replace(theirs, host="elsewhere", start_mark="another").is_gone
        child.kill()
        while psutil.pid_exists(child.pid) and psutil.Process(child.pid).status() != "zombie":
            pass
        assert start_mark(child.pid) is None  # though nobody has collected it yet
        assert theirs.is_gone
    finally:
        child.kill()
        child.wait()
    assert theirs.is_gone


def test_processes_of_one_moment_differ() -> None:
    children = [sleeper() for _ in range(3)]
    try:
        marks = {(child.pid, start_mark(child.pid)) for child in children}
        assert len(marks) == 3
        assert None not in {mark for _, mark in marks}
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_one_that_the_system_hides_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_yours(pid: int, number: int) -> None:
        raise PermissionError

    child = sleeper()
    child.kill()
    child.wait()
    if not os.path.exists("/proc/self/stat"):  # noqa: PTH110
        pytest.skip("needs /proc, where they can be hidden")
    monkeypatch.setattr(os, "kill", not_yours)
    assert start_mark(child.pid) == UNKNOWN
    assert not replace(this_process(), pid=child.pid, start_mark="any").is_gone
