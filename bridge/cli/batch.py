"""`stembridge batch`: convert a whole folder of exports, once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.batch.outcome import Outcome
    from bridge.batch.plan import Item, Plan
    from bridge.batch.progress import BounceProgress
    from bridge.batch.run import Batch

# Bounces in the table of levels on the terminal; a file from --summary holds any number.
_MOST_SHOWN = 100


@options.with_separation_options
def batch(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The DAW's export folder, with sub-folders.")
    ],
    out: options.Out = None,
    separation: options.SeparationOptions = options.DEFAULT_OPTIONS,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="PATTERN=PRESET",
            help="Preset for files or folders with a matching name or path, as in "
            "'Drums*=drums.yaml'; the first match wins. Repeatable.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            max=64,
            metavar="N",
            help="Bounces at a time. One uses all cores; each more needs the memory of another "
            "model, and helps with many short files.",
        ),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and write nothing.")
    ] = False,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="A,B,...",
            help="One session file with all stems: reaper, dawproject, ardour, aaf, m3u8, csv.",
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        list[Path] | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help="Write results and levels to a .csv or .html file. Repeatable.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert all sound files in FOLDER and its sub-folders, then report each result.

    Stems go to FOLDER/Stems (or DIR), in the same sub-folders. Finished bounces are skipped, so the
    same command resumes after an interruption and adds new exports.
    """
    from bridge.batch.rules import parse
    from bridge.batch.run import Batch
    from bridge.batch.sessions import check_formats
    from bridge.batch.tables import check_summary
    from bridge.cli.inputs import check_out
    from bridge.publish.locations import OUTPUT_FOLDER
    from bridge.system import standard_streams

    check_out(out)
    if not dry_run:
        standard_streams.keep_exit_code()
    formats = options.split_names(session)
    check_formats(formats)
    for file in summary or ():
        check_summary(file)
    home = _absolute(folder)
    out_dir = _absolute(out) if out else home / OUTPUT_FOLDER
    converter = separation.idle_converter(options.new_worker())
    rules = parse(maps or (), converter.settings.plugin_folders)
    with Batch(home, out_dir, converter, rules) as work:
        plan = work.plan()
        is_whole = _print_notices(work, plan)
        if dry_run:
            _print_plan(work, plan, jobs)
            _print_not_read(work, plan)
            return
        lines, stopped, died = (
            _convert(work, plan, separation, jobs) if plan.to_do else ({}, False, None)
        )
        found = work.outcomes(plan, lines)
    _print_outcomes(found, has_worked=bool(plan.to_do))
    _print_not_read(work, plan)
    _write_summaries(work, plan, found, summary or ())
    has_sessions = stopped or _write_sessions(work, found, formats)
    _exit(stopped=stopped, is_good=is_whole and has_sessions and died is None, found=found)


def _exit(*, stopped: bool, is_good: bool, found: Sequence[Outcome]) -> None:
    from bridge.batch.outcome import OutcomeState
    from bridge.cli.interrupts import INTERRUPTED

    if stopped:
        raise typer.Exit(INTERRUPTED)
    if not is_good or any(one.state in {OutcomeState.FAILED, OutcomeState.LEFT} for one in found):
        raise typer.Exit(1)


