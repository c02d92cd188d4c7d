"""Generated parts are complete: every field, code, event, key and format has its line."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

import separator
from bridge.audio.targets.registry import TARGETS
from bridge.config import DEFAULT_MODEL, Settings
from bridge.daw.formats import FORMATS
from bridge.effects.registry import EFFECTS, AudioUnit, parameters
from bridge.errors import BounceError, StembridgeError
from bridge.osc import messages
from bridge.presets import loader as presets
from docs.generate import (
    assemble,
    bounces,
    configuration,
    errors,
    events,
    manifest,
    preset_keys,
    tables,
)
from docs.generate.markdown import prose, rows, table
from docs.generate.parts import PARTS
from separator.weights import catalog
from tests.docs import pages
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel


def first_words(page: str, *header: str) -> list[str]:
    """The names in the first column of a table."""
    return [row[0].strip("`") for row in rows(pages.pages()[page], *header)]


def test_every_part_is_used_and_every_placeholder_has_a_part() -> None:
    text = "".join(pages.sources().values())
    used = re.findall(r"^<!-- generate: ([\w-]+) -->$", text, re.MULTILINE)
    assert set(used) == set(PARTS)
    assert "\n<!-- generate" not in "".join(pages.pages().values())


def test_tables_are_read_as_they_are_written() -> None:
    cells = [["a|b", "`c|d` e", "", "f"], ["", "", "", ""]]
    assert rows(table(("1", "2", "3", "4"), cells), "1", "2") == cells
    with pytest.raises(LookupError, match="nothing"):
        rows("no table", "nothing")


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(KeyError):
        assemble.filled("<!-- generate: no-such-part -->\n")


def test_every_setting_is_listed_with_its_default() -> None:
    found = rows(pages.pages()["reference/configuration.md"], "setting")
    assert [row[0] for row in found] == [f"`{name}`" for name in Settings.model_fields]
    defaults = {row[0].strip("`"): row[2] for row in found}
    assert defaults["preset"] == f"`{configuration.defaults().preset}`"
    assert defaults["model"] == f"`{DEFAULT_MODEL}`"
    assert defaults["poll"] == "`false`"
    assert all(row[1] == f"`STEMBRIDGE_{row[0].strip('`').upper()}`" for row in found)


def test_every_effect_has_a_section_with_its_parameters() -> None:
    text = pages.pages()["reference/effects.md"]
    names = first_words("reference/effects.md", "effect")
    assert names == [f"[`{name}`](#{name})" for name in EFFECTS]
    for name, effect in EFFECTS.items():
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        if effect is AudioUnit:
            assert "#vst3" in section
            continue
        for each in parameters(effect):
            assert f"| `{each.name}` | {each.span} | {each.default} |" in section


@pytest.mark.parametrize("kind", manifest.MEANINGS)
def test_every_field_of_the_manifest_has_a_meaning(kind: type) -> None:
    assert [*manifest.MEANINGS[kind]] == [each.name for each in fields(kind)]


@pytest.mark.parametrize("model", preset_keys.KEYS)
def test_every_key_of_a_preset_has_a_meaning(model: type[BaseModel]) -> None:
    assert list(preset_keys.KEYS[model]) == list(preset_keys.fields(model))
    text = preset_keys.reference()
    for name, (_, meaning) in preset_keys.KEYS[model].items():
        lines = [each for each in text.splitlines() if each.startswith(f"| `{name}` |")]
        assert any(meaning in line for line in lines), name


def test_every_error_code_has_a_remedy() -> None:
    codes = [cls.code for _, cls in errors.classes()]
    assert sorted(codes) == sorted(errors.REMEDIES)
    assert len(codes) == len(set(codes))
    assert next(errors.classes()) == (0, StembridgeError)


def test_every_event_of_the_code_is_described() -> None:
    assert set(events.named_in_code()) == set(events.SERVICE_EVENTS)
    assert {*events.job_lines(), "done"} == set(events.JOB_EVENTS)


def test_event_levels_are_those_of_the_log() -> None:
    levels = {name: line["level"] for name, line in events.job_lines().items()}
    assert (levels["failed"], levels["retry"], levels["started"]) == ("error", "warning", "info")


# Code and message of each refused bounce.
REFUSALS = {
    "0 bytes": (
        "empty",
        "empty: 0 bytes; render it again",
    ),
    "text renamed to .wav": (
        "not-audio",
        (
            "not audio: starts with 'these ar', not with RIFF, RF64, FORM, fLaC or the like; "
            "export it again from the DAW"
        ),
    ),
    "a header and nothing else": (
        "no-frames",
        "a header without audio; render it again",
    ),
    "cut off": (
        "truncated",
        (
            "cut off: its header claims 576,000 bytes of audio, 199,956 are there; render it "
            "again, or take what is there with --accept-truncated"
        ),
    ),
    "never closed": (
        "truncated",
        (
            "unfinished: its header says that there is no audio yet, but 576,000 bytes follow; "
            "let the render finish, or take what is there with --accept-truncated"
        ),
    ),
    "NaN in a float file": (
        "non-finite",
        (
            "NaN or Inf at frame 48,000; a plugin in the session misbehaves: bypass it and "
            "render again, or use --repair"
        ),
    ),
    "1,000 channels": (
        "unsupported",
        "1000 channels; export 1 to 64 channels from the DAW",
    ),
    "384 kHz": (
        "unsupported",
        "a rate of 384,000 Hz; export 8,000 to 192,000 Hz from the DAW",
    ),
}


@pytest.mark.parametrize("what", bounces.REFUSED)
def test_a_refused_bounce_says_what_is_wrong_and_what_to_do(what: str, tmp_path: Path) -> None:
    path = tmp_path / "bounce.wav"
    bounces.REFUSED[what](path)
    with pytest.raises(BounceError) as caught:
        bounces.survey(bounces.Decoder(path, bounces.probe(path)))
    assert (caught.value.code, str(caught.value)) == REFUSALS[what]


def test_every_refused_bounce_is_in_the_table() -> None:
    found = rows(pages.pages()["troubleshooting.md"], "the bounce")
    assert found == [[what, message] for what, (_, message) in REFUSALS.items()]


def test_the_presets_are_the_shipped_ones() -> None:
    shipped = presets.available([ROOT / "presets"])
    found = rows(pages.pages()["presets.md"], "preset", "what it gives")
    assert found == [[f"`{p.name}`", p.summary] for p in shipped]
    assert f"`{configuration.defaults().preset}` is the default." in pages.sources()["presets.md"]


def test_the_models_are_those_of_the_catalog() -> None:
    assert first_words("models.md", "model", "stems") == [each.name for each in catalog.models()]
    assert f"`{DEFAULT_MODEL}` is the default." in pages.sources()["models.md"]
    assert DEFAULT_MODEL in separator.available()


def test_the_speed_is_that_of_the_benchmark() -> None:
    found = rows(tables.speed(), "model")
    assert [row[0] for row in found] == [
        *("`spleeter:2stems`", "`spleeter:2stems`, float32"),
        *("`htdemucs`", "`htdemucs`, float32"),
    ]
    assert all(re.fullmatch(r"\d+\.\d s", cell) for row in found for cell in row[1:])


def test_both_tables_of_formats_have_every_format() -> None:
    assert first_words("formats.md", "format", "file") == list(TARGETS)
    assert first_words("formats.md", "format", "markers") == list(TARGETS)
    for name, suffix, depth, rates, *_ in rows(pages.pages()["formats.md"], "format", "file"):
        target = TARGETS[name.strip("`")]  # type: ignore[index]
        assert suffix == f"`{target.suffix}`"
        assert (depth == "lossy") is target.lossy
        if target.rates_hz is not None and target.name != "opus":
            assert rates == f"up to {target.rates_hz[-1] // 1000} kHz"


def test_session_files_and_their_needs_are_those_of_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    lacking = {name for name, form in FORMATS.items() if form.missing()}
    assert lacking == set(tables.SESSION_NEEDS)
    assert first_words("session-files.md", "session") == list(FORMATS)


def test_osc_addresses_are_those_of_the_code() -> None:
    names = {value for value in vars(messages).values() if str(value).startswith("/stembridge/")}
    found = rows(pages.pages()["osc.md"], "direction")
    assert {row[1].strip("`") for row in found} == names
    known = re.findall(r"(?<=[ \"`])/stembridge/\w+", prose(pages.sources()["osc.md"]))
    assert set(known) <= names


def test_every_daw_has_its_page_and_names_known_sessions() -> None:
    found = rows(pages.pages()["daws/index.md"], "DAW")
    linked = {re.findall(r"\((\S+)\)", row[0])[0] for row in found}
    there = {page.removeprefix("daws/") for page in pages.sources() if page.startswith("daws/")}
    assert linked == there - {"index.md"}
    for name, _, _, sessions, tried in found:
        assert set(re.findall(r"`([\w-]+)`", sessions)) <= set(FORMATS), name
        page = pages.sources()["daws/" + re.findall(r"\((\S+)\)", name)[0]]
        assert ("Written without" in page) is (tried == "no"), name
        assert "~/Bounces" in page


def test_the_demo_checks_the_promises_that_its_screen_shows() -> None:
    source = (ROOT / "bridge" / "demo.py").read_text(encoding="utf-8")
    shown = re.findall(r"^ ok   (.+?)  ", pages.pages()["index.md"], re.MULTILINE)
    assert shown == re.findall(r'Promise\("([^"]+)"', source)


def test_the_torch_to_install_is_the_pinned_one() -> None:
    pinned = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert re.findall(r"torch==([\d.]+)\b", pages.sources()["install.md"]) == pinned
