"""Which preset a bounce gets by its path."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.batch.patterns import matches
from bridge.batch.rules import Rules, parse
from bridge.errors import PresetError, UsageError

PLACES = st.lists(st.text("abÄ.1 -", min_size=1, max_size=5), min_size=1, max_size=4).map(
    lambda parts: PurePosixPath(*(part.replace(".", "x") for part in parts))
)


@pytest.mark.parametrize(
    ("pattern", "bounce"),
    [
        ("Drums*", "Drums 1.wav"),
        ("Drums*", "Song 1/Drums.wav"),
        ("Drums*", "Drums/kick.wav"),  # a folder with all below it
        ("drums*", "Song 1/DRUMS/close/kick.flac"),
        ("*.flac", "a/b.FLAC"),
        ("Song 1/Drums", "Song 1/Drums/kick.wav"),
        ("Song */Drums*.wav", "Song 12/Drums 1.wav"),
        ("**/Vox/*", "a/b/Vox/lead.wav"),
        ("**/Vox/*", "Vox/lead.wav"),
        ("a/**/z.wav", "a/z.wav"),
        ("take ?", "take 3/x.wav"),
        ("[ab]*", "[AB] 1.wav"),  # brackets are themselves
        ("Drums/", "x/Drums/kick.wav"),
        ("./mix.wav", "mix.wav"),
        (unicodedata.normalize("NFD", "Mélodie*"), unicodedata.normalize("NFC", "mélodie.wav")),
    ],
)
def test_what_a_pattern_is_about(pattern: str, bounce: str) -> None:
    assert matches(pattern, PurePosixPath(bounce))


@pytest.mark.parametrize(
    ("pattern", "bounce"),
    [
        ("Drums", "Drums 1.wav"),
        ("Drums*", "My Drums.wav"),
        ("Song 1/Drums*", "x/Song 1/Drums.wav"),  # with a slash: from the top
        ("Song*/*.wav", "Song 1/Drums/kick.wav"),  # a star stays within one name
        ("**/Vox/*", "a/Vox.wav"),
        ("a/**/z.wav", "a/z.wav.flac"),
        ("take ?", "take 12.wav"),
        ("*.wav", "x.flac"),
    ],
)
def test_what_a_pattern_is_not_about(pattern: str, bounce: str) -> None:
    assert not matches(pattern, PurePosixPath(bounce))


@given(PLACES)
def test_its_own_path_name_and_folders_match_a_bounce(bounce: PurePosixPath) -> None:
    assert matches(bounce.as_posix(), bounce)
    assert matches(bounce.as_posix().upper().lower(), bounce)
    for part in bounce.parts:
        assert matches(part, bounce)
    assert matches("**", bounce)
    assert matches("*", bounce)
    assert not matches(f"{bounce.as_posix()}/x", bounce)


def test_the_first_that_matches_wins() -> None:
    rules = parse(["*vox*=karaoke", "Drums*=mix-ready", "*=stems"])
    chosen = {
        name: found.name if (found := rules.preset_for(PurePosixPath(name))) else None
        for name in ("Lead Vox.wav", "Drums/Vox bleed.wav", "Drums/kick.wav", "Bass.wav")
    }
    assert chosen == {
        "Lead Vox.wav": "karaoke",
        "Drums/Vox bleed.wav": "karaoke",
        "Drums/kick.wav": "mix-ready",
        "Bass.wav": "stems",
    }
    assert Rules().preset_for(PurePosixPath("Bass.wav")) is None


def test_patterns_that_decide_nothing_are_told() -> None:
    rules = parse(["Drums*=karaoke", "Strings*=karaoke", "Drums.wav=mix-ready"])
    none, shadowed = rules.unused([PurePosixPath("Drums.wav"), PurePosixPath("x.wav")])
    assert none == "the pattern 'Strings*' matches no sound file"
    assert shadowed.startswith("the pattern 'Drums.wav' has no effect")
    assert rules.unused([]) == tuple(
        f"the pattern {pattern!r} matches no sound file"
        for pattern in ("Drums*", "Strings*", "Drums.wav")
    )


def test_a_preset_may_be_a_file_and_a_pattern_may_have_an_equals_sign(tmp_path: Path) -> None:
    own = tmp_path / "drums.yaml"
    own.write_text("schema: 1\nsummary: drums\nmodel: classical:hpss\n")
    (rule,) = parse([f"a=b*={own}"]).rules
    assert (rule.pattern, rule.preset.name, rule.preset.model) == (
        "a=b*",
        "drums",
        "classical:hpss",
    )


def test_spaces_around_the_equals_sign_are_not_the_names() -> None:
    patterns = [rule.pattern for rule in parse(["Drums * = karaoke", " a =karaoke"]).rules]
    assert patterns == ["Drums *", " a "]


@pytest.mark.parametrize("text", ["Drums*", "=karaoke", "Drums*=", " = ", ""])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a pattern and a preset"):
        parse([text])


def test_a_preset_that_is_wrong_is_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="did you mean 'karaoke'"):
        parse(["*=karaok"])
    bad = tmp_path / "bad.yaml"
    bad.write_text("schema: 1\nsummary: x\nchain:\n  - compresor\n")
    with pytest.raises(PresetError, match=r"bad\.yaml:4"):
        parse([f"*={bad}"])


def test_the_mark_differs_where_the_rules_do(tmp_path: Path) -> None:
    texts = (["a=stems"], ["b=stems"], ["a=karaoke"], ["a=stems", "b=karaoke"])
    marks = [parse(text).mark for text in ([], *texts)]
    assert marks[0] == ""
    assert len(set(marks)) == len(marks)
    own = tmp_path / "own.yaml"
    own.write_text("schema: 1\nsummary: one\n")
    before = parse([f"a={own}"]).mark
    own.write_text("schema: 1\nsummary: one\nresidual: stem\n")
    assert parse([f"a={own}"]).mark != before
