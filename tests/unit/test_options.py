"""Options that several commands share: typer sees each of them, the command gets them together."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import typer.main

from bridge.cli import app, options

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
SHARED = {field.name for field in fields(options.SeparationOptions)}


@pytest.mark.parametrize("name", ["watch", "split", "batch"])
def test_each_command_has_all_of_them(name: str) -> None:
    parameters = {parameter.name: parameter for parameter in COMMANDS[name].params}
    assert set(parameters) > SHARED
    twins = {parameter.name: parameter for parameter in COMMANDS["watch"].params}
    for field in SHARED:
        assert parameters[field].opts == twins[field].opts
        assert parameters[field].help == twins[field].help
        assert not parameters[field].required


@pytest.fixture
def heard() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def command(heard: list[tuple[Any, ...]]) -> Callable[..., None]:
    @options.with_separation_options
    def shared(
        first: str,
        separation: options.SeparationOptions = options.DEFAULT_OPTIONS,
        last: Annotated[bool, typer.Option("--last")] = False,
    ) -> None:
        """Says what it does."""
        heard.append((first, separation, last))

    return shared


def test_what_was_said_comes_together(
    command: Callable[..., None], heard: list[tuple[Any, ...]]
) -> None:
    own = typer.Typer()
    own.command()(command)
    main = typer.main.get_command(own)
    arguments = ["x", "--preset", "p", "--set", "a=1", "--set", "b=2", "--shifts", "3", "--last"]
    main(arguments, standalone_mode=False)
    main(["y", "--repair"], standalone_mode=False)
    told, bare = heard
    assert told == (
        "x",
        options.SeparationOptions(preset="p", variables=["a=1", "b=2"], shifts=3),
        True,
    )
    assert bare == ("y", options.SeparationOptions(repair=True), False)


def test_they_stand_where_the_one_stood(command: Callable[..., None]) -> None:
    names = list(inspect.signature(command).parameters)
    assert names == ["first", *(field.name for field in fields(options.SeparationOptions)), "last"]
    assert inspect.getdoc(command) == "Says what it does."


def test_separation_and_bounce_reach_the_preset() -> None:
    separation = options.SeparationOptions(
        preset="stems",
        model="classical:hpss",
        stems="vocals, drums",
        two_stems="vocals",
        segment=2.5,
        overlap=0.5,
        accept_truncated=True,
    )
    converter = separation.idle_converter(options.new_worker())
    preset = converter.preset
    assert preset.stems == ("vocals", "drums")
    assert (preset.separation.two_stems, preset.separation.segment_s) == ("vocals", 2.5)
    assert (preset.separation.overlap, preset.separation.shifts) == (0.5, 0)
    assert (preset.bounce.accept_truncated, preset.bounce.repair) == (True, False)
    assert (converter.model, converter.model_holds) == ("classical:hpss", True)
    assert converter.worker.pid is None  # at rest
