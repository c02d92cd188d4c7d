"""The screens of the pages are what the commands print now, except for numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from docs.generate import bounces, screens
from docs.generate.screens import SCREENS, Studio

if TYPE_CHECKING:
    from pathlib import Path


def studio(home: Path, model: str) -> Studio:
    """Ten seconds of noise in place of music, the tiny model in place of the default."""
    return Studio(home, bounces.noise(10 * screens.RATE_HZ), {"STEMBRIDGE_MODEL": model})


def shape(data: Any) -> Any:
    """Keys and types; of a list its first item. "-inf" stands for a number."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [shape(item) for item in data[:1]]
    return float if data == "-inf" else type(data)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n, s in SCREENS.items() if s.same_everywhere])
def test_a_screen_is_what_is_printed(name: str, tmp_path: Path, tiny_model: str) -> None:
    screen = SCREENS[name]
    shown = screens.path_of(name).read_text(encoding="utf-8")
    printed = screen.make(studio(tmp_path, tiny_model))
    if screen.language == "json":
        assert shape(json.loads(printed)) == shape(json.loads(shown))
    else:
        assert screens.comparable(printed, tiny_model) == screens.comparable(shown)


def test_doctor_shows_the_checks_and_settings_that_its_screen_has(
    tmp_path: Path, tiny_model: str
) -> None:
    def first(text: str) -> list[str]:
        checks, settings = text.split("\nSettings ")
        names = [line[5:20].strip() for line in checks.splitlines() if line[1:3] in {"ok", "--"}]
        rows = [line for line in settings.splitlines()[4:] if line.startswith(" ")]
        return [*dict.fromkeys(names), *(row.split()[0] for row in rows)]

    printed = SCREENS["doctor"].make(studio(tmp_path, tiny_model))
    assert first(printed) == first(screens.path_of("doctor").read_text(encoding="utf-8"))


def test_there_is_a_file_for_each_screen_and_no_other() -> None:
    assert {*screens.FOLDER.iterdir()} == {screens.path_of(name) for name in SCREENS}


def test_numbers_do_not_count_and_words_do() -> None:
    a = "18:06:07 done   Mix 3.wav: vocals → /home/you/Stems (5.4× real time)"
    b = "09:15:59 done   Mix 3.wav: vocals → /home/you/Stems (12.0× real time)"
    assert screens.comparable(a) == screens.comparable(b)
    assert screens.comparable(a) != screens.comparable(a.replace("done", "FAILED"))
