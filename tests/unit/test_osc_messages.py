"""What OSC messages ask for, and the table of addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import UsageError
from bridge.osc import messages
from bridge.osc.messages import Ping, Split, Status, parse_request

VALUES = st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none(), st.booleans())


@pytest.mark.parametrize(
    ("address", "arguments", "request_"),
    [
        ("/stembridge/split", ["/b/Mix 3.wav", "karaoke"], Split(Path("/b/Mix 3.wav"), "karaoke")),
        ("/stembridge/split", ["/b/Mix 3.wav"], Split(Path("/b/Mix 3.wav"), None)),
        ("/stembridge/split", ["Mix 3.wav", ""], Split(Path("Mix 3.wav"), None)),
        ("/stembridge/status", [], Status()),
        ("/stembridge/status", [1.0], Status()),
        ("/stembridge/ping", [], Ping()),
        ("/stembridge", [], None),
        ("/stembridge/*", [], None),
        ("/stembridge/done", ["x"], None),
    ],
)
def test_what_is_asked(address: str, arguments: list[Any], request_: object) -> None:
    assert parse_request(address, arguments) == request_


@pytest.mark.parametrize("arguments", [[], [""], [1], [None], ["a", 1.0], ["a", "b", "c"], [["a"]]])
def test_a_split_of_nothing_is_told(arguments: list[Any]) -> None:
    with pytest.raises(UsageError, match="takes the path of a file"):
        parse_request("/stembridge/split", arguments)


@given(st.sampled_from([a.name for a in messages.ADDRESSES]), st.lists(VALUES, max_size=4))
def test_whatever_comes_is_a_request_or_a_usage_error(address: str, arguments: list[Any]) -> None:
    try:
        request = parse_request(address, arguments)
    except UsageError:
        assert address == messages.SPLIT
    else:
        asked = [one.name for one in messages.ADDRESSES if one.asked]
        assert (request is None) == (address not in asked)


def test_no_answer_is_a_question() -> None:
    """Two services that answer each other must not go on for ever."""
    for address in messages.ADDRESSES:
        if not address.asked:
            assert parse_request(address.name, ["x", "y"]) is None
