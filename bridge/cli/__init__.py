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

GARBAGE_OBJECTS = 50_000  # allocations between two garbage collections

app = typer.Typer(
    name="stembridge",
    help="Separate bounces into stems that line up in the DAW: same position, length, rate, depth.",
    epilog="Exit codes: 0 success, 1 something failed, 2 wrong usage, 130 interrupted.",
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
    """Run the command and exit; known errors are one line on standard error and an exit code."""
    from bridge.system import standard_streams

    # Imports make 170,000 lasting objects; the default thresholds cost a tenth of the start.
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    atexit.register(gc.freeze)  # no collection at exit: the system frees all memory
    sys.exit(standard_streams.finish(_run()))


def _run() -> int:
    """Run the command; returns its exit code."""
    from bridge.cli.arguments import expand_wildcards
    from bridge.cli.show import note, plain
    from bridge.errors import StembridgeError, UsageError, from_separation
    from separator.errors import SeparatorError

    try:
        app(expand_wildcards(sys.argv[1:]), prog_name="stembridge")
    except SystemExit as ended:  # typer exits with it in all cases
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (StembridgeError, SeparatorError) as raised:
        error = raised if isinstance(raised, StembridgeError) else from_separation(raised)
        note(plain(f"stembridge: {error}"))
        return UsageError.exit_code if isinstance(error, UsageError) else 1
    except PermissionError as refused:  # a path from the command line or the settings
        place = refused.filename or "a file"
        note(
            plain(
                f"stembridge: cannot use {place} ({refused.strerror}): "
                "change its permissions or name another"
            )
        )
        return 1
    except KeyboardInterrupt:
        note("stembridge: stopped")
        return 130  # 128 + SIGINT, as shells expect
    return 0
