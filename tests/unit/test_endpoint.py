"""Parsing of `[HOST:]PORT`, and local endpoints."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import resolve
from bridge.errors import ConfigError
from bridge.system.endpoint import Endpoint, parse

NOWHERE = {"STEMBRIDGE_CONFIG": "/no such file.yaml"}


@pytest.mark.parametrize(
    ("text", "host", "port", "local"),
    [
        ("9000", "127.0.0.1", 9000, True),
        (" 9000 ", "127.0.0.1", 9000, True),
        ("localhost:9000", "localhost", 9000, True),
        ("127.8.9.1:1", "127.8.9.1", 1, True),
        ("[::1]:9000", "::1", 9000, True),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("[::]:9000", "::", 9000, False),
        ("studio-b:9000", "studio-b", 9000, False),
        ("192.168.1.7:0", "192.168.1.7", 0, False),
    ],
)
def test_valid_endpoints(text: str, host: str, port: int, local: bool) -> None:
    found = parse(text)
    assert found == Endpoint(host, port)
    assert found.is_local is local
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", ":", ":9000", "host:", "port", "-1", "65536", "9000.0", "::1:9000", "[]:1", "९०"]
)
def test_invalid_endpoints_name_the_expected_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected PORT, HOST:PORT or \[IPV6\]:PORT"):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    port = -1
    with suppress(ValueError):
        port = parse(text).port
    assert port < 2**16


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("osc: 9000", "127.0.0.1:9000"),
        ("osc: '9000'", "127.0.0.1:9000"),
        ("osc: 0.0.0.0:9000", "0.0.0.0:9000"),
        ("osc: off", "off"),
        ("osc: Off", "off"),
        ("osc: false", "off"),
        ("osc: None", "off"),
        ("osc: 'off'", "off"),
        ("osc:", "off"),
        ("", "off"),
    ],
)
def test_the_setting_as_yaml_reads_it(tmp_path: Path, line: str, value: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(line)
    assert resolve({}, {"STEMBRIDGE_CONFIG": str(file)}).settings.osc == value


@pytest.mark.parametrize("line", ["osc: true", "osc: [9000]", "osc: nine", "osc: 70000"])
def test_an_invalid_setting_names_its_location(tmp_path: Path, line: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(line)
    with pytest.raises(ConfigError) as caught:
        resolve({}, {"STEMBRIDGE_CONFIG": str(file)})
    assert str(caught.value).startswith(f"{file}:1: osc: expected PORT, ")


def test_the_environment_and_the_command_line() -> None:
    found = resolve({"osc": "9001"}, {**NOWHERE, "STEMBRIDGE_OSC": "9000"})
    assert found.settings.osc == "127.0.0.1:9001"
    assert found.origins["osc"] == "command line"
