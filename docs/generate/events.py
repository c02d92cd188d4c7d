"""The service's log: event names from the code, fields from lines that the log writes."""

from __future__ import annotations

import ast
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.ledger.states import Job, Recipe, State
from bridge.service.event_log import FILE, EventLog
from docs.generate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BRIDGE = Path(__file__).parent.parent.parent / "bridge"

# What each event means; a test compares the keys with the code.
SERVICE_EVENTS = {
    "began": "the service, or a batch, started",
    "ended": "it ended; the text has the counts",
    "paused": "disk or ledger cannot be used now; no job is attempted",
    "resumed": "disk and ledger can be used again",
    "recovered": "jobs that a service left behind when it died go back into the queue",
    "taken-over": "a job of another service that died goes on here",
    "swept": "staging folders that a service left behind were removed",
    "intake": "watching the folder has trouble, such as too few inotify watches",
    "worker-lost": "the worker process crashed, was killed or hung; with its last words",
    "defect": "the writer of a session file failed unexpectedly; the stems are not affected",
    "thread-died": "a thread of the service died of a defect; the service ends with exit code 1",
    "reloaded": "the settings were read again",
    "reload-refused": "the new settings are wrong; the old ones stay in force",
    "osc-open": "the OSC port can be reached from other computers",
}
JOB_EVENTS = {
    "started": "a job begins",
    "done": "its stems are published",
    "skipped": "nothing had to be done: the stems are there, or a silent bounce gets none",
    "retry": "it failed, and will be tried again",
    "failed": "it failed for good",
    "released": "it ends without a result: the bounce is gone, or another service makes its stems",
    "note": "a message without a name of its own",
}
_FIRST_FIELDS = ("time", "level", "event", "pid", "folder")


def named_in_code() -> dict[str, set[str]]:
    """Every service event that the code emits, with the fields that its calls name."""
    found: dict[str, set[str]] = {}
    for path in sorted(BRIDGE.rglob("*.py")):
        for call in _event_calls(ast.parse(path.read_text(encoding="utf-8"))):
            name = call.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                facts = {each.arg for each in call.keywords if each.arg}
                found.setdefault(name.value, set()).update(facts)
    return found


def _event_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "event" and node.args:
            yield node


def job_lines() -> dict[str, dict[str, Any]]:
    """A line of the log for each event of a job, as the log writes it; without `done`."""
    recipe = Recipe("stems", "h", "m", "v", Path("Stems"))
    job = Job(7, Path("Bounces"), Path("Mix.wav"), 1, 1, recipe, State.RUNNING, 1, 0.0, 1.0, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder), Path("Bounces"))
        ends: tuple[Callable[[], None], ...] = (
            lambda: log.skipped(job),
            lambda: log.failed(job, "reason", retry=True),
            lambda: log.failed(job, "reason", retry=False),
            lambda: log.released(job, "reason"),
        )
        for end in ends:
            log.started(job)
            end()
        log.note("text")
        log.close()
        text = (Path(folder) / FILE).read_text(encoding="ascii")
    lines = map(json.loads, text.splitlines())
    return {line["event"]: line for line in lines}


def reference() -> str:
    """The tables of job events and service events."""
    lines = job_lines()
    done = (*_own(lines["skipped"]), "stages", "warnings")
    jobs = (
        (f"`{name}`", _listed(done if name == "done" else _own(lines[name])), meaning)
        for name, meaning in JOB_EVENTS.items()
    )
    named = named_in_code()
    services = (
        (f"`{name}`", _listed(("text", *sorted(named.get(name, ())))), meaning)
        for name, meaning in SERVICE_EVENTS.items()
    )
    header = ("event", "fields", "meaning")
    return f"### Jobs\n\n{table(header, jobs)}\n### The service\n\n{table(header, services)}"


def _own(line: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in line if name not in _FIRST_FIELDS)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
