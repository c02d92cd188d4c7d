"""`--accept-truncated` and `--repair`, as a user types them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.bounces import BAD, render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Desk, Inside


def damaged(folder: Path) -> list[Path]:
    """A bounce that is cut off, and one with a NaN."""
    cut = render(folder / "cut.wav", frames=20_000)
    os.truncate(cut, cut.stat().st_size // 2)
    (folder / "nan.wav").write_bytes(BAD["nan.wav"][0])
    return [cut, folder / "nan.wav"]


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ((), ["truncated", "non-finite"]),
        (("--accept-truncated",), [None, "non-finite"]),
        (("--repair",), ["truncated", None]),
        (("--accept-truncated", "--repair"), [None, None]),
    ],
)
def test_split_takes_what_it_is_told_to_take(
    inside: Inside, desk: Desk, flags: tuple[str, ...], refused: list[str | None]
) -> None:
    files = map(str, damaged(desk.home))
    result = inside("split", *files, "-m", desk.model, "--json", *flags)
    assert result.code == int(any(refused))
    outcomes = json.loads(result.out)
    assert [outcome.get("error", {}).get("code") for outcome in outcomes] == refused
    for outcome in outcomes:
        if "error" in outcome:
            option = (
                "--repair" if outcome["error"]["code"] == "non-finite" else "--accept-truncated"
            )
            assert option in outcome["error"]["reason"]
        else:
            cut = outcome["source"]["path"].endswith("cut.wav")
            assert outcome["source"]["truncated"] is cut
            assert outcome["source"]["repaired_values"] == (0 if cut else 1)
            assert len(outcome["warnings"]) == 1


def test_watch_does_so_too_and_says_what_it_put_up_with(inside: Inside, desk: Desk) -> None:
    folder = desk.home / "Bounces"
    folder.mkdir()
    damaged(folder)
    plain = ("watch", str(folder), "--once", "-m", desk.model)
    assert inside(*plain).code == 1
    result = inside(*plain, "--accept-truncated", "--repair")
    assert result.code == 0, result
    assert "cut off: its header promises 20,000 frames" in result.out
    assert "repaired: values that were NaN, Inf or beyond +120 dBFS: 1;" in result.out
    again = inside(*plain, "--accept-truncated", "--repair")
    assert "0 done, 0 unchanged, 0 failed" in again.out
