"""`stembridge watch`: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


def watch(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that you bounce into.")
    ],
    out: options.Out = None,
    preset: options.Preset = None,
    model: options.Model = None,
    stems: options.Stems = None,
    two_stems: options.TwoStems = None,
    other_method: options.OtherMethod = None,
    segment: options.Segment = None,
    overlap: options.Overlap = None,
    shifts: options.Shifts = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look regularly; for network drives without events.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Work off what is there, then exit.")
    ] = False,
) -> None:
    """Make stems of every bounce that appears in FOLDER, until Ctrl-C.

    They lie in FOLDER/Stems/<bounce>/, as long as the bounce, at its rate and depth, with its time
    reference. A bounce is taken when its file is closed; a new render over it replaces its stems.
    """
    from bridge.cli.interrupts import INTERRUPTED, deferred
    from bridge.cli.show import Lines
    from bridge.ledger.store import Ledger
    from bridge.watch import Watch

    engine = options.engine(
        preset,
        model,
        stems=stems,
        two_stems=two_stems,
        other_method=other_method,
        segment_s=segment,
        overlap=overlap,
        shifts=shifts,
    )
    ledger = Ledger(engine.settings.ledger_path)
    audience = Lines()
    service = Watch(folder, out, engine, ledger, audience, poll=poll)
    _ = engine.separator  # now, not at the first bounce: what is missing shows at once
    audience.note(
        f"watching {service.folder} → {service.out_dir} "
        f"(preset {engine.preset.name}, model {engine.model})"
    )
    with deferred() as stop:  # the running job goes back into the queue
        tally = service.run(stop, once=once)
    audience.note(f"{tally.done} done, {tally.skipped} unchanged, {tally.failed} failed")
    if stop.is_set():
        raise typer.Exit(INTERRUPTED)
    if tally.failed:
        raise typer.Exit(1)
