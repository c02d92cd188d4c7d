"""Presets: what ships, what a file may say, and what is said about a file that is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.effects import registry
from bridge.errors import ModelError, PresetError, UsageError
from bridge.presets import loader, yaml_source
from bridge.render import preset_check

SHIPPED = Path(__file__).parents[2] / "presets"
BAD = Path(__file__).parents[1] / "presets_bad"

HEAD = "schema: 1\nsummary: a test\n"

# File -> the problems it must be answered with, complete with line, in order.
PROBLEMS: dict[str, list[str]] = {
    "above_range": [
        "5: 'gain_db' is 99; allowed is a number, -60 to 24 dB",
    ],
    "alias_bomb": [
        "6: more than 16 aliases; write the values out",
    ],
    "alias_loop": [
        "3: an alias contains itself; write the values out",
    ],
    "bus": [
        "6: 'gain_db' is 99; allowed is a number, -96 to 24 dB",
        "7: unknown key 'form' of 'm'; did you mean 'from'?",
        "9: unknown effect 'gian'; did you mean 'gain'?",
        "11: 'trim_silence' can only be the last effect of `chain`; move it there",
        "14: unknown key 'gain' of 'gain'; did you mean 'gain_db'?",
        "16: 'ratio' is 99; allowed is a number, 1 to 20",
    ],
    "extends_list": [
        "2: 'extends' must be a preset's name or file; write `extends: karaoke`",
    ],
    "extends_missing": [
        "4: no preset is named 'karaok'; did you mean 'karaoke'?",
    ],
    "extends_no_file": [
        f"2: there is no file 'nowhere.yaml'; expected at {BAD / 'nowhere.yaml'}",
    ],
    "extends_no_schema": [
        "1: key 'schema' is missing; add a line `schema: 2`",
    ],
    "extends_self": [
        ("3: 'extends' is circular, by extends_self.yaml; remove it in one file"),
    ],
    "schema_1_extends": [
        "3: 'extends' needs a newer schema; write `schema: 2`",
        "5: 'when' needs a newer schema; write `schema: 2`",
        "8: 'mix' needs a newer schema; write `schema: 2`",
    ],
    "variable_part": [
        "2: a variable must be the whole value; write `key: ${name}`",
        "5: variable 'a-b' may only have letters, digits and _; rename it",
        "6: variable 'y' must be text, a number, true or false; write one value",
    ],
    "variable_unknown": [
        "6: there is no variable 'ceilling'; did you mean 'ceiling'?",
    ],
    "variable_value": [
        "6: 'gain_db' is 'loud'; allowed is a number, -60 to 24 dB",
    ],
    "variables_list": [
        "3: 'variables' must have keys with values; write `variables: {name: value}`",
    ],
    "when": [
        "6: unknown key 'chanels' of 'when'; did you mean 'channels'?",
        "7: 'when' is empty; write a condition, as in `when: {channels: mono}`",
        "12: 'channels' is 'quad'; allowed is mono or stereo or multichannel",
        "14: 'has_stem' must be a stem's name or a list of them; write `has_stem: vocals`",
        "15: 'min_rate_hz' is 5; allowed is a number, 8000 to 192000 Hz",
    ],
    "format_bitrate": [
        (
            "3: MP3 has no 200 kbit/s; choose 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, "
            "256, 320"
        ),
    ],
    "format_depth": ["3: FLAC does not hold FLOAT; choose PCM_16 or PCM_24, or `format: wav`"],
    "format_unknown": ["4: 'format' is 'aif'; did you mean 'aiff'?"],
    "format_without_effect": ["3: 'dither' has no effect with `format: mp3`; remove it"],
    "ceiling_without_effect": [
        "5: 'ceiling_dbfs' has no effect with `mode: none`; remove one of them",
    ],
    "chain_item_shape": [
        (
            "4: an item of 'chain' must be `name` or `{name: {parameter: value}}`; "
            "mind the indentation"
        ),
        (
            "6: an item of 'chain' must be `name` or `{name: {parameter: value}}`; "
            "mind the indentation"
        ),
    ],
    "chain_not_a_list": [
        "3: 'chain' must be a list; write `chain: [...]` or one `- item` a line",
    ],
    "control_character": [
        "2: character U+0007 is not allowed; remove it",
    ],
    "control_character_escaped": [
        "2: character U+001B is not allowed, not even escaped; remove it",
        "4: character U+0085 is not allowed, not even escaped; remove it",
        "5: character U+0000 is not allowed, not even escaped; remove it",
        "6: character U+D800 is not allowed, not even escaped; remove it",
    ],
    "deep": [
        "3: nested deeper than 16 levels; check the brackets",
    ],
    "duplicate_key": [
        "5: key 'headroom' stands twice (also in line 3); remove one",
    ],
    "empty": [
        "1: the file is empty; start it with `schema: 1`",
    ],
    "headroom_not_a_mapping": [
        "3: 'headroom' must have keys with values; write `headroom: {key: value}`",
    ],
    "key_not_a_word": [
        "3: a key must be a word; quote it or check the brackets",
    ],
    "latin1": [
        "2: not UTF-8 text; save the file as UTF-8",
    ],
    "mixdown_empty": [
        "3: mixdown 'nothing' holds nothing; give a source or rest a gain, as in `rest: 0`",
    ],
    "mixdown_gain": [
        "5: gain 'quiet' is not allowed; write -96 to 24 (dB) or off",
    ],
    "mixdown_gain_missing": [
        "4: gain empty is not allowed; write -96 to 24 (dB) or off",
    ],
    "mixdown_gain_range": [
        "4: gain 30 is not allowed; write -96 to 24 (dB) or off",
        "5: gain true is not allowed; write -96 to 24 (dB) or off",
    ],
    "bounce": [
        "4: 'repair' is 'yes'; allowed is true or false; write true",
        "5: unknown key 'accept_trunkated' of 'bounce'; did you mean 'accept_truncated'?",
    ],
    "mixdown_newline": [
        (
            r"4: mixdown name 'a\nb' cannot be part of a file name; "
            "use up to 64 letters, digits, spaces or dashes"
        ),
        (
            r"5: mixdown name '\u202etxt.exe' cannot be part of a file name; "
            "use up to 64 letters, digits, spaces or dashes"
        ),
    ],
    "mixdown_name": [
        (
            "4: mixdown name '../../etc/passwd' cannot be part of a file name; "
            "use up to 64 letters, digits, spaces or dashes"
        ),
    ],
    "newer_schema": [
        (
            "1: 'schema' is 3; allowed is 1 or 2; "
            "this version reads schema 1 and 2, a newer preset needs a newer stembridge"
        ),
    ],
    "no_schema": [
        "1: key 'schema' is missing; add a line `schema: 1`",
    ],
    "no_summary": [
        "1: key 'summary' is missing; add a line `summary: ...`",
    ],
    "not_a_mapping": [
        "1: a preset has keys with values; start it with `schema: 1`",
    ],
    "not_finite": [
        "4: 'gain_db' is nan; allowed is a number, -60 to 24 dB",
        "5: 'gain_db' is inf; allowed is a number, -60 to 24 dB",
    ],
    "number_as_text": [
        "4: 'gain_db' is '3'; allowed is a number, -60 to 24 dB; leave the quotes away",
    ],
    "open_bracket": [
        (
            "5: not valid YAML (expected ',' or '}', but got ':'); "
            "check indentation, colons and quotes near here"
        ),
    ],
    "parameter_of_none": [
        "4: unknown key 'cutoff_hz' of 'dc_removal'; known: highpass_hz, when",
    ],
    "parameters_not_a_mapping": [
        "4: 'gain' must have keys with values; write `gain: {key: value}`",
    ],
    "positive_ceiling": [
        "3: 'ceiling_dbfs' is 0.5; allowed is a number, -60 to 0 dBFS",
    ],
    "publishes_nothing": [
        "3: nothing would be published; name a stem in 'stems' or add a mixdown",
    ],
    "schema_1_session": [
        "3: 'session' needs a newer schema; write `schema: 2`",
    ],
    "session": [
        "5: unknown session 'repaer'; did you mean 'reaper'?",
        "6: 'session' is 3; allowed is text; put it in quotes",
    ],
    "session_as_text": [
        "3: 'session' must be a list; write `session: [...]` or one `- item` a line",
    ],
    "session_twice": [
        "3: 'session' names 'csv' twice; remove one",
    ],
    "several": [
        "3: 'residual' is 'stm'; did you mean 'stem'?",
        "5: 'gain_db' is 99; allowed is a number, -60 to 24 dB",
        (f"6: unknown effect 'autotune'; known: {', '.join(registry.EFFECTS)}"),
        "7: unknown key 'limitr'; did you mean 'limiter'?",
    ],
    "stems_as_text": [
        (
            "3: 'stems' must be all or a list of stem names; write `stems: all`, "
            "`stems: [vocals]`, or `stems: []` for none"
        ),
    ],
    "stems_twice": [
        "3: 'stems' names 'vocals' twice; remove one",
    ],
    "summary_two_lines": [
        "2: 'summary' must be one line of text; shorten it",
    ],
    "tab": [
        "4: a tab cannot indent YAML; use spaces",
    ],
    "tag": [
        (
            "3: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed; "
            "write the plain value"
        ),
    ],
    "tag_local": [
        "2: tag '!shout' is not allowed; write the plain value",
    ],
    "too_many": [
        "1997: more than 2000 keys and values, so another file; check the path",
    ],
    "two_documents": [
        "3: a second document starts here; keep one per file and remove `---`",
    ],
    "unknown_effect": [
        "5: unknown effect 'gian'; did you mean 'gain'?",
    ],
    "unknown_key": [
        "5: unknown key 'ceilling_dbfs' of 'headroom'; did you mean 'ceiling_dbfs'?",
    ],
    "unknown_parameter": [
        "4: unknown key 'freq' of 'highpass'; known: cutoff_hz, slope_db_per_octave, when",
    ],
    "unknown_top_key": [
        "3: unknown key 'limitter'; did you mean 'limiter'?",
    ],
    "wrong_choice": [
        "3: 'residual' is 'stm'; did you mean 'stem'?",
    ],
    "wrong_subtype": [
        "3: 'subtype' is 'MP3'; allowed is same or PCM_16 or PCM_24 or FLOAT",
    ],
    "yes_for_true": [
        "4: 'true_peak' is 'yes'; allowed is true or false; write true",
    ],
    "after_the_end": [
        "4: what follows `...` is a second document; remove it",
    ],
    "backslash": [
        "3: a backslash in double quotes is an escape; use single quotes",
    ],
    "colon_in_text": [
        (
            "2: a `: ` is not expected here; put text that holds one in quotes, and a space after "
            "the colon of every key"
        ),
    ],
    "decimal_comma": [
        "4: unknown key '5' of 'delay'; remove it (in a number, write a point: 1.5)",
    ],
    "merge_of_itself": [
        "4: an alias contains itself; write the values out",
    ],
    "merge_of_text": [
        "4: `<<` takes a mapping, or a list of mappings; write `<<: *name`",
    ],
    "merge_twice": [
        "8: `<<` stands twice; write one, as in `<<: [*a, *b]`",
    ],
    "merge_unknown_key": [
        (
            "4: unknown key 'wet' of 'compressor'; "
            "known: threshold_db, ratio, attack_ms, release_ms, makeup_db, when"
        ),
        "4: unknown key 'ratio' of 'gain'; known: gain_db, when",
        "4: unknown key 'wet' of 'gain'; known: gain_db, when",
    ],
    "missing_space": [
        "1: a space is missing after the colon; add it",
    ],
    "no_anchor": [
        "2: text cannot begin with *; put it in quotes",
    ],
    "no_break_indent": [
        "4: character U+00A0 looks like a space; type a plain space in its place",
    ],
    "no_break_space": [
        "3: character U+00A0 looks like a space; type a plain space in its place",
    ],
    "numbers_as_text": [
        "5: 'time_ms' is '1:30'; allowed is a number, 1 to 5000 ms",
        "6: 'feedback_percent' is '1,5'; allowed is a number, 0 to 95 %; write 1.5",
        "7: 'mix_percent' is '15'; allowed is a number, 0 to 100 %; leave the quotes away",
        "8: 'cutoff_hz' is '0x50'; allowed is a number, 1 to 20000 Hz",
    ],
    "odd_beginning": [
        "2: text cannot begin with @; put it in quotes",
    ],
    "off_in_capitals": [
        "3: 'residual' is 'Off'; did you mean 'off'?",
        "5: gain 'OFF' is not allowed; write -96 to 24 (dB) or off",
        "7: 'mode' is 'None'; did you mean 'none'?",
        "8: 'limiter' is 'No'; leave the line out to have none",
    ],
    "only_a_dash": [
        "1: the file is empty; start it with `schema: 1`",
    ],
    "open_quote": [
        "3: the quote that begins here is not closed; close it",
    ],
    "text_as_number": [
        "1: 'schema' is '1', which is text; leave the quotes away",
        "2: 'summary' is 2024; allowed is text; put it in quotes",
    ],
    "truth_values": [
        "4: 'true_peak' is 'On'; allowed is true or false; write true",
        "6: 'repair' is 'true'; allowed is true or false; write true",
        "7: 'accept_truncated' is 'n'; allowed is true or false; write false",
        "9: 'wiener' is 1; allowed is true or false",
    ],
    "utf16_without_mark": [
        "1: not a text file; check the path, or save the file as UTF-8",
    ],
}


def write(tmp_path: Path, text: str, name: str = "mine") -> Path:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bad_file_is_answered_with_line_and_remedy(name: str) -> None:
    path = BAD / f"{name}.yaml"
    with pytest.raises(yaml_source.PresetError) as caught:
        loader.load(path)
    assert list(caught.value.problems) == [f"{path}:{problem}" for problem in PROBLEMS[name]]
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_the_table_knows_every_bad_file() -> None:
    assert {path.stem for path in BAD.glob("*.yaml")} == set(PROBLEMS)


def test_an_error_survives_the_way_out_of_the_worker_process() -> None:
    error = yaml_source.PresetError("a.yaml:1: one", "a.yaml:2: two")
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert isinstance(copy, UsageError)
    assert copy.code == "preset"


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = write(tmp_path, f"{HEAD}model: !!python/object/apply:os.mkdir ['{trace}']\n")
    with pytest.raises(PresetError, match="tag"):
        loader.load(path)
    assert not trace.exists()


def test_a_big_file_is_not_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "# " + "x" * yaml_source.MAX_BYTES)
    with pytest.raises(PresetError, match=r"mine\.yaml:1: over 1 MiB"):
        loader.load(path)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "# " + "x" * (yaml_source.MAX_BYTES - len(HEAD) - 2))
    assert loader.load(path).summary == "a test"


def test_a_missing_file_and_a_folder_are_said_to_be_no_preset(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name, reason in (("gone.yaml", "there is no such file"), ("folder.yaml", "is a folder")):
        with pytest.raises(PresetError, match=reason):
            loader.load(tmp_path / name)


def test_hidden_files_are_no_presets_and_letter_case_of_the_ending_is_free(tmp_path: Path) -> None:
    for name in ("mine.yaml", "._mine.yaml", ".hidden.yml", "~$mine.yaml", "Loud.YAML", "a.yaaml"):
        (tmp_path / name).write_text(HEAD)
    assert [*loader.find([tmp_path])] == ["Loud", "mine"]
    assert loader.load("Loud", [tmp_path]).path == tmp_path / "Loud.YAML"
    assert loader.load(str(tmp_path / "Loud.YAML")).name == "Loud"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert loader.load(write(tmp_path, "\ufeff" + HEAD)).summary == "a test"


def test_off_and_no_are_text_and_numbers_are_numbers(tmp_path: Path) -> None:
    text = "a: off\nb: no\nc: 1\nd: 1e-3\ne: -2.5\nf: true\ng: ~\nh: 2024-01-01\ni: '1'\n"
    assert yaml_source.parse(text, tmp_path).data == {
        "a": "off", "b": "no", "c": 1, "d": 0.001, "e": -2.5, "f": True, "g": None,
        "h": "2024-01-01", "i": "1",
    }  # fmt: skip


def test_a_few_aliases_are_welcome(tmp_path: Path) -> None:
    text = f"{HEAD}chain:\n  - gain: &soft {{gain_db: -3}}\n  - gain: *soft\n"
    assert loader.load(write(tmp_path, text)).chain == (registry.Gain(gain_db=-3.0),) * 2


def test_a_very_long_number_is_answered_not_choked_on(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEAD}chain:\n  - gain: {{gain_db: {'9' * 5000}}}\n")
    with pytest.raises(PresetError, match="'gain_db' is inf; allowed is a number, -60 to 24 dB"):
        loader.load(path)


# What ships


@pytest.mark.parametrize("name", ["stems", "karaoke", "acapella", "rehearsal", "mix-ready"])
def test_every_shipped_preset_loads_and_serves_any_model_with_vocals(name: str) -> None:
    loaded = loader.load(name, within=[SHIPPED])
    assert loaded.name == name
    assert loaded.is_linear == (name == "stems")
    for stems in (["vocals", "accompaniment"], ["drums", "bass", "other", "vocals"]):
        sources = [*stems, "residual"] if loaded.residual == "stem" else stems
        assert loaded.outputs(sources)


def test_the_shipped_folder_is_found_in_a_checkout() -> None:
    assert set(loader.find()) >= {"stems", "karaoke", "acapella", "rehearsal", "mix-ready"}


def test_the_shipped_presets_do_what_they_say() -> None:
    sources = ["drums", "vocals", "residual"]

    def outputs(name: str) -> dict[str, dict[str, float]]:
        return loader.load(name, within=[SHIPPED]).outputs(sources)

    assert outputs("karaoke") == {"karaoke": {"drums": 1.0, "residual": 1.0}}
    assert outputs("acapella") == {"vocals": {"vocals": 1.0}}
    rehearsal = outputs("rehearsal")["rehearsal"]
    assert rehearsal == {"drums": 1.0, "vocals": pytest.approx(0.2512, abs=1e-4), "residual": 1.0}
    mix_ready = loader.load("mix-ready", within=[SHIPPED])
    assert mix_ready.chain == (registry.DcRemoval(),)
    assert mix_ready.headroom == loader.Headroom(mode="common", ceiling_dbfs=-6.0)
    assert mix_ready.session == ("reaper", "dawproject")
    assert mix_ready.limiter == registry.Limiter(
        ceiling_dbtp=-6.0, release_ms=100.0, true_peak=True
    )


# Names and paths


def test_a_users_preset_hides_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "schema: 1\nsummary: mine\n", "stems")
    (tmp_path / "notes.txt").write_text("no preset")
    loaded = loader.available(within=[tmp_path / "absent", tmp_path, SHIPPED])
    assert [each.name for each in loaded] == sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    assert {each.name: each.summary for each in loaded}["stems"] == "mine"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PresetError, match="no preset is named 'kareoke'; did you mean 'karaoke'"):
        loader.load("kareoke", within=[SHIPPED])


def test_a_relative_path_with_ending_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, HEAD)
    monkeypatch.chdir(tmp_path)
    assert loader.load("mine.yaml").name == "mine"
    assert loader.load("./mine.yaml").name == "mine"
    with pytest.raises(PresetError, match="no such file"):
        loader.load("./mine")


# Outputs


def test_stems_and_mixdowns_become_outputs(tmp_path: Path) -> None:
    text = f"{HEAD}stems: [bass]\nmixdowns:\n  duo: {{drums: 6, bass: off, rest: off}}\n"
    text += "  all: {rest: 0}\n"
    outputs = loader.load(write(tmp_path, text)).outputs(["drums", "bass", "vocals"])
    assert list(outputs) == ["bass", "duo", "all"]
    assert outputs["bass"] == {"bass": 1.0}
    assert outputs["duo"] == {"drums": pytest.approx(1.9953, abs=1e-4)}
    assert outputs["all"] == {"drums": 1.0, "bass": 1.0, "vocals": 1.0}


def test_a_source_that_a_mixdown_does_not_name_is_silent_without_rest(tmp_path: Path) -> None:
    loaded = loader.load(write(tmp_path, f"{HEAD}mixdowns: {{beat: {{drums: 0}}}}\n"))
    assert loaded.outputs(["drums", "bass"])["beat"] == {"drums": 1.0}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("stems: [vocal]", "this model has no stem 'vocal'; did you mean 'vocals'?"),
        ("stems: [piano]", "this model has no stem 'piano'; known: vocals, other"),
        ("mixdowns: {m: {vocasl: off, rest: 0}}", "no stem 'vocasl'; did you mean 'vocals'?"),
        ("mixdowns: {VOCALS: {rest: 0}}", "mixdown 'VOCALS' has the name of another output"),
        ("mixdowns: {m: {rest: 0}, M: {rest: 0}}", "mixdown 'M' has the name of another output"),
        ("mixdowns: {m: {vocals: off, other: off, rest: 0}}", "leaves mixdown 'm' empty"),
    ],
)
def test_a_preset_that_does_not_fit_the_model(tmp_path: Path, keys: str, message: str) -> None:
    loaded = loader.load(write(tmp_path, f"{HEAD}{keys}\n"))
    with pytest.raises(PresetError) as caught:
        loaded.outputs(["vocals", "other"])
    assert message in str(caught.value)
    assert str(loaded.path) in str(caught.value)


# Linear, hash, frozen


@pytest.mark.parametrize(
    ("keys", "linear"),
    [
        ("residual: stem", True),
        ("headroom: {ceiling_dbfs: -6}", True),
        ("output: {subtype: PCM_16}", True),
        ("mixdowns: {backing: {vocals: off, rest: 0}}", True),
        ("residual: off", False),
        ("stems: [vocals]", False),
        ("limiter: {}", False),
        ("chain: [dc_removal]", False),
    ],
)
def test_linear_means_that_the_stems_must_null(tmp_path: Path, keys: str, linear: bool) -> None:
    assert loader.load(write(tmp_path, f"{HEAD}{keys}\n")).is_linear is linear


def test_the_hash_follows_the_sound_and_not_the_words(tmp_path: Path) -> None:
    def digest(text: str, name: str = "a") -> str:
        return loader.load(write(tmp_path, text, name)).content_hash

    base = digest(HEAD)
    assert len(base) == 64
    assert digest("# a comment\nsummary: other words\nschema: 1\nstems: all\n", "b") == base
    changes = [
        "model: spleeter:4stems", "residual: stem", "chain: [gain]", "chain: [dc_removal]",
        "chain: [highpass]", "chain: [lowpass: {cutoff_hz: 80}]", "headroom: {mode: none}",
        "headroom: {ceiling_dbfs: -1}", "limiter: {}", "limiter: {true_peak: false}",
        "stems: [vocals]", "mixdowns: {m: {rest: 0}}", "mixdowns: {m: {rest: -1}}",
        "output: {subtype: FLOAT}", "output: {format: flac}", "output: {format: mp3}",
        "output: {format: mp3, bitrate_kbps: 128}", "output: {format: ogg, quality: 3}",
        "bounce: {repair: true}", "bounce: {accept_truncated: true}",
    ]  # fmt: skip
    digests = [digest(f"{HEAD}{change}\n") for change in changes]
    assert len({base, *digests}) == len(changes) + 1
    # Defaults written out, and 3 for 3.0, sound the same.
    gain = digest(f"{HEAD}chain: [gain]\n")
    assert digest(f"{HEAD}chain: [gain: {{gain_db: 0}}]\n") == gain
    assert digest(f"{HEAD}bounce: {{repair: false}}\n") == base
    newer = HEAD.replace("schema: 1", "schema: 2")
    assert digest(newer) == digest(f"{newer}session: []\n")
    assert len({digest(f"{newer}session: {names}\n") for names in ("[]", "[csv]", "[aaf]")}) == 3


def test_what_is_accepted_on_the_command_line_adds_to_the_preset(tmp_path: Path) -> None:
    loaded = loader.load(write(tmp_path, f"{HEAD}bounce: {{repair: true}}\n"))
    both = loaded.adjusted((), {}, {"accept_truncated": True})
    assert (both.bounce.accept_truncated, both.bounce.repair) == (True, True)
    assert both.content_hash != loaded.content_hash
    assert loaded.adjusted((), {}, {}).content_hash == loaded.content_hash


def test_session_files_on_the_command_line_replace_those_of_the_preset(tmp_path: Path) -> None:
    path = write(tmp_path, "schema: 2\nsummary: x\nsession: [csv, m3u8]\n")
    loaded = loader.load(path)
    assert loaded.session == ("csv", "m3u8")
    assert loaded.adjusted((), {}).session == ("csv", "m3u8")
    assert loaded.adjusted((), {}, session=["reaper", "reaper"]).session == ("reaper",)
    with pytest.raises(PresetError, match="--session: unknown session 'logic'; known: reaper"):
        loaded.adjusted((), {}, session=["logic"])


def test_what_a_session_needs_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    path = write(tmp_path, "schema: 2\nsummary: x\nsession:\n  - csv\n  - aaf\n  - stem-mp4\n")
    loaded = loader.load(path)  # it is no mistake of the file
    with pytest.raises(PresetError) as caught:
        preset_check.check_preset(loaded)
    assert list(caught.value.problems) == [
        f"{path}:5: session 'aaf' needs pyaaf2: install stembridge[aaf]",
    ]
    with pytest.raises(PresetError, match="--session: session 'aaf' needs pyaaf2"):
        loaded.adjusted((), {}, session=["aaf"])


@pytest.mark.parametrize(
    "sources",
    [
        ("vocals", "../../escaped"),
        ("vocals", "/abs"),
        ("vocals", "..\\escaped"),
        ("vocals", ".."),
        ("vocals", ""),
        ("vocals", "a\nb"),
        ("vocals", "\x1b[2J"),
        ("vocals", "nul\0"),
        ("vocals", "x" * 65),
        ("vocals", "Vocals"),
        ("\u00e9", "e\u0301"),
    ],
)
def test_a_model_whose_stems_cannot_be_files_is_refused(
    tmp_path: Path, sources: tuple[str, str]
) -> None:
    """A checkpoint of anyone names its stems as it likes."""
    with pytest.raises(ModelError, match="use another model") as caught:
        loader.load(write(tmp_path, HEAD)).outputs(sources)
    assert str(caught.value).isprintable()


def test_mixdowns_that_some_systems_take_for_one(tmp_path: Path) -> None:
    for one, two in (("Duo", "duo"), ("\u00e9", "e\u0301"), ("Stra\u00dfe", "STRASSE")):
        text = f"{HEAD}mixdowns:\n  {one}: {{rest: 0}}\n  {two}: {{rest: 0}}\n"
        loaded = loader.load(write(tmp_path, text))
        with pytest.raises(PresetError, match="has the name of another output"):
            loaded.outputs(["vocals"])


def test_a_preset_cannot_be_changed_after_loading() -> None:
    loaded = loader.load("stems", within=[SHIPPED])
    with pytest.raises(ValidationError, match="frozen"):
        loaded.residual = "off"


# The table of effects


HOSTED = {"vst3", "audio_unit", "pedalboard"}  # these take what another program knows
OWN = [name for name in registry.EFFECTS if name not in HOSTED]
# Ratios of the field that have no unit.
UNITLESS = {"ratio", "q"}


@pytest.mark.parametrize("name", OWN)
def test_every_parameter_states_unit_range_and_default(name: str) -> None:
    effect = registry.EFFECTS[name]
    for row in registry.parameters(effect):
        assert row.description
        if row.minimum is None or row.maximum is None:
            assert row.default in row.span.split(" ")[0] or f"{row.default}," in row.span
            continue
        assert row.unit or row.name in UNITLESS
        assert row.default == "none" or row.minimum <= float(row.default) <= row.maximum
    assert effect.description


def test_every_effect_has_its_row() -> None:
    assert len(registry.EFFECTS) == 23
    assert all(effect.effect_name == name for name, effect in registry.EFFECTS.items())


@pytest.mark.parametrize("name", OWN)
def test_every_effect_can_be_named_alone_and_with_all_its_parameters(
    tmp_path: Path, name: str
) -> None:
    rows = registry.parameters(registry.EFFECTS[name])
    # Defaults are printed as YAML has them: true, false, numbers.
    settings = ", ".join(f"{row.name}: {row.default}" for row in rows if row.default != "none")
    for item in (name, f"{name}:", f"{name}: {{{settings}}}"):
        text = f"{HEAD}aligned: false\nchain:\n  - {item}\n"
        assert loader.load(write(tmp_path, text)).chain == (registry.EFFECTS[name](),)
