"""Presets in a watched folder: precedence, and invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import PresetError
from bridge.ledger.states import State
from bridge.plugins import discovery
from bridge.render import preset_check
from bridge.service.preset_resolver import candidates
from tests.bounces import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.effects.plugin import Plugin
    from tests.watch_service import Studio

ROOT = Path("/bounces")
HEAD = "schema: 2\n"


def stems(studio: Studio, bounce: str) -> list[str]:
    return [stem["name"] for stem in studio.manifest(bounce)["stems"]]


def states(studio: Studio) -> dict[str, State]:
    return studio.states()


def test_the_nearest_preset_wins(studio: Studio) -> None:
    """For each bounce: a file of its own, its folder's file, the folder's name, the service's."""
    folders = ("karaoke", "karaoke/deep", "acapella", "plain", "plain/karaoke")
    for name in folders:
        (studio.folder / name).mkdir(exist_ok=True)
        render(studio.folder / name / "a.wav")
    render(studio.folder / "top.wav")
    render(studio.folder / "one.wav")
    (studio.folder / "one.wav.yaml").write_text(f"{HEAD}extends: karaoke\n")
    render(studio.folder / "two.flac")
    (studio.folder / "two.yaml").write_text(f"{HEAD}extends: acapella\n")
    (studio.folder / "acapella" / "stembridge.yaml").write_text(
        f"{HEAD}summary: s\nstems: [accompaniment]\n"
    )
    tally = studio.once()
    assert (tally.done, tally.failed) == (len(folders) + 3, 0), studio.heard.events
    assert {name: stems(studio, name) for name in studio.published()} == {
        "top": ["vocals", "accompaniment"],
        "one": ["karaoke"],
        "two": ["vocals"],
        "karaoke/a": ["karaoke"],
        "karaoke/deep/a": ["karaoke"],
        "acapella/a": ["accompaniment"],
        "plain/a": ["vocals", "accompaniment"],
        "plain/karaoke/a": ["karaoke"],
    }
    names = {job.source_path.as_posix(): job.recipe.preset_name for job in studio.jobs()}
    assert names["acapella/a.wav"] == "stembridge"
    assert names["karaoke/a.wav"] == "karaoke"


def test_a_broken_preset_fails_its_bounces_alone(studio: Studio) -> None:
    (studio.folder / "bad").mkdir()
    for name in ("bad/a.wav", "good.wav"):
        render(studio.folder / name)
    broken = studio.folder / "bad" / "stembridge.yaml"
    broken.write_text(f"{HEAD}summary: s\nheadrom: {{}}\n")
    tally = studio.once()
    assert (tally.done, tally.failed) == (1, 1)
    (reason,) = studio.heard.of("failed")
    assert reason == f"{broken}:3: unknown key 'headrom'; did you mean 'headroom'?"
    (failed,) = [job for job in studio.jobs() if job.state is State.FAILED]
    assert failed.code == "preset"
    assert failed.attempts == 1

    broken.write_text(f"{HEAD}summary: s\nstems: [vocals]\n")  # mended: the next start does it
    assert studio.once().done == 1
    assert stems(studio, "bad/a") == ["vocals"]


def test_another_preset_is_another_job_and_the_same_one_is_none(studio: Studio) -> None:
    render(studio.folder / "a.wav")
    own = studio.folder / "a.yaml"
    own.write_text(f"{HEAD}summary: s\nstems: [vocals]\n")
    assert studio.once().done == 1
    own.write_text(f"{HEAD}# a remark\nsummary: other words\nstems: [vocals]\n")
    assert studio.once().done == 0
    own.write_text(f"{HEAD}summary: s\nstems: [accompaniment]\n")
    assert studio.once().done == 1
    assert stems(studio, "a") == ["accompaniment"]
    own.unlink()
    assert studio.once().done == 1
    assert stems(studio, "a") == ["vocals", "accompaniment"]
    assert len({job.recipe.preset_hash for job in studio.jobs()}) == 3


