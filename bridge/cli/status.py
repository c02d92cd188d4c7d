"""`stembridge status`: the state of every bounce, and the running services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.ledger.services import Service
    from bridge.ledger.states import Job, State


def status(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Only this watched folder.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Newest bounces shown.")] = 30,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as one JSON object.")
    ] = False,
) -> None:
    """Show the state of every bounce (done, failed with its reason, pending, running) and the
    running services.
    """
    from bridge.cli.show import json_result, plain, result, table
    from bridge.ledger.states import State
    from bridge.ledger.store import Ledger

    path = options.resolved_settings().ledger_path
    jobs: Sequence[Job] = ()
    services: Sequence[Service] = ()
    where = None if folder is None else folder.absolute()
    counts = dict.fromkeys(State, 0)
    if path.exists():
        ledger = Ledger(path)
        jobs, counts = ledger.jobs(where, limit=limit), ledger.counts(where)
        services = ledger.services.living(where)
    if as_json:
        json_result(_report(jobs, counts, services))
        return
    if not path.exists():
        result("nothing has been watched yet: `stembridge watch FOLDER` begins")
        return
    if not jobs and not services:
        known = "no bounce is known yet" if folder is None else f"no bounce of {where} is known"
        typer.echo(plain(f"{known}: `stembridge watch FOLDER` begins"))
        return
    table(
        None, ("bounce", "state", "when", "stems or reason"), (_row(job) for job in reversed(jobs))
    )
    for service in services:
        result(plain(_line(service)))
    result(", ".join(f"{count} {state.value}" for state, count in counts.items() if count))


def _row(job: Job) -> tuple[str, str, str, str]:
    from bridge.cli.show import plain

    when_s = job.finished_s or job.started_s or job.created_s
    outcome = job.reason or (str(job.manifest_path.parent) if job.manifest_path else "")
    if job.state.value == "pending" and job.attempts:
        outcome = f"{outcome} (attempt {job.attempts + 1} follows)"
    return plain(str(job.source_path)), job.state.value, _local(when_s), plain(outcome)


def _line(service: Service) -> str:
    recipe = service.recipe
    about = f"watching {service.folder} → {recipe.out_dir} since {_local(service.started_s)}"
    paused = f"; PAUSED: {service.paused}" if service.paused else ""
    return f"{about} (process {service.process.pid}, preset {recipe.preset_name}){paused}"


def _local(when_s: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when_s))


def _report(
    jobs: Sequence[Job], counts: Mapping[State, int], services: Sequence[Service]
) -> dict[str, Any]:
    return {
        "counts": {state.value: count for state, count in counts.items()},
        "services": [_service(service) for service in services],
        "jobs": [_job(job) for job in reversed(jobs)],
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "folder": str(service.folder),
        "out_dir": str(service.recipe.out_dir),
        "preset": service.recipe.preset_name,
        "model": service.recipe.model,
        "pid": service.process.pid,
        "started_s": service.started_s,
        "heartbeat_s": service.heartbeat_s,
        "paused": service.paused,
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "bounce": str(job.path),
        "state": job.state.value,
        "attempts": job.attempts,
        "code": job.code,
        "reason": job.reason,
        "manifest": None if job.manifest_path is None else str(job.manifest_path),
        "preset": job.recipe.preset_name,
        "model": job.recipe.model,
        "created_s": job.created_s,
        "started_s": job.started_s,
        "finished_s": job.finished_s,
    }
