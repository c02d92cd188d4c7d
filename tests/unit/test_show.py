"""Whatever a name or a reason holds, a terminal gets one line of text."""

from __future__ import annotations

import os
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from bridge.cli.show import plain
from bridge.errors import BounceError

ODD = st.text(
    st.sampled_from("a\n\r\t\0\x1b\x85\x9b\u2028\u2029\u202e\u2066\ud800é🎚") | st.characters()
)


@given(ODD)
@example("\x1b]0;title\x07\x1b[2J")
@example("mix\u202evaw.exe")
@example(os.fsdecode(b"caf\xe9\xff.wav"))
def test_one_line_of_plain_text(text: str) -> None:
    for shown in (plain(text), plain(f"stembridge: {BounceError(text)}")):
        assert len(shown.splitlines()) <= 1
        shown.encode()  # strict
        kinds = {unicodedata.category(character) for character in shown}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
        assert not {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"} & {
            unicodedata.bidirectional(character) for character in shown
        }


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "Mn"])))
def test_what_is_fit_to_print_stays(text: str) -> None:
    assert plain(text) == text
