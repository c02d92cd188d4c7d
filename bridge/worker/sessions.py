"""The session files of a job, staged beside its stems and written for where all of it will lie."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.daw.formats import write_session
from bridge.daw.session import from_manifest
from bridge.disk import disk_errors
from bridge.errors import SessionError
from bridge.kept import sha256
from bridge.report import SessionFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.report import Manifest
    from bridge.worker.order import Order
    from bridge.worker.stopwatch import Stopwatch

# How often we say that we live while a stem file is encoded: well below any `stall_s`.
_BEAT_S = 1.0


def with_sessions(manifest: Manifest, order: Order, folder: Path, watch: Stopwatch) -> Manifest:
    """The manifest with those session files of the preset that could be written.

    One that its format cannot hold costs the user that file, not the stems: a warning says so.

    Args:
        manifest: of the stems, which lie in `folder`.
        order: what was to be made; stems and sessions are moved to its target in the end.
        folder: where to put the files.
        watch: takes the time, and says now and then that we live.

    Raises OutputError when the disk refuses.
    """
    if not order.preset.session:
        return manifest
    done: list[SessionFacts] = []
    refused: list[str] = []
    with watch.stage("session") as report, _alive(report):
        for name in order.preset.session:
            try:
                done.append(_write(name, manifest, order.target, folder))
            except SessionError as error:
                refused.append(f"session '{name}' was not written: {error}")
    return replace(
        manifest,
        sessions=tuple(done),
        warnings=(*manifest.warnings, *refused),
        seconds=dict(watch.seconds),
    )


def _write(name: str, manifest: Manifest, target: Path, folder: Path) -> SessionFacts:
    session = from_manifest(manifest.to_json(), target, staged=folder)
    path = write_session(name, session, folder, target.name, stays_in=target)
    with disk_errors(path):
        return SessionFacts(name, path.relative_to(folder.absolute()).as_posix(), sha256(path))


@contextmanager
def _alive(report: Callable[[float], None]) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEAT_S):
            report(0.0)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
