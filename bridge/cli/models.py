"""`stembridge models`: what can separate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from separator.weights.catalog import Archive, Bundle
    from separator.weights.store import Store

app = typer.Typer(help="What separates, its weights and their licence.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `models list`.")]


@app.command("list")
def list_models() -> None:
    """Every model of the catalog."""
    from bridge.cli.show import table
    from separator.weights import catalog

    store = _store()
    table(
        None,
        ("model", "stems", "cached", "licence", "note"),
        (
            (
                entry.name,
                ", ".join(entry.stems),
                "yes" if store.cached(entry.weights) else "no",
                entry.licence.name,
                entry.note,
            )
            for entry in catalog.models()
        ),
    )


@app.command()
def info(name: Name) -> None:
    """All about one model: stems, settings, licence, addresses, checksums."""
    from separator.version import model_version
    from separator.weights import catalog

    entry = catalog.find(name)
    bundle = catalog.load().weights[entry.weights]
    store = _store()
    typer.echo(f"{entry.name}: {entry.note}")
    typer.echo(f"  stems      {', '.join(entry.stems)}")
    typer.echo(f"  licence    {entry.licence}")
    typer.echo(f"  version    {model_version(name)}")
    typer.echo(f"  cached     {_place(store, bundle)}")
    settings = {key: value for key, value in entry.config.items() if key != "model"}
    typer.echo(f"  settings   {', '.join(f'{key} {value}' for key, value in settings.items())}")
    for source in bundle.sources:
        typer.echo(f"  source     {_address(source.archive)}, sha256 {source.archive.sha256}")


@app.command()
def pull(
    name: Name,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="An archive that you have already."),
    ] = None,
) -> None:
    """Fetch and verify a model's weights now, for later use without a network."""
    from bridge.cli.show import Fetching, note
    from separator.weights import catalog

    entry = catalog.find(name)
    folder = _store().ensure(entry.weights, progress=Fetching(), announce=note, file=file)
    typer.echo(f"{name}: {folder}")


def _store() -> Store:
    from separator.weights.store import Store

    return Store(options.settings().cache_dir)


def _place(store: Store, bundle: Bundle) -> str:
    return str(store.cache_dir / bundle.folder) if store.cached(bundle.id) else "no"


def _address(archive: Archive) -> str:
    from separator.weights.catalog import UrlArchive

    if isinstance(archive, UrlArchive):
        return archive.url
    return f"the Python package {archive.package} {archive.version}, by pip"
