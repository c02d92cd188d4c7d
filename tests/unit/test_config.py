"""Settings: the nearer word counts, and a wrong one is named with the place that holds it."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import platformdirs
import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config import Settings, config_file, resolve
from bridge.errors import ConfigError
from tests.hypothesis_profiles import examples

NAMES = ("preset", "model", "device")
layer = st.dictionaries(st.sampled_from(NAMES), st.from_regex(r"[a-z][a-z-]{2,8}x", fullmatch=True))


def environment(file: Path, **values: str) -> dict[str, str]:
    return {"STEMBRIDGE_CONFIG": str(file)} | {
        f"STEMBRIDGE_{k.upper()}": v for k, v in values.items()
    }


@settings(max_examples=examples(40))
@given(file=layer, variables=layer, flags=layer)
def test_the_nearer_word_counts(
    file: dict[str, str], variables: dict[str, str], flags: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(file))
        unset = dict.fromkeys(set(NAMES) - flags.keys())  # an option that was not given
        resolved = resolve({**unset, **flags}, environment(path, **variables))
    defaults = resolve({}, environment(Path(folder) / "none")).settings
    for name in NAMES:
        origin, value = next(
            (origin, values[name])
            for origin, values in (
                ("command line", flags),
                ("environment", variables),
                ("file", file),
                ("default", defaults.model_dump()),
            )
            if name in values
        )
        assert getattr(resolved.settings, name) == value
        assert resolved.origins[name] == origin


def test_without_anything_said_the_defaults_hold(tmp_path: Path) -> None:
    resolved = resolve({}, environment(tmp_path / "none.yaml"))
    assert set(resolved.origins.values()) == {"default"}
    assert resolved.origins.keys() == Settings.model_fields.keys()
    found = resolved.settings
    assert (found.preset, found.model, found.device) == ("stems", None, "auto")
    assert found.state_dir == Path(platformdirs.user_state_dir("stembridge"))
    assert found.ledger_path.parent == found.state_dir


@pytest.mark.parametrize("content", ["", "\n# nothing yet\n", "---\n"])
def test_an_empty_file_says_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert set(resolve({}, environment(path)).origins.values()) == {"default"}


def test_values_have_the_types_of_their_settings(tmp_path: Path) -> None:
    found = resolve(
        {"cache_dir": tmp_path}, environment(tmp_path / "none", poll="true", rescan_s="12.5")
    ).settings
    assert found.poll is True
    assert found.rescan_s == 12.5
    assert found.cache_dir == tmp_path


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert resolve({}, environment(tmp_path / "none", preset="")).origins["preset"] == "default"


FILE_PROBLEMS = {
    "presset: karaoke": ":1: there is no setting 'presset', did you mean 'preset'?; the settings",
    "colour: blue": ":1: there is no setting 'colour'; the settings are preset, ",
    "rescan_s: soon": ":1: rescan_s: a number is needed, not 'soon'",
    "rescan_s: 1:30": ":1: rescan_s: a number is needed, not '1:30'",
    "rescan_s: .inf": ":1: rescan_s: a number is needed, not inf",
    "poll_s: -1": ":1: poll_s: a number above 0 is needed, not -1",
    "poll: perhaps": ":1: poll: true or false is needed, not 'perhaps'",
    "preset: [a]": ":1: preset: text is needed, not a list",
    "preset: false": ":1: preset: text is needed, not false; put it in quotes",
    "\npreset: 2024": ":2: preset: text is needed, not 2024; put it in quotes",
    "preset:": ":1: preset is empty; write a value, or remove the line",
    "plugin_folders: 3": ":1: plugin_folders: a list of folders is needed, not 3",
    "plugin_folders: [3]": ":1: plugin_folders: the path of a folder is needed, not 3",
    "state_dir: [a]": ":1: state_dir: the path of a folder is needed, not a list",
    "- karaoke": "expected lines like",
    "just words": "expected lines like",
    "preset: [": ":1: not valid YAML",
    "preset: a\npreset: b": ":2: key 'preset' stands twice (also in line 1); remove one",
    "preset:\n\t- a": ":2: a tab cannot indent YAML; use spaces",
    "3: x": ":1: there is no setting '3'",
    "a: 1\nb: 2": ":2: there is no setting 'b'; the settings are preset, ",
}


@pytest.mark.parametrize(("content", "problem"), FILE_PROBLEMS.items())
def test_a_wrong_file_is_named_with_what_is_wrong(
    tmp_path: Path, content: str, problem: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as raised:
        resolve({}, environment(path))
    assert str(raised.value).startswith(str(path))
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^STEMBRIDGE_RESCAN_S: rescan_s: .*'often'"):
        resolve({}, environment(Path("none"), rescan_s="often"))


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--poll-s: .*not 0$"):
        resolve({"poll_s": 0}, environment(Path("none")))


def test_the_place_that_counts_is_blamed_not_the_one_below(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("rescan_s: 5")
    with pytest.raises(ConfigError, match=r"^STEMBRIDGE_RESCAN_S"):
        resolve({}, environment(path, rescan_s="-5"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.mkdir(), "config.yaml: cannot be read ("),
        (lambda p: p.write_bytes(b"preset: \xff"), "config.yaml:1: not UTF-8 text; save"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "config.yaml"
    make(path)
    with pytest.raises(ConfigError) as raised:
        resolve({}, environment(path))
    assert reason in str(raised.value)


@pytest.mark.parametrize("word", ["true", "yes", "On", "y", "off", "No", "'false'", "0"])
def test_a_switch_takes_every_word_for_yes_and_no(tmp_path: Path, word: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"poll: {word}\n")
    expected = word in {"true", "yes", "On", "y"}
    assert resolve({}, environment(path)).settings.poll is expected
    assert resolve({}, environment(path, poll=word.strip("'"))).settings.poll is expected


def test_the_file_may_be_of_notepad_and_use_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("# settings\r\nrescan_s:\t010\r\n".encode("utf-16"))
    assert resolve({}, environment(path)).settings.rescan_s == 10.0
    path.write_text("<<: {preset: karaoke, poll_s: 2}\npoll_s: 3\n")
    found = resolve({}, environment(path))
    assert (found.settings.preset, found.settings.poll_s) == ("karaoke", 3.0)
    assert found.origins["preset"] == "file"


def test_a_tilde_stands_for_the_home_folder(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("state_dir: ~/state\nplugin_folders: ['~/plugins']\n")
    found = resolve({}, environment(path, cache_dir="~/cache")).settings
    home = Path.home()
    assert (found.state_dir, found.cache_dir) == (home / "state", home / "cache")
    assert found.plugin_folders == (home / "plugins",)


def test_where_the_file_is() -> None:
    assert config_file({"STEMBRIDGE_CONFIG": "/etc/x.yaml"}) == Path("/etc/x.yaml")
    usual = Path(platformdirs.user_config_dir("stembridge")) / "config.yaml"
    assert config_file({}) == config_file({"STEMBRIDGE_CONFIG": ""}) == usual


def test_settings_are_frozen_and_printable(tmp_path: Path) -> None:
    resolved = resolve({}, environment(tmp_path / "none"))
    with pytest.raises(pydantic.ValidationError):
        resolved.settings.preset = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved.file = tmp_path  # type: ignore[misc]
    assert yaml.safe_load(resolved.settings.model_dump_json())["preset"] == "stems"
