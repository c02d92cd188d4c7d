"""`stembridge watch`: convert bounces as they appear in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


@options.with_separation_options
def watch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The DAW's folder for bounces.")],
    out: options.Out = None,
    separation: options.SeparationOptions = options.DEFAULT_OPTIONS,
    session: options.Session = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Scan regularly, for network drives without events.")
    ] = False,
    osc: Annotated[
        str | None,
        typer.Option(
            "--osc",
            metavar="[HOST:]PORT",
            help="Accept jobs by OSC at this port; from other computers only with HOST.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Convert all bounces in the folder, then exit.")
    ] = False,
) -> None:
    """Convert every bounce that appears in FOLDER, until Ctrl-C.

    Stems go to FOLDER/Stems/<bounce>/, with the length, rate, depth and time reference of the
    bounce. A bounce is converted once its file is closed; rendering it again replaces its stems.
    """
    from contextlib import nullcontext

    from bridge.cli.inputs import check_out
    from bridge.cli.interrupts import (
        INTERRUPTED,
        deferred_signals,
        interrupt_check,
        reload_on_hangup,
    )
    from bridge.cli.show import EventLines
    from bridge.ledger.states import State
    from bridge.ledger.store import Ledger
    from bridge.osc.control import osc_control
    from bridge.service.event_log import EventLog
    from bridge.service.events import CompositeListener
    from bridge.service.watch import LEDGER_PATIENCE_S, Watch
    from bridge.system import standard_streams

    standard_streams.keep_exit_code()
    check_out(out)
    with (
        deferred_signals() as stop,  # a signal puts the running job back into the queue
        separation.converter(session=session) as converter,
        osc_control(options.resolved_settings(osc=osc)) as control,
    ):
        settings = converter.settings
        ledger = Ledger(settings.ledger_path, busy_timeout_s=LEDGER_PATIENCE_S)
        events = CompositeListener(
            EventLines(),
            EventLog(settings.log_dir, folder.absolute()),
            *([control] if control else []),
        )
        service = Watch(
            folder,
            out,
            converter,
            ledger,
            events,
            poll=poll,
            reread=lambda: separation.converter(converter.worker, session),
        )
        converter.load(interrupt_check(stop))  # early, to report missing weights at once
        events.event(
            "began",
            f"watching {service.folder} → {service.out_dir} "
            f"(preset {converter.preset.name}, model {converter.model})",
            preset=converter.preset.name,
            model=converter.model,
        )
        if control is not None:
            events.note(f"listening for OSC on {control.endpoint}")
            for warning in control.warnings:
                events.event("osc-open", f"careful: {warning}")
        hearing = control.serving(service) if control else nullcontext()
        with reload_on_hangup(service.reload, stop), hearing:
            tally = service.run(stop, once=once)
    counts = str(tally)
    if tally.blocked is not None:
        waiting = ledger.counts(service.folder)[State.PENDING]
        counts = f"{counts}, {waiting} left pending: {tally.blocked}"
    if tally.died is not None:
        counts = f"{counts}; {tally.died}"
    events.event("ended", counts)
    if tally.died is not None:
        raise typer.Exit(1)
    if stop.is_set():
        raise typer.Exit(INTERRUPTED)
    if tally.failed or tally.blocked is not None:
        raise typer.Exit(1)
