"""A running service reloads its settings between two bounces, or keeps the old ones."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bridge.convert import Converter
from bridge.presets import loader as presets
from bridge.service.settings_diff import changes
from tests.bounces import render
from tests.support import thorough
from tests.waiting import wait_until
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.watch_service import Child, Serving


@pytest.fixture
def settings_file(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of services that are children of this process."""
    path = studio.root / "config.yaml"
    path.write_text("preset: stems\n")
    environment = {**studio.environment, "STEMBRIDGE_CONFIG": str(path)}
    monkeypatch.setattr(Studio, "environment", environment)
    return path


def by_signal(studio: Studio, child: Child) -> None:
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("needs SIGHUP")
    os.kill(child.process.pid, signal.SIGHUP)


def by_command(studio: Studio, child: Child) -> None:
    told = studio.cli("reload", str(studio.folder))
    assert told.returncode == 0, told.stderr
    assert f"(process {child.process.pid})" in told.stdout


@pytest.mark.parametrize("ask", [by_command, *thorough([by_signal])])
def test_new_settings_count_from_the_next_bounce_on(
    studio: Studio,
    start: Callable[..., Child],
    settings_file: Path,
    ask: Callable[[Studio, Child], None],
) -> None:
    child = start().ready()
    wait_until(lambda: len(studio.services()) == 1, "the service")
    render(studio.folder / "one.wav", seed=1)
    child.wait_for(lambda: studio.published() == ["one"], "the first bounce")
    settings_file.write_text("preset: karaoke\nrescan_s: 7\n")
    ask(studio, child)
    child.wait_for(lambda: "settings read again: " in child.log, "the news")
    (line,) = [line for line in child.log.splitlines() if "settings read again" in line]
    assert "preset karaoke instead of stems" in line
    assert "rescan_s 7 s instead of 30 s, from the next start on" in line
    render(studio.folder / "two.wav", seed=2)
    child.wait_for(lambda: studio.published() == ["one", "two"], "the second bounce")
    assert studio.manifest("one")["preset"]["name"] == "stems"
    assert studio.manifest("two")["preset"]["name"] == "karaoke"
    assert [job.recipe.preset_name for job in studio.jobs()] == ["stems", "karaoke"]
    assert child.end() == 130


def test_wrong_settings_change_nothing(
    studio: Studio, start: Callable[..., Child], settings_file: Path
) -> None:
    child = start().ready()
    wait_until(lambda: len(studio.services()) == 1, "the service")
    settings_file.write_text("preset: [\n")
    by_signal(studio, child)
    child.wait_for(lambda: "not valid YAML" in child.log, "the complaint")
    (line,) = [line for line in child.log.splitlines() if "not valid YAML" in line]
    assert "settings not changed, the new ones are invalid: " in line
    render(studio.folder / "mix.wav")
    child.wait_for(lambda: studio.published() == ["mix"], "the bounce")
    assert studio.manifest("mix")["preset"]["name"] == "stems"
    assert child.end() == 130


def test_a_model_that_is_not_there_is_refused_and_the_old_one_goes_on(
    studio: Studio, serve: Callable[..., Serving]
) -> None:
    converter = Converter(studio.settings, presets.load("stems"), str(studio.model), studio.worker)
    service = serve(reread=lambda: replace(converter, model=str(studio.root / "gone.json")))
    service.watch.reload.set()
    wait_until(lambda: bool(studio.heard.of("reload-refused")), "the complaint")
    assert "gone.json" in studio.heard.of("reload-refused")[0]
    render(studio.folder / "mix.wav")
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")


def test_an_edited_preset_is_a_change_and_waiting_bounces_get_it(
    studio: Studio, serve: Callable[..., Serving]
) -> None:
    mine = studio.root / "mine.yaml"
    shutil.copyfile(presets.find()["stems"], mine)
    studio.preset = str(mine)
    asked: list[Converter] = []

    def reread() -> Converter:
        asked.append(
            Converter(studio.settings, presets.load(str(mine)), str(studio.model), studio.worker)
        )
        return asked[-1]

    service = serve(reread=reread)
    mine.write_text(presets.find()["karaoke"].read_text())
    service.watch.reload.set()
    wait_until(lambda: bool(studio.heard.of("reloaded")), "the news")
    (news,) = studio.heard.of("reloaded")
    assert "preset" in news
    render(studio.folder / "mix.wav")
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")
    (job,) = studio.jobs()
    assert job.recipe.preset_hash == asked[0].preset.content_hash


def test_unchanged_settings_are_not_listed(studio: Studio) -> None:
    converter = Converter(studio.settings, presets.load("stems"), "a", studio.worker)
    assert changes(converter, replace(converter)) == []
    assert changes(converter, replace(converter, model="b")) == ["model b instead of a"]


def test_the_command_rejects_an_invalid_settings_file(studio: Studio, settings_file: Path) -> None:
    settings_file.write_text("colour: red")
    told = studio.cli("reload")
    assert (told.returncode, told.stdout) == (2, "")
    assert "there is no setting 'colour'" in told.stderr


def test_the_command_reports_that_no_service_runs(studio: Studio) -> None:
    told = studio.cli("reload")
    assert (told.returncode, told.stdout) == (1, "")
    assert "no service is running" in told.stderr
