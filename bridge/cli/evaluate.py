"""`stembridge evaluate`: score models on music with known stems."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.evaluate.run import Evaluation, System
    from bridge.evaluate.scores import Scores

COLUMNS = (">SDR", ">SI-SDR", ">SDR v4", ">ISR", ">SIR", ">SAR")


def evaluate(
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE_DIR",
            help="Tracks: folders with vocals.wav, drums.wav ..., or .stem.mp4 files.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model to score; repeatable. [default: the model in the settings]",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="hpss or centre, methods without weights: the lower bound. Repeatable.",
        ),
    ] = None,
    oracle: Annotated[
        bool,
        typer.Option("--oracle", help="Ideal ratio masks from the true stems: the upper bound."),
    ] = False,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all scores as JSON.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all scores as CSV.")
    ] = None,
) -> None:
    """Score models on music with known stems: SDR, SI-SDR and BSS Eval 4, in dB."""
    from bridge.cli.show import note, plain
    from bridge.evaluate import run, tables
    from bridge.evaluate.references import find_tracks

    systems = _systems(model or [], baseline or [], oracle=oracle)
    for file in (json, csv):
        if file is not None:
            tables.check_writable(file)
    tracks = find_tracks(reference)
    done = run.evaluate(tracks, systems, lambda text: note(plain(text)))
    _show(done)
    if json is not None:
        tables.write_json(json, done)
    if csv is not None:
        tables.write_csv(csv, done.rows)


def _systems(models: list[str], baselines: list[str], *, oracle: bool) -> list[System]:
    from bridge.cli.show import DownloadBar, note
    from bridge.config import DEFAULT_MODEL
    from bridge.evaluate import run

    settings = options.resolved_settings()
    if not (models or baselines or oracle):
        models = [settings.model or DEFAULT_MODEL]
    systems = [run.model(name, settings, DownloadBar(), note) for name in dict.fromkeys(models)]
    systems += [run.baseline(name, settings) for name in dict.fromkeys(baselines)]
    return [*systems, run.oracle()] if oracle else systems


def _show(done: Evaluation) -> None:
    from bridge.cli.show import plain, result, table
    from bridge.evaluate.scores import summarise

    tracks = dict.fromkeys(row.track for row in done.rows)
    for track in tracks:
        here = ((row.system, row.stem, row.scores) for row in done.rows if row.track == track)
        table(plain(track), ("", *COLUMNS), _lines(here))
    if len(tracks) > 1:
        medians = ((row.system, row.stem, row.scores) for row in summarise(done.rows))
        table(f"Median over {len(tracks)} tracks", ("", *COLUMNS), _lines(medians))
    result("In dB. SDR, SI-SDR: whole track. SDR v4 to SAR: BSS Eval 4, median over seconds.")
    for text in done.notes:
        result(plain(text))


def _lines(scores: Iterable[tuple[str, str, Scores]]) -> Iterator[tuple[str, ...]]:
    """Table rows: one per system, followed by one per stem."""
    from dataclasses import astuple

    last = None
    for system, stem, values in scores:
        if system != last:
            yield (system, *("" for _ in COLUMNS))
        last = system
        yield (f"  {stem}", *(_number(value) for value in astuple(values)))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
