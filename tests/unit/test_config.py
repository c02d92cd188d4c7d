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
    "presset: karaoke": "there is no setting 'presset'; the settings are preset,",
    "rescan_s: soon": "rescan_s: ",
    "poll_s: -1": "poll_s: ",
    "poll: perhaps": "poll: ",
    "preset: [a]": "preset: ",
    "- karaoke": "expected lines like",
    "just words": "expected lines like",
    "preset: [": "cannot be read as YAML",
    "3: x": "there is no setting '3'",
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
    with pytest.raises(ConfigError, match=r"^command line: poll_s: .*not 0$"):
        resolve({"poll_s": 0}, environment(Path("none")))


def test_the_place_that_counts_is_blamed_not_the_one_below(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("rescan_s: 5")
    with pytest.raises(ConfigError, match=r"^STEMBRIDGE_RESCAN_S"):
        resolve({}, environment(path, rescan_s="-5"))


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.write_bytes(b"preset: \xff")])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "config.yaml"
    make(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve({}, environment(path))


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
