"""`stembridge models`: the catalog of models and the cache of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from separator.weights.entries import BundleSource, MemberEntry, ModelEntry
    from separator.weights.store import Store

app = typer.Typer(help="Models, their weights and licences.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `models list`.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]

WIDE = 160  # terminal columns that the full table needs


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models of the catalog."""
    from bridge.cli.show import console, json_result
    from separator.weights import catalog

    store = _store()
    entries = catalog.models()
    if as_json:
        json_result([_facts(store, entry) for entry in entries])
    elif (out := console()).is_terminal and out.width < WIDE:
        _narrow(store, entries)
    else:
        _wide(store, entries)


def _wide(store: Store, entries: Iterable[ModelEntry]) -> None:
    from bridge.cli.show import table

    table(
        None,
        ("model", "stems", ">size", "licence", "cached", "speed", "note"),
        ((*_row(store, entry, ", ".join(entry.stems)), entry.note) for entry in entries),
    )


def _narrow(store: Store, entries: Sequence[ModelEntry]) -> None:
    """A table for 80 columns: the number of stems, with their names listed below."""
    from bridge.cli.show import result, table

    table(
        None,
        ("model", ">stems", ">size", "licence", "local", "speed"),
        (_row(store, entry, str(len(entry.stems))) for entry in entries),
    )
    sets = {len(entry.stems): ", ".join(entry.stems) for entry in entries}
    for count, names in sorted(sets.items()):
        result(f"{count} stems: {names}")
    result("`stembridge models info NAME` shows details.")


def _row(store: Store, entry: ModelEntry, stems: str) -> tuple[str, ...]:
    cached = "yes" if store.has(entry) else "no"
    return (entry.name, stems, _size(entry), entry.licence.name, cached, entry.speed)


def _facts(store: Store, entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "stems": entry.stems,
        "architectures": entry.architectures,
        "networks": len(entry.members),
        "segment_s": round(entry.segment_s, 3),
        "rate_hz": entry.rate_hz,
        "size_bytes": entry.size_bytes,
        "licence": entry.licence.lines,
        "cached": store.has(entry),
        "speed": entry.speed,
        "gflop_per_s": entry.gflop_per_s,
        "note": entry.note,
    }


@app.command()
def info(name: Name) -> None:
    """Show one model's stems, networks, licence, addresses and checksums."""
    from bridge.cli.show import result
    from separator.version import model_version
    from separator.weights import catalog

    entry = catalog.find(name)
    store = _store()
    work = f"{entry.gflop_per_s:g} GFLOP per second of audio"
    rows: list[tuple[str, str]] = [
        ("stems", ", ".join(entry.stems)),
        ("class", ", ".join(entry.architectures)),
        ("segment", f"{entry.segment_s:.4g} s at {entry.rate_hz} Hz"),
        ("speed", f"{entry.speed} ({work})"),
        ("size", _size(entry)),
        *(("licence", line) for line in entry.licence.lines),
        ("version", model_version(name)),
    ]
    settings = ", ".join(f"{key} {value}" for key, value in entry.config.items() if key != "model")
    rows += [("settings", settings)] if settings else []
    for number, member in enumerate(entry.members, 1):
        rows += _about(store, entry, member, number)
    result(f"{entry.name}: {entry.note}")
    for key, text in rows:
        result(f"  {key:<10} {text}")


def _about(
    store: Store, entry: ModelEntry, member: MemberEntry, number: int
) -> Iterable[tuple[str, str]]:
    from separator.weights import catalog

    if len(entry.members) > 1:
        counts = zip(entry.stems, member.stem_weights, strict=True)
        stems = ", ".join(stem for stem, count in counts if count)
        yield f"network {number}", f"{member.architecture} {member.weights_id}, for {stems}"
    cached = store.cached(member.weights_id)
    yield "cached", str(store.folder(member.weights_id)) if cached else "no"
    for source in catalog.load().weights[member.weights_id].sources:
        yield "source", f"{source.archive.address}, {_sum(source)}"


def _sum(source: BundleSource) -> str:
    stated = source.archive.sha256
    if stated is None:
        return "sha256 stated by the server"
    return f"sha256 {stated}" if len(stated) == 64 else f"sha256 {stated}…"


@app.command()
def pull(name: Name) -> None:
    """Download and verify a model's weights now, for later use without a network."""
    from bridge.cli.show import DownloadBar, note, plain, result
    from separator.weights import catalog

    entry = catalog.find(name)
    store, fetching = _store(), DownloadBar()
    for weights_id in entry.weights_ids:
        folder = store.ensure(weights_id, progress=fetching, announce=note)
        result(plain(f"{name}: {folder}"))


@app.command("import")
def import_files(
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Files listed by `models info NAME`."),
    ],
) -> None:
    """Import a model's weights from files, for a machine without a network."""
    from bridge.cli.show import note, plain, result
    from separator.weights import catalog

    entry = catalog.find(name)
    store = _store()
    for file in files:
        new = store.add(name, file, announce=note)
        text = f"imported {', '.join(new)}" if new else "is in the cache already"
        result(plain(f"{file}: {text}"))
    missing = [item for item in entry.weights_ids if not store.cached(item)]
    if missing:
        result(f"{name}: still missing: {', '.join(missing)}; see `models info {name}`")


def _store() -> Store:
    from separator.weights.store import Store

    return Store(options.resolved_settings().cache_dir)


def _size(entry: ModelEntry) -> str:
    """Size of the weights in decimal units, as on download pages."""
    megabytes = entry.size_bytes / 1e6
    return f"{megabytes / 1e3:.1f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"
