"""Forks services: a process that has imported everything, so that a service costs no imports.

It reads orders from standard input, one JSON object a line, and answers on standard output: first
with the number of the service's process, then, when that has ended, with how, and with how many
processes it left behind that did not end by themselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from tests.crash import launch

PATIENCE_S = 20.0  # for what a dead service leaves
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans become our children, not those of init


def main() -> None:
    """Serves until standard input ends."""
    from bridge.audio import probe  # noqa: F401
    from bridge.cli import interrupts, show  # noqa: F401
    from bridge.ledger import store  # noqa: F401
    from bridge.presets import loader  # noqa: F401
    from bridge.service import event_log, watch  # noqa: F401 imported before the fork
    from separator.weights import catalog  # noqa: F401

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(order)
            return
        _say({"pid": pid})
        _, status = os.waitpid(pid, 0)
        _say({"code": os.waitstatus_to_exitcode(status), "stayed": _collect()})


def become(order: dict[str, Any]) -> None:
    """This process is a service now: `stembridge` with the order's arguments."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # when the tests are broken off
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.environ.update(order["environment"])
    sys.argv = ["stembridge", *order["arguments"]]
    if limit_bytes := order.get("file_bytes"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does by itself
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    hurry()
    launch.main()


def hurry() -> None:
    """Shorter waits than the product's; their order stays the same."""
    from bridge.intake.intake import Intake
    from bridge.intake.settle import SettleTimes
    from bridge.ledger import states
    from bridge.service import retry_wait

    defaults = Intake.__init__.__kwdefaults__
    defaults["times"] = SettleTimes(riff_quiet_s=0.02, quiet_s=0.05)
    states._BACK_OFF_S = (0.05, 0.05)  # type: ignore[assignment]
    retry_wait.ONCE_PATIENCE_S = 0.3  # type: ignore[misc]
    retry_wait.FIRST_WAIT_S = retry_wait.LONGEST_WAIT_S = 0.1  # type: ignore[misc]


def _collect() -> int:
    """Waits for orphans; kills those that do not end, and returns how many."""
    deadline_s = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline_s:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
    stayed = 0
    for number in _children():
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        stayed += 1
    return stayed


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [int(number) for number in file.read().split()]


def _say(answer: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
