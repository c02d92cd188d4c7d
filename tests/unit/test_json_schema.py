"""The JSON Schema for editors, checked by a validator that is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bridge.errors import PresetError
from bridge.presets import json_schema, loader, yaml_source
from tests.support import ROOT

VALIDATOR = jsonschema.Draft202012Validator(json_schema.schema())
GOOD = sorted([*(ROOT / "presets").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])
# What depends on more than one key, or on another file, only `presets check` can tell.
BEYOND = {
    *("ceiling_without_effect", "mixdown_empty", "mixdown_name", "mixdown_newline"),
    *("publishes_nothing", "summary_two_lines", "schema_1_extends", "schema_1_session"),
    *("extends_self", "extends_missing", "extends_no_file"),
    *("variable_unknown", "variable_value"),
    *("format_bitrate", "format_depth", "format_without_effect"),
}


def plain(data: object) -> Any:
    """Lists in place of tuples, as JSON has them."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, tuple) else data


def bad_files() -> list[Path]:
    """Those that are YAML at least."""
    found = []
    for path in sorted((ROOT / "tests" / "presets_bad").glob("*.yaml")):
        try:
            yaml_source.read(path)
        except PresetError:
            continue
        found.append(path)
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema.schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_presets_fit(path: Path) -> None:
    VALIDATOR.validate(plain(yaml_source.read(path).data))


@pytest.mark.parametrize(
    "text",
    [
        "schema: 2\nextends: karaoke",
        "schema: 2\nsummary: s\nvariables: {a: 1, b: x, c: true}\nheadroom: {ceiling_dbfs: '${a}'}",
        "schema: 2\nsummary: s\nchain: [{gain: }, {limiter: {ceiling_db: -3}}, dc_removal]",
        "schema: 2\nsummary: s\nchain: [{gain: {gain_db: '${g}', when: {not: {channels: mono}}}}]",
        "schema: 2\nsummary: s\nchain: [{vst3: {plugin: A, parameters: {a: 1, b: true, c: x}}}]",
        "schema: 2\nsummary: s\nstem_chains: {rest: [gain]}\nmaster: [limiter]",
        "schema: 2\nsummary: s\nmixdowns: {m: {mix: {a: {pan_percent: 3}, b: off}, from: mixture}}",
        "schema: 2\nsummary: s\nmixdowns: {m: {mix: {a: '${x}'}, when: {has_stem: [a, b]}}}",
    ],
)
def test_all_that_the_language_has_fits(text: str) -> None:
    VALIDATOR.validate(plain(yaml_source.parse(text, Path("p.yaml")).data))


@pytest.mark.parametrize("path", bad_files(), ids=lambda path: path.stem)
def test_bad_presets_do_not_fit(path: Path) -> None:
    fits = VALIDATOR.is_valid(plain(yaml_source.read(path).data))
    with pytest.raises(PresetError):
        loader.load(path)
    if path.stem not in BEYOND:
        assert not fits


def test_an_editor_is_told_every_key_and_every_effect() -> None:
    schema = json_schema.schema()
    keys = {field.alias or name for name, field in loader.PresetContent.model_fields.items()}
    assert schema["properties"].keys() == keys | {"extends", "variables"}
    mapping = schema["$defs"]["ChainItem"]["anyOf"][1]
    assert mapping["properties"].keys() == loader.EFFECTS.keys()
    gain = schema["$defs"]["Gain"]["properties"]["gain_db"]
    assert gain["anyOf"][0]["maximum"] == 24
    assert gain["description"]
