"""YAML as users write it: what works, and what the rest is answered with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.effects.registry import Compressor
from bridge.errors import PresetError
from bridge.presets import loader
from bridge.system.plain_yaml import YamlProblems, decode, load

HEAD = "schema: 1\nsummary: a test\n"
KEYS = st.sampled_from("abcdefgh")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text("abc -:#'é", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)


def plain(data: object) -> Any:
    """With lists in place of tuples, as PyYAML has them."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, tuple) else data


def flow(data: object) -> str:
    """JSON is YAML, with a space after each colon."""
    return json.dumps(data, ensure_ascii=False)


@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_merge_keys_mean_what_they_mean_to_others(
    first: dict[str, Any], second: dict[str, Any], own: dict[str, Any]
) -> None:
    inner = flow(own)[1:-1]
    text = (
        f"one: &one {flow(first)}\n"
        f"two: &two {{<<: *one, {flow(second)[1:]}\n"
        f"three: {{{inner}{', ' if inner else ''}<<: [*one, *two]}}\n"
        f"four: {{<<: *two{', ' if inner else ''}{inner}}}\n"
    )
    assert plain(load(text).data) == yaml.safe_load(text)


def test_every_merged_key_has_the_line_where_it_stands() -> None:
    text = "one: &one\n  a: 1\n  b:\n    c: 2\ntwo:\n  <<: *one\n  a: 3\n"
    found = load(text)
    assert found.data == {"one": {"a": 1, "b": {"c": 2}}, "two": {"a": 3, "b": {"c": 2}}}
    assert found.lines[("two", "a")] == 7
    assert found.lines[("two", "b")] == 3
    assert found.lines[("two", "b", "c")] == 4


def test_a_preset_may_share_settings_by_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"{HEAD}chain:\n"
        "  - compressor: &soft {ratio: 1.5, attack_ms: 20}\n"
        "  - compressor:\n      <<: *soft\n      attack_ms: 5\n"
    )
    first, second = loader.load(path).chain
    assert first == Compressor(ratio=1.5, attack_ms=20)
    assert second == Compressor(ratio=1.5, attack_ms=5)


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert load("'<<': 1\n").data == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("off", "Off", "OFF", "on", "yes", "No", "y", "N")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *(("010", 10), ("0777", 777), ("+5", 5), ("-0", 0), ("0o17", "0o17"), ("0x1F", "0x1F")),
        *(("1e3", 1000.0), ("1E3", 1000.0), ("1.e+3", 1000.0), (".5", 0.5), ("-.5", -0.5)),
        *((".inf", float("inf")), ("-.INF", float("-inf")), ("inf", "inf"), ("-inf", "-inf")),
        *(("1:30", "1:30"), ("190:20:30", "190:20:30"), ("2024-01-01", "2024-01-01")),
        *(("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"), ("1_000", "1_000"), ("1,5", "1,5")),
        *(("=", "="), ("'on'", "on"), ('"1"', "1"), ("a # b", "a"), ("a#b", "a#b")),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    data = load(f"key: {text}\n").data
    assert data == {"key": value}
    assert isinstance(data, dict)
    assert type(data["key"]) is type(value)


def test_not_a_number_is_a_number() -> None:
    data = load("key: .nan\n").data
    assert isinstance(data, dict)
    assert data["key"] != data["key"]


@pytest.mark.parametrize(
    "text",
    [
        *("key: 1\r\n", "key: 1\r", "\ufeffkey: 1\n"[1:], "---\nkey: 1\n", "key: 1\n...\n"),
        *("%YAML 1.1\n---\nkey: 1\n", "%YAML 1.2\n---\nkey: 1", "# a\n\n---\n# b\nkey: 1\n...\n"),
        *('{"key": 1}', "? key\n: 1\n", "'key': 1", "key:\n  1\n", "\nkey:    1   # one\n\n"),
        *("key:\t1\n", "key: 1\t\n", "key: 1\t# one\n", "{key:\t1}", "\t\nkey: 1\n \t \n"),
        "\t# a comment\nkey: 1\n",
    ],
)
def test_ways_to_write_the_same(text: str) -> None:
    assert load(text).data == {"key": 1}


