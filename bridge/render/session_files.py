"""The session files of a job, staged beside its stems and written for where all of it will lie."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.daw.partial import write_what_fits
from bridge.daw.session import from_manifest
from bridge.errors import OutputBlocked, OutputError, SessionDefect, SessionError
from bridge.publish.manifest import SessionFacts
from bridge.publish.session_ownership import sha256
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.publish.manifest import Manifest
    from bridge.render.request import RenderRequest
    from bridge.render.stopwatch import Stopwatch

_log = logging.getLogger(__name__)

# How often we say that we live while a stem file is encoded: well below any `stall_s`.
_BEAT_S = 1.0


def add_sessions(
    manifest: Manifest, request: RenderRequest, folder: Path, watch: Stopwatch
) -> Manifest:
    """The manifest with those session files of the preset that could be written.

    What a format cannot hold costs the user that clip or that file, not the stems: a warning says
    so. An exception that nobody foresaw is logged with its traceback.

    Args:
        manifest: of the stems, which lie in `folder`.
        request: what was to be made; stems and sessions are moved to its target in the end.
        folder: where to put the files.
        watch: takes the time, and says now and then that we live.

    Raises OutputBlocked when the disk refuses.
    """
    if not request.preset.session:
        return manifest
    done: list[SessionFacts] = []
    warnings: list[str] = []
    with watch.stage("session") as report, _heartbeat(report):
        for name in request.preset.session:
            try:
                facts, left_out = _write(name, manifest, request.target, folder)
            except OutputBlocked:
                raise  # the stems cannot be written either
            except (SessionError, OutputError) as error:
                warnings.append(f"session '{name}' was not written: {error}")
                if isinstance(error, SessionDefect):
                    _log.error(warnings[-1], exc_info=error)
            else:
                done.append(facts)
                warnings += (f"session '{name}' is without {reason}" for reason in left_out)
    return replace(
        manifest,
        sessions=tuple(done),
        warnings=(*manifest.warnings, *warnings),
        seconds=dict(watch.seconds),
    )


def _write(
    name: str, manifest: Manifest, target: Path, folder: Path
) -> tuple[SessionFacts, tuple[str, ...]]:
    """Returns what to list of a session file, and what was left out of it."""
    session = from_manifest(manifest.to_json(), target, staged=folder)
    path, left_out = write_what_fits(name, session, folder, target.name, stays_in=target)
    with disk_errors(path):
        place = path.relative_to(folder.absolute()).as_posix()
        return SessionFacts(name, place, sha256(path)), left_out


@contextmanager
def _heartbeat(report: Callable[[float], None]) -> Iterator[None]:
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
