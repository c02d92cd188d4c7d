"""Session files of a job, staged beside its stems with paths of the final folder."""

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

# Interval of progress reports while a stem file is encoded: well below any `stall_s`.
_HEARTBEAT_S = 1.0


def add_sessions(
    manifest: Manifest, request: RenderRequest, folder: Path, watch: Stopwatch
) -> Manifest:
    """Write the session files of the preset and add them to the manifest.

    A clip or file that a format cannot hold is left out with a warning; the stems are published
    all the same. Unexpected exceptions are logged with their traceback.

    Args:
        manifest: manifest of the stems in `folder`.
        request: the preset, and the target folder that stems and sessions are moved to later.
        folder: staging folder of the files.
        watch: measures the time and reports progress.

    Raises:
        OutputBlocked: the disk is full or not writable.
    """
    if not request.preset.session:
        return manifest
    written: list[SessionFacts] = []
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
                written.append(facts)
                warnings += (f"session '{name}' is without {reason}" for reason in left_out)
    return replace(
        manifest,
        sessions=tuple(written),
        warnings=(*manifest.warnings, *warnings),
        seconds=dict(watch.seconds),
    )


def _write(
    name: str, manifest: Manifest, target: Path, folder: Path
) -> tuple[SessionFacts, tuple[str, ...]]:
    """Write one session file; return its facts, and what was left out of it."""
    session = from_manifest(manifest.to_json(), target, staged=folder)
    path, left_out = write_what_fits(name, session, folder, target.name, stays_in=target)
    with disk_errors(path):
        place = path.relative_to(folder.absolute()).as_posix()
        return SessionFacts(name, place, sha256(path)), left_out


@contextmanager
def _heartbeat(report: Callable[[float], None]) -> Iterator[None]:
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(_HEARTBEAT_S):
            report(0.0)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