@pytest.mark.parametrize("text", ["- a", "-\ta", "[a]", "[\ta\t]", "[a,]", "- a\n...\n"])
def test_ways_to_write_a_list(text: str) -> None:
    assert load(text).data == ("a",)


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "~", "null\n"]
)
def test_nothing_is_empty(text: str) -> None:
    assert load(text).is_empty
    assert load(text).data is None


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_a_byte_order_mark_names_the_encoding(text: str) -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert decode(text.encode(encoding)) == text
    for mark, encoding in ((b"\xfe\xff", "utf-16-be"), (b"\0\0\xfe\xff", "utf-32-be")):
        assert decode(mark + text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"a: 1\nb: \xff\n", 2),
        (b"a: 1\nb: caf\xe9\n", 2),
        (b"\xff\xfea", 1),  # half a character of UTF-16
        (HEAD.encode("utf-16-le"), 1),
        (b"PK\x03\x04\0\0", 1),
    ],
)
def test_what_is_no_text_is_said_to_be_none(raw: bytes, line: int) -> None:
    with pytest.raises(YamlProblems) as raised:
        decode(raw)
    ((where, text),) = raised.value.problems
    assert where == line
    assert "save the file as UTF-8" in text


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("a: 1\n\tb: 2\n", 2, "use spaces"),
        ("a:\n\t- b\n", 2, "use spaces"),
        ("a: 1\na: 2\n", 2, "also in line 1); remove one"),
        ("a: 1\n? [b]\n: c\n", 2, "a key must be a word"),
        ("a: 'b\nc: d\n", 1, "the quote that begins here is not closed"),
        ("a: `b`\n", 1, "put it in quotes"),
        ("a: %b\n", 1, "put it in quotes"),
        ("a: @b\n", 1, "put it in quotes"),
        ("a: *b\n", 1, "there is no anchor '&b'"),
        ("a: & b\n", 1, "put it in quotes"),
        ("a: b: c\n", 1, "in quotes"),
        ("a:1\nb: 2\n", 1, "a space is missing after the colon"),
        ("b: 2\na:1\n", 2, "a space is missing after the colon"),
        ("a:\u20021\nb: 2\n", 1, "U+2002 looks like a space"),
        ("a: &x\n  <<: *x\n", 1, "an alias contains itself"),
        ("a: {<<: [1]}\n", 1, "`<<` takes a mapping"),
        ("a: &x {b: 1}\nc: {<<: *x, <<: *x}\n", 2, "`<<` stands twice"),
        ("a: !!int 1\n", 1, "write the plain value"),
        ("a: 1\n--- \nb: 2\n", 2, "a second document starts here"),
        ("a: 1\n...\nb: 2\n", 3, "a second document"),
        ("%YAML 2.0\n---\na: 1\n", 1, "not valid YAML"),
        ('a: "\\q"\n', 1, "use single quotes"),
        ("a: [b\nc: d\n", 2, "check indentation, colons and quotes"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_what_to_write(
    text: str, line: int, advice: str
) -> None:
    with pytest.raises(YamlProblems) as raised:
        load(text)
    ((where, told),) = raised.value.problems
    assert (where, advice in told) == (line, True), told
    assert "\n" not in told


@given(st.text(st.sampled_from("ab<&*: \t\n-[]{},'\"#?|>!%@`0.\\…\u00a0")))
def test_any_text_is_read_or_answered(text: str) -> None:
    problems: tuple[tuple[int, str], ...] = ()
    try:
        load(text)
    except YamlProblems as error:
        problems = error.problems
        assert problems
    assert all(1 <= line <= text.count("\n") + 1 and told for line, told in problems)


@given(st.lists(st.sampled_from(["ab", "b", "&x", "*x", "<<", "[", "]", "{", "}", ":", "-", "\n"])))
def test_aliases_and_merges_in_any_order_are_read_or_answered(pieces: list[str]) -> None:
    try:
        found = load(" ".join(pieces))
    except YamlProblems:
        return
    assert not isinstance(found.data, set)


def test_errors_of_a_preset_in_utf_16_name_the_line(tmp_path: Path) -> None:
    """As Notepad saves it when asked for "Unicode"."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(f"{HEAD}residual: Off\r\n".replace("\n", "\r\n").encode("utf-16"))
    with pytest.raises(PresetError) as raised:
        loader.load(path)
    assert str(raised.value).endswith(".yaml:3: 'residual' is 'Off'; did you mean 'off'?")
