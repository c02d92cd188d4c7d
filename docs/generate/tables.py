"""Tables of the guide pages: presets, models, formats, session files, OSC addresses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridge.audio.targets.registry import TARGETS, Target
from bridge.daw.formats import FORMATS
from bridge.intake.scan import AUDIO_SUFFIXES
from bridge.osc import messages
from bridge.presets import loader as presets
from docs.generate.markdown import block, rows, table
from separator.weights import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "presets"
BENCHMARKS = ROOT / "BENCHMARKS.md"
EXAMPLE = ROOT / "examples" / "my_preset.yaml"

# What a session format needs beside Stembridge; a test compares it with a machine that has nothing.
SESSION_NEEDS = {"aaf": "the extra `aaf`"}


def shipped_presets() -> str:
    """The presets that come with Stembridge."""
    found = presets.available([SHIPPED])
    return table(("preset", "what it gives"), ((f"`{p.name}`", p.summary) for p in found))


def example_preset() -> str:
    """The preset of the examples, as a code block."""
    return block("yaml", EXAMPLE.read_text(encoding="utf-8"))


def models() -> str:
    """The models of the catalog."""
    header = ("model", "stems", "size", "licence", "speed", "note")
    rows = (
        (
            f"`{entry.name}`",
            ", ".join(entry.stems),
            size(entry.size_bytes),
            entry.licence.name,
            entry.speed,
            entry.note,
        )
        for entry in catalog.models()
    )
    return table(header, rows)


def size(size_bytes: int) -> str:
    """A download size in decimal units."""
    megabytes = size_bytes / 1e6
    return f"{megabytes / 1e3:.1f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"


def speed() -> str:
    """Median times of the last benchmark, beside those of the official commands."""
    page = BENCHMARKS.read_text(encoding="utf-8")
    found: list[tuple[str, str, str]] = []
    for model, heading in (("spleeter:2stems", "## Spleeter"), ("htdemucs", "## HTDemucs")):
        part = page[page.index(heading) :].split("\n## ")[0]
        medians = [(row[0], float(row[1])) for row in rows(part, "program", "median s")]
        peer_s = medians[0][1]
        ours = [(f"`{model}`", "stembridge"), (f"`{model}`, float32", "stembridge, float32")]
        found += [(name, f"{dict(medians)[key]:.1f} s", f"{peer_s:.1f} s") for name, key in ours]
    return table(("model", "Stembridge", "the official command"), found)


def bounce_suffixes() -> str:
    """The endings of files that can be bounces."""
    return ", ".join(f"`{suffix}`" for suffix in sorted(AUDIO_SUFFIXES)) + ".\n"


def formats() -> str:
    """The file formats of stems."""
    header = ("format", "file", "depth", "rates", "channels", "bit rate")
    return table(header, map(_format, TARGETS.values()))


def _format(target: Target) -> tuple[str, ...]:
    depth = "lossy" if target.lossy else ", ".join(map(_depth, target.subtypes))
    rates = "as the bounce"
    if target.name == "opus":
        rates = "always 48 kHz"
    elif target.rates_hz is not None:
        rates = f"up to {target.rates_hz[-1] / 1000:g} kHz"
    bitrate = f"{_span(target.bitrates_kbps)} kbit/s" if target.bitrates_kbps else ""
    if target.default_kbps:
        bitrate += f"; default {target.default_kbps}"
    return (
        f"`{target.name}`",
        f"`{target.suffix}`",
        depth,
        rates,
        f"up to {target.max_channels}",
        bitrate,
    )


def _depth(subtype: str) -> str:
    """libsndfile's name of a depth, in words."""
    words = {"PCM_U8": "8 bit", "PCM_S8": "8 bit", "FLOAT": "float", "DOUBLE": "double"}
    return words.get(subtype, f"{subtype.removeprefix('PCM_')} bit")


def _span(numbers: Iterable[int]) -> str:
    found = [*numbers]
    return f"{found[0]} to {found[-1]}"


def sessions() -> str:
    """The session files."""
    header = ("session", "what it is", "of `Mix 3`", "needs")
    rows = (
        (f"`{name}`", form.summary, f"`{form.place(Path(), 'Mix 3')}`", SESSION_NEEDS.get(name, ""))
        for name, form in FORMATS.items()
    )
    return table(header, rows)


def osc() -> str:
    """The OSC addresses."""
    rows = (
        ("in" if each.asked else "out", f"`{each.name}`", each.arguments, each.meaning)
        for each in messages.ADDRESSES
    )
    return table(("direction", "address", "arguments", "meaning"), rows)
