"""Python blocks run, presets and settings load, and no output is typed by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
import yaml

import separator
from bridge.config import Settings, resolve
from bridge.presets import loader as presets
from bridge.render import preset_check
from docs.generate import bounces, markdown
from tests.docs import pages
from tests.support import GOLDEN, ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable

TINY_MODEL = GOLDEN / "spleeter" / "2stems.json"
# Worked examples for contributors have their own test: test_worked_examples.py.
PYTHON = [each for each in pages.samples("python") if not each.page.startswith("contributing/")]
HEAD = "schema: 2\nsummary: mine\n"


def test_blocks_are_of_kinds_that_are_tested() -> None:
    kinds = {b.language for text in pages.sources().values() for b in markdown.blocks(text)}
    # Text and JSON come from screens; changes (diff) are in worked examples.
    assert kinds == {"sh", "yaml", "python", "diff"}


def test_blocks_in_lists_are_indented_as_the_site_needs_it() -> None:
    for page, text in pages.sources().items():
        for found in markdown.FENCE.finditer(text):
            assert len(found["indent"]) % 4 == 0, (page, found["text"])


# --- Python ---


@pytest.fixture
def mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """`mix.wav` in the current folder, and the tiny network behind every model's name."""
    monkeypatch.chdir(tmp_path)
    load: Callable[..., Any] = separator.load
    monkeypatch.setattr(separator, "load", lambda _, **options: load(TINY_MODEL, **options))
    wave = bounces.noise()
    bounces.write(Path("mix.wav"), wave, subtype="FLOAT")
    return wave


def run(sample: pages.Sample) -> None:
    exec(compile(sample.text, sample.page, "exec"), {})


def test_the_array_example_writes_stems_that_add_up(mix: np.ndarray) -> None:
    run(PYTHON[0])
    names = ("vocals", "accompaniment", "residual")
    waves = [soundfile.read(f"{name}.wav", dtype="float32")[0] for name in names]
    np.testing.assert_allclose(np.sum(waves, axis=0), mix, atol=1e-6)


def test_the_stream_example_gives_every_frame(
    mix: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PYTHON[1])
    shapes = re.findall(r"'(\w+)': \(2, (\d+)\)", capsys.readouterr().out)
    for name in ("vocals", "accompaniment"):
        assert sum(int(frames) for stem, frames in shapes if stem == name) == len(mix)
    assert "residual" not in dict(shapes)


@pytest.mark.usefixtures("mix")
def test_the_module_example_prints_the_shape(capsys: pytest.CaptureFixture[str]) -> None:
    run(PYTHON[2])
    assert capsys.readouterr().out == "('vocals', 'accompaniment') (1, 2, 2, 44100)\n"


def test_every_python_block_has_its_test() -> None:
    assert len(PYTHON) == 3


CALLS = {
    call
    for text in pages.sources().values()
    for call in re.findall(r"`(separator\.\w+\([^`]*\))`", text)
}


@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_call_in_a_sentence_is_understood(call: str) -> None:
    """Names and options exist; nothing is loaded."""
    from separator.options import from_keywords

    options: list[dict[str, object]] = []

    class Calls:
        def __getattr__(self, name: str) -> Callable[..., None]:
            assert hasattr(separator, name)
            return lambda *_, **given: options.append(given)

    eval(call, {"separator": Calls(), "path": "a.th"})
    from_keywords(options[0])


# --- YAML ---


def is_settings(text: str) -> bool:
    """Whether a block is a settings file; else it is a preset, or a part of one."""
    keys = set(yaml.safe_load(text))
    return keys <= set(Settings.model_fields) and keys.isdisjoint({"schema", "chain"})


@pytest.mark.parametrize("sample", pages.samples("yaml"), ids=str)
def test_yaml_is_understood(sample: pages.Sample, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    if is_settings(sample.text):
        file.write_text(sample.text, encoding="utf-8")
        resolved = resolve(environment={"STEMBRIDGE_CONFIG": str(file)})
        assert {n for n, origin in resolved.origins.items() if origin == "file"} == set(
            yaml.safe_load(sample.text)
        )
        assert presets.load(resolved.settings.preset)
        return
    if "vst3" in sample.text:
        require.vst3("ZamComp")
    head = "" if "schema:" in sample.text else HEAD
    file.write_text(head + sample.text, encoding="utf-8")
    preset_check.check_preset(presets.load_file(file))


def test_the_example_preset_names_a_model_of_the_catalog() -> None:
    model = presets.load_file(ROOT / "examples" / "my_preset.yaml").model
    assert model in separator.available()


def test_the_preset_that_builds_on_another_gives_these_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(pages.block_with("extends:"), encoding="utf-8")
    found = presets.load_file(file, variables={"guide": -20})
    outputs = found.outputs(("vocals", "accompaniment"))
    assert list(outputs) == ["karaoke", "vocal up", "master"]
    assert outputs["karaoke"]["vocals"] == pytest.approx(0.1)


def test_the_shown_separation_is_read(tmp_path: Path) -> None:
    file = tmp_path / "fine.yaml"
    text = pages.block_with("separation:")
    file.write_text(HEAD + text, encoding="utf-8")
    found = presets.load_file(file).separation
    assert (found.shifts, found.overlap, found.transition_power) == (2, 0.5, 2.0)
    assert set(yaml.safe_load(text)["separation"]) <= type(found).model_fields.keys()


def test_the_shown_sessions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(HEAD + pages.block_with("session:"), encoding="utf-8")
    assert presets.load_file(file).session == ("reaper", "dawproject")