def test_a_preset_that_is_written_while_its_bounce_waits_counts(studio: Studio) -> None:
    """The job was offered under another one; what counts is the preset when it begins."""
    bounce = render(studio.folder / "a.wav")
    watch = studio.watch()
    watch._offer(_settled(bounce))
    (studio.folder / "a.yaml").write_text(f"{HEAD}summary: s\nstems: [vocals]\n")
    assert studio.once().done == 1
    assert stems(studio, "a") == ["vocals"]
    (job,) = [job for job in studio.jobs() if job.state is State.DONE]
    assert job.recipe.preset_name == "a"


def _settled(bounce: Path) -> object:
    from bridge.intake.intake import Settled

    status = bounce.stat()
    return Settled(bounce, status.st_size, status.st_mtime_ns, status.st_mtime, "closed")


def test_a_preset_in_the_folder_cannot_name_files(studio: Studio) -> None:
    render(studio.folder / "a.wav")
    (studio.folder / "a.yaml").write_text(f"{HEAD}extends: ../../etc/x.yaml\n")
    assert studio.once().failed == 1
    assert "can extend only what has a name" in studio.heard.of("failed")[0]


def test_plugins_of_a_preset_there_are_tried_first_and_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, tried = studio.root / "plugins", []
    for name in ("Good", "Bad"):
        code = installed / f"{name}.vst3" / "Contents" / "x86_64-linux"
        code.mkdir(parents=True)
        (code / f"{name}.so").write_text("version 1")
        (studio.folder / name).mkdir()
        text = f"{HEAD}summary: s\nchain:\n  - vst3: {{plugin: {name}}}\n"
        (studio.folder / name / "stembridge.yaml").write_text(text)
        for seed in range(2):
            render(studio.folder / name / f"{seed}.wav", seed=seed)
    monkeypatch.setattr(discovery, "standard_folders", lambda _: (installed,))

    def check_plugin(effect: Plugin, waiting: Callable[[], None]) -> list[tuple[str, str]]:
        waiting()  # the service can be ended meanwhile
        tried.append(Path(effect.plugin).stem)
        return [("", "no good")] if tried[-1] == "Bad" else []

    monkeypatch.setattr(preset_check, "check_plugin", check_plugin)
    watch = studio.watch()
    resolver = watch._resolver
    for seed in range(2):
        with pytest.raises(PresetError, match=r"stembridge\.yaml:4: no good"):
            resolver.converter_for(studio.folder / "Bad" / f"{seed}.wav")
        assert resolver.converter_for(studio.folder / "Good" / f"{seed}.wav").preset.plugin_files
        assert resolver.recipe_for(studio.folder / "Good" / f"{seed}.wav")
    assert tried == ["Bad", "Good", "Bad"]
    (code / "Bad.so").write_text("another")  # what is updated is tried anew
    (installed / "Good.vst3" / "Contents" / "x86_64-linux" / "Good.so").write_text("version 2")
    resolver.converter_for(studio.folder / "Good" / "0.wav")
    assert tried == ["Bad", "Good", "Bad", "Good"]
    (studio.folder / "Good" / "stembridge.yaml").unlink()  # its plugin would not load
    tally = studio.once()
    assert (tally.done, tally.failed) == (2, 2)
    assert all(line.endswith("yaml:4: no good") for line in studio.heard.of("failed"))


PARTS = st.lists(st.sampled_from(["karaoke", "a b", "ä", "x.y"]), max_size=4)


@given(PARTS, st.sampled_from(["mix.wav", "mix", "a.b.flac", "stembridge.wav"]))
def test_nothing_outside_the_watched_folder_is_looked_at(parts: list[str], name: str) -> None:
    bounce = ROOT.joinpath(*parts, name)
    found = list(candidates(bounce, ROOT))
    assert all(path == ROOT or ROOT in path.parents for path, _ in found)
    depths = [len(path.parts) - (1 if is_file else 0) for path, is_file in found]
    assert depths == sorted(depths, reverse=True), "the nearest first"
    assert (ROOT, False) not in found, "the watched folder's own name is no preset's"
    assert [path for path, is_file in found if not is_file] == [
        ROOT.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)
    ]


@pytest.mark.parametrize("name", ["a.wav", "a"])
def test_the_full_name_wins_over_the_stem(name: str) -> None:
    first, second = list(candidates(ROOT / name, ROOT))[:2]
    assert first[0] == ROOT / f"{name}.yaml"
    assert second[0] == ROOT / "a.yaml"
