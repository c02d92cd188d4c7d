"""`doctor` shows what takes effect: no None, no (), and what "auto" stands for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.config import Settings, format_value, resolve
from bridge.doctor import examine, in_force
from bridge.doctor.in_force import EffectiveSetting, choices, settings_in_force
from bridge.presets import loader as presets
from separator import precision


def in_words(file: Path, **variables: str) -> dict[str, EffectiveSetting]:
    environment = {"STEMBRIDGE_CONFIG": str(file)}
    environment |= {f"STEMBRIDGE_{name.upper()}": value for name, value in variables.items()}
    return {one.name: one for one in settings_in_force(resolve({}, environment))}


def test_every_setting_is_shown_in_words(tmp_path: Path) -> None:
    found = in_words(tmp_path / "none.yaml")
    assert found.keys() == Settings.model_fields.keys()
    for one in found.values():
        assert one.origin == "default"
        assert one.meaning
        assert one.value not in {"None", "()", "True", "False", ""}
    assert found["model"].value == "spleeter:2stems"
    assert found["rescan_s"].value == "30 s"
    assert found["plugin_folders"].value == "none"
    assert found["poll"].value.startswith("no: ")


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("rescan_s: 2.5\nplugin_folders: [/a, /b]\n")
    found = in_words(file, poll="yes", stall_s="60")
    assert (found["rescan_s"].value, found["rescan_s"].origin) == ("2.5 s", "settings file")
    assert found["plugin_folders"].value == f"{Path('/a').absolute()}, {Path('/b').absolute()}"
    assert (found["poll"].value, found["poll"].origin) == ("yes", "environment (STEMBRIDGE_POLL)")
    assert found["stall_s"].value == "60 s"


def test_the_model_is_the_one_that_a_command_would_take(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("schema: 1\nsummary: s\nmodel: htdemucs\n")
    nothing = tmp_path / "none.yaml"
    of_setting = in_words(nothing, model="mdx")["model"]
    assert (of_setting.value, of_setting.origin) == ("mdx", "environment (STEMBRIDGE_MODEL)")
    of_preset = in_words(nothing, model="mdx", preset=str(own))["model"]
    assert (of_preset.value, of_preset.origin) == ("htdemucs", "preset own")
    of_wrong_preset = in_words(nothing, model="mdx", preset="nonsense")["model"]
    assert of_wrong_preset.value == "mdx"


@pytest.mark.parametrize("multiplies", [True, False])
def test_automatic_is_what_the_model_would_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, multiplies: bool
) -> None:
    monkeypatch.setattr(precision, "_cpu_multiplies_bfloat16", lambda: multiplies)
    nothing = tmp_path / "none.yaml"
    found = in_words(nothing, device="cpu")
    assert found["device"].value == "cpu"
    assert found["precision"].value == ("auto: bfloat16" if multiplies else "auto: float32")
    own = in_words(nothing, device="cpu", model="classical:hpss")
    assert own["precision"].value == "auto: float32"
    monkeypatch.setattr("separator.devices.choose_device", lambda _: SimpleNamespace(type="cuda"))
    assert in_words(nothing)["precision"].value == "auto: float32"
    monkeypatch.setitem(sys.modules, "separator.devices", None)  # as without torch
    assert in_words(nothing)["device"].value == "auto"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model", None, "none"),
        ("plugin_folders", (), "none"),
        ("plugin_folders", (Path("a"), Path("b")), "a, b"),
        ("poll", True, "yes"),
        ("poll", False, "no"),
        ("rescan_s", 0.5, "0.5 s"),
        ("preset", "stems", "stems"),
    ],
)
def test_values_in_words(name: str, value: object, expected: str) -> None:
    assert format_value(name, value) == expected


def texts(settings: Settings, environment: dict[str, str] | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in choices(settings, environment or {}):
        found.setdefault(one.name, []).append(f"{one.mark} {one.text}")
    return found


def test_presets_and_plugins_are_named_and_broken_ones_called_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "presets"
    own.mkdir()
    (own / "good.yaml").write_text("schema: 1\nsummary: mine\n")
    (own / "bad.yaml").write_text("schema: 1\nsummary: mine\nchain:\n  - compresor\n")
    monkeypatch.setattr(presets, "folders", lambda: (own, presets.__file__ and own.parent))
    monkeypatch.setattr(in_force, "standard_folders", lambda ending: (tmp_path / "system",))
    plugins = tmp_path / "plugins"
    for number in range(7):
        (plugins / "Maker" / f"P{number}.vst3").mkdir(parents=True)
    settings = Settings(preset="good", plugin_folders=(plugins, tmp_path / "gone"))
    found = texts(settings)
    assert found["preset"] == ["ok good: mine"]
    good, bad = found["your presets"]
    assert good == f"ok 2 (bad, good), in {own}"
    assert bad.startswith(f"-- {own / 'bad.yaml'}:4: unknown effect 'compresor'; did you mean")
    gone, vst3, *_ = found["plugins"]
    assert gone.startswith(f"-- plugin_folders: {tmp_path / 'gone'} is not a folder")
    assert vst3.startswith("ok VST3: 7 (P0, P1, P2, P3, P4 and 2 more), in ")


def test_a_preset_or_precision_that_is_wrong_stops_the_bridge() -> None:
    found = texts(Settings(preset="karaok", precision="float8"))
    (line,) = found["preset"]
    assert line == "!! no preset is named 'karaok'; did you mean 'karaoke'?"
    (line,) = found["precision"]
    assert line.startswith("!! precision is one of auto, float32, bfloat16, not 'float8'")


def test_a_misspelt_variable_is_called_out(tmp_path: Path) -> None:
    environment = {
        "STEMBRIDGE_PRESETT": "x",
        "STEMBRIDGE_PRESET": "stems",
        "STEMBRIDGE_CONFIG": str(tmp_path / "none"),
        "HOME": "/",
    }
    settings = resolve({}, environment).settings
    (line,) = texts(settings, environment)["environment"]
    assert line.startswith("-- STEMBRIDGE_PRESETT is not a setting and is ignored; the variables ")
    names = [one.name for one in examine(settings, None, environment)]
    assert names.count("environment") == 1
