"""Presets: what ships, what a file may say, and what is said about a file that is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.chain import effects, preset, yamlfile
from bridge.errors import PresetError, UsageError

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
    "deep": [
        "3: nested deeper than 16 levels; a preset needs 4",
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
    "mixdown_name": [
        (
            "4: mixdown name '../../etc/passwd' cannot be part of a file name; "
            "use up to 64 letters, digits, spaces or dashes"
        ),
    ],
    "newer_schema": [
        (
            "1: 'schema' is 2; "
            "allowed is 1; this version reads schema 1, a newer preset needs a newer stembridge"
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
        "4: 'gain_db' is '3'; allowed is a number, -60 to 24 dB",
    ],
    "open_bracket": [
        (
            "5: not valid YAML (expected ',' or '}', but got ':'); "
            "check indentation, colons and quotes near here"
        ),
    ],
    "parameter_of_none": [
        "4: unknown key 'cutoff_hz' of 'dc_removal'; remove it",
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
    "several": [
        "3: 'residual' is 'stm'; did you mean 'stem'?",
        "5: 'gain_db' is 99; allowed is a number, -60 to 24 dB",
        (
            "6: unknown effect 'reverb'; "
            "known: dc_removal, gain, highpass, lowpass, compressor, limiter"
        ),
        "7: unknown key 'limitr'; did you mean 'limiter'?",
    ],
    "stems_as_text": [
        "3: 'stems' must be all or a list of stem names; write `stems: all` or `stems: [vocals]`",
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
        "1997: more than 2000 keys and values, so not a preset; check the path",
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
        "4: unknown key 'freq' of 'highpass'; known: cutoff_hz",
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
        "4: 'true_peak' is 'yes'; allowed is true or false",
    ],
}


def write(tmp_path: Path, text: str, name: str = "mine") -> Path:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bad_file_is_answered_with_line_and_remedy(name: str) -> None:
    path = BAD / f"{name}.yaml"
    with pytest.raises(yamlfile.PresetError) as caught:
        preset.load(path)
    assert list(caught.value.problems) == [f"{path}:{problem}" for problem in PROBLEMS[name]]
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_the_table_knows_every_bad_file() -> None:
    assert {path.stem for path in BAD.glob("*.yaml")} == set(PROBLEMS)


def test_an_error_survives_the_way_out_of_the_worker_process() -> None:
    error = yamlfile.PresetError("a.yaml:1: one", "a.yaml:2: two")
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert isinstance(copy, UsageError)
    assert copy.code == "preset"


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = write(tmp_path, f"{HEAD}model: !!python/object/apply:os.mkdir ['{trace}']\n")
    with pytest.raises(PresetError, match="tag"):
        preset.load(path)
    assert not trace.exists()


def test_a_big_file_is_not_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "# " + "x" * yamlfile.MAX_BYTES)
    with pytest.raises(PresetError, match=r"mine\.yaml:1: over 1 MiB"):
        preset.load(path)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "# " + "x" * (yamlfile.MAX_BYTES - len(HEAD) - 2))
    assert preset.load(path).summary == "a test"


def test_a_missing_file_and_a_folder_are_said_to_be_no_preset(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name in ("gone.yaml", "folder.yaml"):
        with pytest.raises(PresetError, match="there is no such file"):
            preset.load(tmp_path / name)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert preset.load(write(tmp_path, "\ufeff" + HEAD)).summary == "a test"


def test_off_and_no_are_text_and_numbers_are_numbers(tmp_path: Path) -> None:
    text = "a: off\nb: no\nc: 1\nd: 1e-3\ne: -2.5\nf: true\ng: ~\nh: 2024-01-01\ni: '1'\n"
    assert yamlfile.parse(text, tmp_path).data == {
        "a": "off", "b": "no", "c": 1, "d": 0.001, "e": -2.5, "f": True, "g": None,
        "h": "2024-01-01", "i": "1",
    }  # fmt: skip


def test_a_few_aliases_are_welcome(tmp_path: Path) -> None:
    text = f"{HEAD}chain:\n  - gain: &soft {{gain_db: -3}}\n  - gain: *soft\n"
    assert preset.load(write(tmp_path, text)).chain == (effects.Gain(gain_db=-3.0),) * 2


def test_a_very_long_number_is_answered_not_choked_on(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEAD}chain:\n  - gain: {{gain_db: {'9' * 5000}}}\n")
    with pytest.raises(PresetError, match="'gain_db' is inf; allowed is a number, -60 to 24 dB"):
        preset.load(path)


# What ships


@pytest.mark.parametrize("name", ["stems", "karaoke", "acapella", "rehearsal", "mix-ready"])
def test_every_shipped_preset_loads_and_serves_any_model_with_vocals(name: str) -> None:
    loaded = preset.load(name, within=[SHIPPED])
    assert loaded.name == name
    assert loaded.is_linear == (name == "stems")
    for stems in (["vocals", "accompaniment"], ["drums", "bass", "other", "vocals"]):
        sources = [*stems, "residual"] if loaded.residual == "stem" else stems
        assert loaded.outputs(sources)


def test_the_shipped_folder_is_found_in_a_checkout() -> None:
    assert set(preset.find()) >= {"stems", "karaoke", "acapella", "rehearsal", "mix-ready"}


def test_the_shipped_presets_do_what_they_say() -> None:
    sources = ["drums", "vocals", "residual"]

    def outputs(name: str) -> dict[str, dict[str, float]]:
        return preset.load(name, within=[SHIPPED]).outputs(sources)

    assert outputs("karaoke") == {"karaoke": {"drums": 1.0, "residual": 1.0}}
    assert outputs("acapella") == {"vocals": {"vocals": 1.0}}
    rehearsal = outputs("rehearsal")["rehearsal"]
    assert rehearsal == {"drums": 1.0, "vocals": pytest.approx(0.2512, abs=1e-4), "residual": 1.0}
    mix_ready = preset.load("mix-ready", within=[SHIPPED])
    assert mix_ready.chain == (effects.DcRemoval(),)
    assert mix_ready.headroom == preset.Headroom(mode="common", ceiling_dbfs=-6.0)
    assert mix_ready.limiter == effects.Limiter(ceiling_db=-6.0, release_ms=100.0, true_peak=True)


# Names and paths


def test_a_users_preset_hides_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "schema: 1\nsummary: mine\n", "stems")
    (tmp_path / "notes.txt").write_text("no preset")
    loaded = preset.available(within=[tmp_path / "absent", tmp_path, SHIPPED])
    assert [each.name for each in loaded] == [
        "acapella", "karaoke", "mix-ready", "rehearsal", "stems",
    ]  # fmt: skip
    assert loaded[-1].summary == "mine"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PresetError, match="no preset is named 'kareoke'; did you mean 'karaoke'"):
        preset.load("kareoke", within=[SHIPPED])


def test_a_relative_path_with_ending_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, HEAD)
    monkeypatch.chdir(tmp_path)
    assert preset.load("mine.yaml").name == "mine"
    assert preset.load("./mine.yaml").name == "mine"
    with pytest.raises(PresetError, match="no such file"):
        preset.load("./mine")


# Outputs


def test_stems_and_mixdowns_become_outputs(tmp_path: Path) -> None:
    text = f"{HEAD}stems: [bass]\nmixdowns:\n  duo: {{drums: 6, bass: off, rest: off}}\n"
    text += "  all: {rest: 0}\n"
    outputs = preset.load(write(tmp_path, text)).outputs(["drums", "bass", "vocals"])
    assert list(outputs) == ["bass", "duo", "all"]
    assert outputs["bass"] == {"bass": 1.0}
    assert outputs["duo"] == {"drums": pytest.approx(1.9953, abs=1e-4)}
    assert outputs["all"] == {"drums": 1.0, "bass": 1.0, "vocals": 1.0}


def test_a_source_that_a_mixdown_does_not_name_is_silent_without_rest(tmp_path: Path) -> None:
    loaded = preset.load(write(tmp_path, f"{HEAD}mixdowns: {{beat: {{drums: 0}}}}\n"))
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
    loaded = preset.load(write(tmp_path, f"{HEAD}{keys}\n"))
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
    assert preset.load(write(tmp_path, f"{HEAD}{keys}\n")).is_linear is linear


def test_the_hash_follows_the_sound_and_not_the_words(tmp_path: Path) -> None:
    def digest(text: str, name: str = "a") -> str:
        return preset.load(write(tmp_path, text, name)).content_hash

    base = digest(HEAD)
    assert len(base) == 64
    assert digest("# a comment\nsummary: other words\nschema: 1\nstems: all\n", "b") == base
    changes = [
        "model: spleeter:4stems", "residual: stem", "chain: [gain]", "chain: [dc_removal]",
        "chain: [highpass]", "chain: [lowpass: {cutoff_hz: 80}]", "headroom: {mode: none}",
        "headroom: {ceiling_dbfs: -1}", "limiter: {}", "limiter: {true_peak: true}",
        "stems: [vocals]", "mixdowns: {m: {rest: 0}}", "mixdowns: {m: {rest: -1}}",
        "output: {subtype: FLOAT}",
    ]  # fmt: skip
    digests = [digest(f"{HEAD}{change}\n") for change in changes]
    assert len({base, *digests}) == len(changes) + 1
    # Defaults written out, and 3 for 3.0, sound the same.
    gain = digest(f"{HEAD}chain: [gain]\n")
    assert digest(f"{HEAD}chain: [gain: {{gain_db: 0}}]\n") == gain


def test_a_preset_cannot_be_changed_after_loading() -> None:
    loaded = preset.load("stems", within=[SHIPPED])
    with pytest.raises(ValidationError, match="frozen"):
        loaded.residual = "off"


# The table of effects


def test_every_parameter_states_unit_range_and_default() -> None:
    rows = [row for effect in effects.EFFECTS.values() for row in effects.parameters(effect)]
    assert {row.effect for row in rows} == set(effects.EFFECTS) - {"dc_removal"}
    for row in rows:
        assert row.about
        if isinstance(row.default, bool):
            assert (row.unit, row.minimum, row.maximum) == ("", None, None)
            continue
        assert row.minimum is not None
        assert row.maximum is not None
        assert row.minimum <= row.default <= row.maximum
        assert row.unit or row.name == "ratio"
    assert all(effect.about for effect in effects.EFFECTS.values())


@pytest.mark.parametrize("name", effects.EFFECTS)
def test_every_effect_can_be_named_alone_and_with_all_its_parameters(
    tmp_path: Path, name: str
) -> None:
    rows = effects.parameters(effects.EFFECTS[name])
    # Defaults are printed as YAML has them: true, false, numbers.
    settings = ", ".join(f"{row.name}: {str(row.default).lower()}" for row in rows)
    text = f"{HEAD}chain:\n  - {name}\n  - {name}:\n  - {name}: {{{settings}}}\n"
    chain = preset.load(write(tmp_path, text)).chain
    assert chain == (effects.EFFECTS[name](),) * 3
