"""The command line. One file per command: parse, call, format.

Only typer is imported before a command runs: `--help` must not wait for torch.
"""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from bridge import __version__
from bridge.cli import (
    batch,
    demo,
    doctor,
    evaluate,
    models,
    presets,
    preview,
    reload,
    retry,
    split,
    status,
    watch,
)

GARBAGE_OBJECTS = 50_000  # between two looks for garbage in cycles, of which we make few

app = typer.Typer(
    name="stembridge",
    help="Stems of your bounce, back in the DAW at the same place, length, rate and depth.",
    epilog="Exit codes: 0 all done, 1 something failed, 2 the command was not understood.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("watch")(watch.watch)
app.command("split")(split.split)
app.command("batch")(batch.batch)
app.command("preview")(preview.preview)
app.add_typer(presets.app, name="presets")
app.add_typer(models.app, name="models")
app.command("evaluate")(evaluate.evaluate)
app.command("status")(status.status)
app.command("retry")(retry.retry)
app.command("reload")(reload.reload)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from bridge.cli.show import result

        result(f"stembridge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command and end the program; an error raised on purpose is one line and a code."""
    from bridge.system import standard_streams

    # Imports make 170,000 objects that stay; looking for garbage among them costs a tenth more.
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    atexit.register(gc.freeze)  # at the end the system takes all back, cycles or not
    sys.exit(standard_streams.finish(_run()))


def _run() -> int:
    """The exit code of the command."""
    from bridge.cli.arguments import expanded
    from bridge.cli.show import note, plain
    from bridge.errors import StembridgeError, UsageError, from_separation
    from separator.errors import SeparatorError

    try:
        app(expanded(sys.argv[1:]), prog_name="stembridge")
    except SystemExit as ended:  # typer ends so, whether all went well or not
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (StembridgeError, SeparatorError) as raised:
        error = raised if isinstance(raised, StembridgeError) else from_separation(raised)
        note(plain(f"stembridge: {error}"))
        return UsageError.exit_code if isinstance(error, UsageError) else 1
    except PermissionError as refused:  # of a file or folder that the user or a setting names
        place = refused.filename or "a file"
        note(
            plain(f"stembridge: cannot use {place} ({refused.strerror}): allow it or name another")
        )
        return 1
    except KeyboardInterrupt:
        note("stembridge: stopped")
        return 130  # 128 + SIGINT, as shells expect
    return 0
