"""A batch's outcomes as one self-contained HTML page, dark or light, and printable."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from bridge.batch.outcome import OutcomeState, count_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.batch.outcome import Outcome
    from bridge.publish.manifest import Manifest, StemFacts

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #666; --rule: #ccc;
  --bad: #a40000; --good: #046307 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; --faint: #a0a0a0;
  --rule: #444; --bad: #ff8a80; --good: #81c995 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
p { margin: .2rem 0 } .faint { color: var(--faint) } .bad { color: var(--bad) }
.good { color: var(--good) }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0;
  overflow-wrap: anywhere }
th { font-weight: 600; border-bottom: 2px solid var(--rule) }
td:first-child { min-width: 12rem }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;
  overflow-wrap: normal }
tbody { break-inside: avoid } tbody tr:first-child td { border-top: 1px solid var(--rule) }
ul { margin: .2rem 0; padding-left: 1.2rem }
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --rule: #999; --bad: #000;
  --good: #000 } body { margin: 0; max-width: none; font-size: 9pt } thead { display:
  table-header-group } .bad { font-weight: 600 } }
"""
_HEAD = (
    "<thead><tr><th>bounce</th><th>result</th><th class=n>length</th><th>stem</th>"
    "<th class=n>loudness<br>LUFS</th><th class=n>true peak<br>dBTP</th>"
    "<th class=n>gain<br>dB</th></tr></thead>"
)


def page(title: str, found: Sequence[Outcome], made: str, not_read: Sequence[str] = ()) -> str:
    """The page as HTML; bounces without stems come first.

    Args:
        title: heading.
        found: outcomes of the bounces.
        made: date, version and folders, in a line below the heading.
        not_read: other files of the folder, with their formats.

    Returns:
        The page as HTML.
    """
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(title)}</h1>",
            f"<p>{_counts(found)}</p>",
            f"<p class=faint>{_text(made)}</p>",
            *_troubles(found),
            *_levels(found),
            *_others(not_read),
            "</body></html>\n",
        )
    )


def _counts(found: Sequence[Outcome]) -> str:
    numbers = count_states(found)
    looks = {OutcomeState.FAILED: "bad", OutcomeState.LEFT: "bad", OutcomeState.DONE: "good"}
    counts = (
        f'<span class="{looks.get(end, "faint")}">{numbers[end]} {end.value}</span>'
        for end in OutcomeState
        if numbers[end]
    )
    return ", ".join(counts) or "no sound files"


def _troubles(found: Sequence[Outcome]) -> Iterator[str]:
    kinds = ((OutcomeState.FAILED, "Failed", "bad"), (OutcomeState.LEFT, "Not done", "bad"))
    for end, title, look in (*kinds, (OutcomeState.SKIPPED, "Skipped", "faint")):
        of_it = [outcome for outcome in found if outcome.state is end]
        if of_it:
            yield f"<h2>{title}</h2><table><thead><tr><th>bounce</th><th>why</th></tr></thead>"
            yield from (
                f"<tbody><tr><td>{_text(one.source.as_posix())}</td>"
                f"<td class={look}>{_text(one.reason)}</td></tr></tbody>"
                for one in of_it
            )
            yield "</table>"


def _levels(found: Sequence[Outcome]) -> Iterator[str]:
    made = [(one, one.manifest) for one in found if one.manifest is not None]
    if not made:
        return
    yield f"<h2>Levels</h2><table>{_HEAD}"
    for outcome, manifest in made:
        yield f"<tbody>{_bounce(outcome, manifest)}</tbody>"
    yield "</table>"


def _others(not_read: Sequence[str]) -> Iterator[str]:
    if not_read:
        yield "<h2>Not read</h2><ul>"
        yield from (f"<li>{_text(one)}</li>" for one in not_read)
        yield "</ul>"


def _bounce(outcome: Outcome, made: Manifest) -> str:
    """Table rows of a bounce, one per stem; the first has its name, result and length."""
    about = (
        f"{_text(outcome.source.as_posix())}"
        f"<br><span class=faint>{_text(f'{outcome.preset}, {outcome.model}')}</span>"
    )
    if made.warnings:
        about += "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in made.warnings) + "</ul>"
    height = f' rowspan="{max(1, len(made.stems))}"'
    first = (
        f"<td{height}>{about}</td><td{height}>{outcome.state.value}</td>"
        f"<td class=n{height}>{_clock(made.duration_s)}</td>"
    )
    lines = [_stem(stem) for stem in made.stems] or ["<td colspan=4></td>"]
    return "".join(
        f"<tr>{first if not number else ''}{line}</tr>" for number, line in enumerate(lines)
    )


def _stem(stem: StemFacts) -> str:
    over = stem.true_peak_dbtp is not None and stem.true_peak_dbtp > 0
    clipped = (
        f" <span class=bad>{stem.clipped_values:,} clipped</span>" if stem.clipped_values else ""
    )
    return (
        f"<td>{_text(stem.name)}{clipped}</td><td class=n>{_number(stem.lufs)}</td>"
        f'<td class="n{" bad" if over else ""}">{_number(stem.true_peak_dbtp)}'
        f"{' over' if over else ''}</td><td class=n>{_number(stem.gain_db)}</td>"
    )


def _number(level: float | None) -> str:
    """A level with a typographic minus; a dash for None."""
    return "–" if level is None else f"{round(level, 1) + 0.0:.1f}".replace("-", "−")


def _clock(seconds: float) -> str:
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f"{minutes}:{tenths / 10:04.1f}"


def _text(text: str) -> str:
    """Escaped text; undecodable bytes of a file name appear as \\udc.. ."""
    return escape(text.encode("utf-8", "backslashreplace").decode())