def _absolute(path: Path) -> Path:
    """The absolute path without `..`: the ledger identifies a folder by it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 `resolve` would follow links


def _print_notices(work: Batch, plan: Plan) -> bool:
    """Print notices about the folder; returns whether all its sub-folders could be read."""
    from bridge.cli.show import note, plain

    if not plan.items:
        note(plain(f"no sound files in {work.folder}"))
    if plan.links:
        note(f"ignored: {plan.links} link(s), which are not followed")
    for text in work.rules.unused(item.source for item in plan.items):
        note(plain(f"--map: {text}"))
    for place in plan.unreadable:
        note(
            plain(
                f"cannot read {place.path} ({place.reason}): "
                "change its permissions, then run this again"
            )
        )
    return not plan.unreadable


def _print_not_read(work: Batch, plan: Plan) -> None:
    """Print the files in formats that are not read."""
    from bridge.cli.show import note, plain
    from bridge.intake.not_read import listing, sentence

    if len(plan.not_read) == 1:
        note(plain(f"not read: {sentence(plan.not_read[0], work.folder)}"))
    elif plan.not_read:
        note(plain(f"not read: {listing(plan.not_read, work.folder)}"))


def _print_plan(work: Batch, plan: Plan, jobs: int) -> None:
    from bridge.batch.pace import RemainingJob, format_duration
    from bridge.cli.show import note, plain, result, table

    lengths_s = work.lengths_s(plan.to_do)
    if plan.to_do:
        columns = ("bounce", "why", "preset", "model", ">length", "stems")
        table(None, columns, (_plan_row(item, lengths_s[item]) for item in plan.to_do))
    for item in plan.items:
        problem = work.problem(item)
        if problem is not None:
            note(plain(f"{item.source}: {problem}"))
    left = [
        RemainingJob((item.recipe.model, item.recipe.preset_hash), length_s)
        for item, length_s in lengths_s.items()
    ]
    remaining_s = work.pace(plan.to_do).remaining_s(left, jobs)
    text = f"{len(plan.to_do)} to do, {len(plan.items) - len(plan.to_do)} unchanged"
    if plan.to_do:
        audio = f"{format_duration(sum(lengths_s.values()))} of audio"
        unknown = "time unknown before the first run with these models and presets"
        estimate = unknown if remaining_s is None else f"about {format_duration(remaining_s)}"
        text += f": {audio}, {estimate}"
    result(plain(f"{text} → {work.out_dir}"))


def _plan_row(item: Item, length_s: float) -> tuple[str, ...]:
    from bridge.batch.pace import format_duration
    from bridge.cli.show import plain

    length = format_duration(length_s) if length_s else "?"
    why, recipe = item.state.value, item.recipe
    cells = (item.source, why, recipe.preset_name, recipe.model, length, item.place)
    return tuple(plain(str(cell)) for cell in cells)


def _convert(
    work: Batch, plan: Plan, separation: options.SeparationOptions, jobs: int
) -> tuple[Mapping[Path, BounceProgress], bool, str | None]:
    """Convert the planned bounces.

    Returns:
        The last progress of each bounce, whether the run was interrupted, and the error of a
        thread that died, or None.
    """
    from bridge.batch.progress import Progress
    from bridge.batch.run import extra_converters
    from bridge.cli.board import Board
    from bridge.cli.interrupts import deferred_signals, interrupt_check
    from bridge.cli.show import overall_share
    from bridge.render import preset_check
    from bridge.service.event_log import EventLog
    from bridge.service.events import CompositeListener

    workers = min(jobs, len(plan.to_do))
    if workers > 1:
        # OpenMP's spinning threads take the cores from other workers: three workers on two busy
        # cores needed a quarter of the processor time with sleeping threads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with (
        deferred_signals() as stop,
        work.converter as converter,
        extra_converters(converter, workers - 1, options.new_worker) as more,
    ):
        converter.worker.start()
        separation.try_plugins()
        for rule in work.rules.rules:
            preset_check.check_preset(rule.preset)
        lengths_s, pace = work.lengths_s(plan.to_do), work.pace(plan.to_do)
        converter.load(interrupt_check(stop))  # early, to report missing weights at once
        progress = Progress(lengths_s, pace, overall=overall_share, workers=workers)
        log = EventLog(converter.settings.log_dir, work.folder)
        about = f"{len(plan.to_do)} of {len(plan.items)} to do: {work.folder} → {work.out_dir}"
        with Board(progress) as board:
            events = CompositeListener(progress, board, log)
            facts = {"preset": converter.preset.name, "model": converter.model}
            events.event("began", about, **facts)
            tally = work.run(plan, events, stop, more)
        log.event("ended", f"{tally}; {tally.died}" if tally.died else str(tally))
        return progress.by_source(), stop.is_set(), tally.died


def _print_outcomes(found: Sequence[Outcome], *, has_worked: bool) -> None:
    from bridge.batch.outcome import OutcomeState
    from bridge.batch.tables import format_counts
    from bridge.cli.show import plain, result, table

    done = [one for one in found if one.state is OutcomeState.DONE]
    if 0 < len(done) <= _MOST_SHOWN:
        columns = ("bounce", "stem", ">LUFS", ">dBTP", ">gain dB", "remarks")
        table(None, columns, (row for one in done for row in _level_rows(one)))
    elif done:
        result(f"levels of {len(done)} bounces: see --summary FILE.csv or FILE.html")
    for one in found:
        if one.state is OutcomeState.SKIPPED:
            result(plain(f"{one.source}: {one.reason}"))
        if one.state is OutcomeState.FAILED:
            result(plain(f"failed: {one.source}: {one.reason}"))
    if any(one.state is OutcomeState.FAILED for one in found):
        result("render these again, or fix the cause and `stembridge retry`; then run this again")
    for reason, number in Counter(
        one.reason for one in found if one.state is OutcomeState.LEFT
    ).items():
        result(plain(f"left: {number} ({reason}); run the same command again"))
    result(format_counts(found) if has_worked else f"nothing to do: {format_counts(found)}")


def _level_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Table rows of a bounce, one per stem; only the first has the bounce's name."""
    from bridge.cli.show import plain

    if outcome.manifest is None:
        return
    name, remarks = plain(str(outcome.source)), plain("; ".join(outcome.manifest.warnings))
    for stem in outcome.manifest.stems:
        levels = (stem.lufs, stem.true_peak_dbtp, stem.gain_db)
        yield (name, plain(stem.name), *(_number(level) for level in levels), remarks)
        name = remarks = ""


def _number(level: float | None) -> str:
    return "-" if level is None else f"{round(level, 1) + 0.0:.1f}"


def _write_summaries(
    work: Batch, plan: Plan, found: Sequence[Outcome], files: Sequence[Path]
) -> None:
    import time

    from bridge import __version__
    from bridge.batch.tables import write_summary
    from bridge.cli.show import plain, result
    from bridge.intake.not_read import sentence

    when = time.strftime("%Y-%m-%d %H:%M")
    made = f"{when}, Stembridge {__version__}: {work.folder} → {work.out_dir}"
    unread = [sentence(one, work.folder) for one in plan.not_read]
    for file in files:
        write_summary(file, f"Stems of {work.folder.name}", found, made, unread)
        result(plain(f"summary: {file}"))


def _write_sessions(work: Batch, found: Sequence[Outcome], formats: Sequence[str]) -> bool:
    """Write the session files and report each; returns whether all were written."""
    from bridge.batch.sessions import write_sessions
    from bridge.cli.show import plain, result
    from bridge.service.event_log import EventLog

    written = write_sessions(formats, found, work.out_dir, work.folder.name)
    for one in written:
        result(plain(f"session: {one.path}" + (f" ({one.why})" if one.why else "")))
        for text in one.left_out:
            result(plain(f"session: {one.path.name} lacks {text}"))
        if one.traceback:
            log = EventLog(work.converter.settings.log_dir, work.folder)
            log.event("defect", f"{one.path}: {one.why}", traceback=one.traceback)
    return not any(one.is_failure for one in written)
