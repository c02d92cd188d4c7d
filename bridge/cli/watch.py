"""`stembridge watch`: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


@options.sharing
def watch(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that you bounce into.")
    ],
    out: options.Out = None,
    asked: options.Asked = options.NOTHING,
    session: options.Session = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look regularly; for network drives without events.")
    ] = False,
    osc: Annotated[
        str | None,
        typer.Option(
            "--osc",
            metavar="[HOST:]PORT",
            help="Take jobs by OSC, from this computer unless HOST says otherwise.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work off what is there, then exit.")
    ] = False,
) -> None:
    """Make stems of every bounce that appears in FOLDER, until Ctrl-C.

    They lie in FOLDER/Stems/<bounce>/, as long as the bounce, at its rate and depth, with its time
    reference. A bounce is taken when its file is closed; a new render over it replaces its stems.
    """
    from contextlib import nullcontext

    from bridge.cli.inputs import check_out
    from bridge.cli.interrupts import INTERRUPTED, deferred, hangups, raising
    from bridge.cli.show import Lines
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
        deferred() as stop,  # the running job goes back into the queue
        asked.converter(session=session) as converter,
        osc_control(options.settings(osc=osc)) as control,
    ):
        settings = converter.settings
        ledger = Ledger(settings.ledger_path, busy_timeout_s=LEDGER_PATIENCE_S)
        events = CompositeListener(
            Lines(), EventLog(settings.log_dir, folder.absolute()), *([control] if control else [])
        )
        service = Watch(
            folder,
            out,
            converter,
            ledger,
            events,
            poll=poll,
            reread=lambda: asked.converter(converter.worker, session),
        )
        converter.load(raising(stop))  # now, not at the first bounce: what is missing shows at once
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
        with hangups(service.reload, stop), hearing:
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
