"""Composition of preset files: parents, variables, conditions and chains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bridge.dsp.decibel import db_to_linear
from bridge.effects.conditions import JobFacts, When
from bridge.errors import PresetError
from bridge.presets import composition
from bridge.presets import loader as presets
from bridge.presets.loader import Preset

SHIPPED = Path(__file__).parents[2] / "presets"
FOUR = ("drums", "bass", "other", "vocals")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's presets folder; the shipped one comes after it."""
    monkeypatch.setattr(presets, "folders", lambda: (tmp_path, SHIPPED))
    return tmp_path


# --- parents ---


def test_mappings_are_merged_by_key_and_all_else_replaces(own: Path) -> None:
    write(
        own,
        "parent",
        "schema: 1\nsummary: p\nchain: [dc_removal, {gain: {gain_db: 1}}]\nstems: [vocals]\n"
        "headroom: {mode: common, ceiling_dbfs: -6}\n"
        "mixdowns: {karaoke: {vocals: off, rest: 0}, loud: {vocals: 3}}\n",
    )
    write(
        own,
        "child",
        "schema: 2\nextends: parent\nchain: [compressor]\nheadroom: {ceiling_dbfs: -3}\n"
        "mixdowns: {karaoke: {vocals: -20}, loud: null}\n",
    )
    child = presets.load("child")
    assert (child.name, child.summary, child.stems) == ("child", "p", ("vocals",))
    assert [effect.effect_name for effect in child.chain] == ["compressor"]
    assert (child.headroom.mode, child.headroom.ceiling_dbfs) == ("common", -3)
    outputs = child.outputs(("vocals", "other"))
    assert outputs == {
        "vocals": {"vocals": 1.0},
        "karaoke": {"vocals": pytest.approx(0.1), "other": 1.0},
    }


def test_a_parent_that_is_named_by_its_file_and_has_a_parent_itself(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "a", "schema: 1\nsummary: a\nresidual: stem\nmodel: m\n")
    write(tmp_path, "b", "schema: 2\nextends: more/a.yaml\nsummary: b\nmodel: null\n")
    path = write(tmp_path, "c", "schema: 2\nextends: ./b.yaml\nstems: [x]\n")
    found = presets.load(path)
    assert (found.residual, found.summary, found.stems, found.model) == ("stem", "b", ("x",), None)


def test_a_preset_can_extend_the_one_that_it_hides(own: Path) -> None:
    write(own, "karaoke", "schema: 2\nextends: karaoke\noutput: {subtype: FLOAT}\n")
    mine = presets.load("karaoke")
    assert mine.path.parent == own
    assert mine.output.subtype == "FLOAT"
    assert mine.mixdowns == presets.load_file(SHIPPED / "karaoke.yaml").mixdowns


def test_circular_and_too_many_parents_are_refused(own: Path) -> None:
    write(own, "a", "schema: 2\nsummary: a\nextends: b\n")
    b = write(own, "b", "schema: 2\nsummary: b\n\nextends: a\n")
    with pytest.raises(PresetError, match=r"circular, by a\.yaml") as caught:
        presets.load("a")
    assert str(caught.value).startswith(f"{b}:4: ")
    for number in range(composition.MAX_PARENTS + 2):
        write(own, f"p{number}", f"schema: 2\nsummary: s\nextends: p{number + 1}\n")
    with pytest.raises(PresetError, match="extend each other"):
        presets.load("p0")


def test_an_error_is_reported_with_its_file_and_line(own: Path) -> None:
    parent = write(
        own, "parent", "schema: 1\nsummary: p\nmixdowns:\n  a:\n    vocals: 99\n    rest: 0\n"
    )
    child = write(own, "child", "schema: 2\nextends: parent\n\nmixdowns:\n  a: {rest: loud}\n")
    with pytest.raises(PresetError) as caught:
        presets.load("child")
    assert caught.value.problems == (
        f"{child}:5: gain 'loud' is not allowed; write -96 to 24 (dB) or off",
        f"{parent}:5: gain 99 is not allowed; write -96 to 24 (dB) or off",
    )


VALUES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers()).map(tuple)
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), VALUES),
    lambda inner: st.dictionaries(st.sampled_from("abc"), VALUES | inner),
)


def expected(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The rule, conditions in another way."""
    merged = {}
    for key in {**old, **new}:
        if key not in new:
            merged[key] = old[key]
        elif isinstance(new[key], dict) and isinstance(old.get(key), dict):
            merged[key] = expected(old[key], new[key])
        elif new[key] is not None or key not in old:
            merged[key] = new[key]
    return merged


@given(TREES, TREES)
def test_merging_follows_the_rule(old: dict[str, Any], new: dict[str, Any]) -> None:
    origins: dict[Any, Any] = {}
    assert composition._merge(old, new, (), origins, {}) == expected(old, new)


# --- variables ---

VARIABLES = """\
schema: 2
summary: s
variables: {ceiling: -3, kind: common, truth: true, level: off}
headroom: {mode: "${kind}", ceiling_dbfs: "${ceiling}"}
bounce: {repair: "${truth}"}
mixdowns: {m: {vocals: "${level}", rest: 0}}
"""


def test_variables_keep_their_types(tmp_path: Path) -> None:
    path = write(tmp_path, "p", VARIABLES)
    found = presets.load(path)
    assert (found.headroom.mode, found.headroom.ceiling_dbfs) == ("common", -3)
    assert found.bounce.repair is True
    assert found.outputs(("vocals", "other"))["m"] == {"other": 1.0}


def test_variables_of_the_command_line_win_and_are_parsed_as_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "p", VARIABLES)
    given_ = composition.parse_variables(["ceiling=-6.5", "truth=false", "level = 3"])
    assert given_ == {"ceiling": -6.5, "truth": False, "level": 3}
    found = presets.load(path, variables=given_)
    assert found.headroom.ceiling_dbfs == -6.5
    assert found.bounce.repair is False
    assert found.outputs(("vocals", "other"))["m"]["vocals"] == db_to_linear(3)
    assert found.content_hash != presets.load(path).content_hash


def test_a_child_gives_its_parent_s_variables_other_values(own: Path) -> None:
    write(own, "p", VARIABLES)
    write(own, "c", "schema: 2\nextends: p\nvariables: {ceiling: -9}\n")
    found = presets.load("c")
    assert (found.headroom.mode, found.headroom.ceiling_dbfs) == ("common", -9)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("ceilling=3", "there is no variable 'ceilling'; did you mean 'ceiling'?"),
        ("ceiling", "write --set name=value"),
        ("=3", "write --set name=value"),
        ("ceiling=[1]", "a variable is text, a number, true or false"),
        ("ceiling={", "not valid YAML"),
        ("ceiling=loud", "'ceiling_dbfs' is 'loud'"),
    ],
)
def test_an_invalid_assignment_is_explained(tmp_path: Path, assignment: str, words: str) -> None:
    path = write(tmp_path, "p", VARIABLES)
    with pytest.raises(PresetError) as caught:
        presets.load(path, variables=composition.parse_variables([assignment]))
    assert words in str(caught.value)


def test_schema_1_has_no_variables(tmp_path: Path) -> None:
    """What was plain text stays plain text."""
    path = write(tmp_path, "p", "schema: 1\nsummary: costs ${x}\n")
    assert presets.load(path).summary == "costs ${x}"


# --- conditions ---

NAMES = st.lists(st.sampled_from(FOUR), min_size=1, max_size=2).map(tuple)
CONDITIONS: Any = st.recursive(
    st.one_of(
        st.fixed_dictionaries({"has_stem": NAMES | st.sampled_from(FOUR)}),
        st.fixed_dictionaries({"channels": st.sampled_from(["mono", "stereo", "multichannel"])}),
        st.fixed_dictionaries({"min_rate_hz": st.sampled_from([8000, 44_100, 96_000])}),
        st.fixed_dictionaries({"max_rate_hz": st.sampled_from([8000, 44_100, 96_000])}),
    ),
    lambda inner: st.tuples(inner, inner).map(lambda pair: {**pair[0], "not": pair[1]}),
    max_leaves=4,
)
FACTS = st.builds(
    JobFacts,
    st.sets(st.sampled_from(FOUR), min_size=1).map(lambda found: tuple(sorted(found))),
    st.sampled_from([1, 2, 6]),
    st.sampled_from([8000, 44_100, 48_000, 192_000]),
)


def truth(conditions: dict[str, Any], facts: JobFacts) -> bool:
    """What it means, in plain logic."""
    wanted = conditions.get("has_stem", ())
    layout = {1: "mono", 2: "stereo"}.get(facts.channels or 0, "multichannel")
    return (
        {*([wanted] if isinstance(wanted, str) else wanted)} <= {*facts.stems}
        and conditions.get("channels", layout) == layout
        and conditions.get("min_rate_hz", 0) <= (facts.rate_hz or 0)
        and conditions.get("max_rate_hz", 1e9) >= (facts.rate_hz or 0)
        and not ("not" in conditions and truth(conditions["not"], facts))
    )


@given(CONDITIONS, FACTS)
def test_conditions_are_evaluated(conditions: dict[str, Any], facts: JobFacts) -> None:
    when = TypeAdapter(When).validate_python(conditions)
    assert when.holds(facts) is truth(conditions, facts)
    early = when.holds(JobFacts(facts.stems))
    assert early in (None, truth(conditions, facts)), "decided before it could be known"


PARTS = """\
schema: 2
summary: s
chain: [{gain: {gain_db: -1, when: {channels: mono}}}, {width: {when: {channels: stereo}}}]
stem_chains: {vocals: [{gain: {when: {has_stem: drums}}}]}
mixdowns:
  band: {mix: {drums: 0, bass: 0}, when: {has_stem: [drums, bass]}}
  wide:
    mix: {rest: 0}
    when: {not: {channels: mono}}
    chain: [{gain: {when: {min_rate_hz: 96000}}}]
master: [{gain: {when: {max_rate_hz: 48000}}}]
limiter: {when: {channels: mono}}
"""


def test_parts_are_removed_when_their_condition_fails(tmp_path: Path) -> None:
    preset = presets.load(write(tmp_path, "p", PARTS))
    two = ("vocals", "other")
    assert set(preset.outputs(two)) == {*two, "wide", "master"}
    assert set(preset.outputs(FOUR)) == {*FOUR, "band", "wide", "master"}

    mono = preset.resolved(JobFacts(FOUR, 1, 48_000))
    assert [effect.effect_name for effect in mono.chain_of("vocals")] == ["gain", "gain"]
    assert set(mono.outputs(FOUR)) == {*FOUR, "band", "master"}
    assert mono.limiter is not None
    stereo = preset.resolved(JobFacts(two, 2, 96_000))
    assert [effect.effect_name for effect in stereo.chain_of("vocals")] == ["width"]
    assert [len(bus.chain) for bus in stereo.mixdowns.values()] == [1]
    assert stereo.limiter is None
    assert "master" not in stereo.outputs(two), "a master without effects is no file"
    for settled in (mono, stereo):
        assert all(effect.when is None for _, effect in settled.all_effects())
        assert all(bus.when is None for bus in settled.mixdowns.values())


@given(FACTS)
def test_resolving_is_idempotent(facts: JobFacts) -> None:
    document = composition.parse(PARTS, Path("p.yaml"))
    composed = composition.Composed(document.data, (document,), {})
    preset = presets._validated(composed, presets.PluginFolders())
    whole = preset.resolved(facts)
    assert preset.resolved(JobFacts(facts.stems)).resolved(facts) == whole
    assert whole.resolved(facts) == whole


def yaml_data(text: str) -> object:
    return composition.parse(text, Path("p.yaml")).data


def test_a_preset_without_outputs_is_refused(tmp_path: Path) -> None:
    mixdown = "{mix: {rest: 0}, when: {channels: mono}}"
    preset = load_text(tmp_path, f"stems: []\nmixdowns: {{m: {mixdown}}}\n")
    assert set(preset.outputs(FOUR)) == {"m"}
    with pytest.raises(PresetError, match="nothing to publish"):
        preset.resolved(JobFacts(FOUR, 2, 48_000)).outputs(FOUR)


# --- where a chain runs ---


def load_text(folder: Path, text: str) -> Preset:
    return presets.load(write(folder, "p", f"schema: 2\nsummary: s\n{text}"))


def test_a_stem_runs_through_the_common_chain_and_its_own(tmp_path: Path) -> None:
    preset = load_text(
        tmp_path, "chain: [dc_removal]\nstem_chains: {vocals: [de_esser], rest: [compressor]}\n"
    )
    names = {stem: [e.effect_name for e in preset.chain_of(stem)] for stem in FOUR}
    assert names["vocals"] == ["dc_removal", "de_esser"]
    assert names["drums"] == ["dc_removal", "compressor"]
    assert not preset.is_linear
    assert preset.is_sum


def test_a_chain_for_a_stem_that_the_model_does_not_have_is_a_mistake(tmp_path: Path) -> None:
    preset = load_text(tmp_path, "stem_chains: {vocasl: [gain]}\n")
    with pytest.raises(PresetError, match="no stem 'vocasl'; did you mean 'vocals'"):
        preset.outputs(FOUR)
    conditional = load_text(tmp_path, "stem_chains: {piano: [{gain: {when: {has_stem: piano}}}]}\n")
    assert set(conditional.resolved(JobFacts(FOUR)).outputs(FOUR)) == {*FOUR}


def test_a_bus_has_gains_pans_and_a_chain(tmp_path: Path) -> None:
    preset = load_text(
        tmp_path,
        "mixdowns:\n  up:\n    from: mixture\n    chain: [limiter]\n"
        "    mix: {vocals: {gain_db: 3, pan_percent: -20}, drums: off, rest: 0}\n"
        "master: [limiter]\n",
    )
    buses = preset.buses(FOUR)
    assert list(buses) == ["up", "master"]
    levels = buses["up"].levels(FOUR)
    assert list(levels) == ["bass", "other", "vocals"]
    assert (levels["vocals"].gain_db, levels["vocals"].pan_percent) == (3, -20)
    assert buses["up"].base == "mixture"
    assert preset.outputs(FOUR)["master"] == dict.fromkeys(FOUR, 1.0)
    assert preset.required_sources is None


def test_every_difference_in_sound_is_in_the_hash(tmp_path: Path) -> None:
    texts = [
        "",
        "stem_chains: {vocals: [gain]}\n",
        "stem_chains: {drums: [gain]}\n",
        "stem_chains: {vocals: [{gain: {when: {channels: mono}}}]}\n",
        "master: [gain]\n",
        "chain: [gain]\n",
        "chain: [{gain: {when: {channels: mono}}}]\n",
        "limiter: {}\n",
        "limiter: {when: {channels: mono}}\n",
        "mixdowns: {m: {rest: 0}}\n",
        "mixdowns: {m: {mix: {rest: 0}, from: mixture}}\n",
        "mixdowns: {m: {mix: {rest: 0}, chain: [gain]}}\n",
        "mixdowns: {m: {mix: {rest: 0}, when: {channels: mono}}}\n",
        "mixdowns: {m: {mix: {rest: {pan_percent: 1}}}}\n",
    ]
    hashes = [load_text(tmp_path, text).content_hash for text in texts]
    assert len(set(hashes)) == len(texts)
    short, long = "mixdowns: {m: {rest: 0}}\n", "mixdowns: {m: {mix: {rest: {gain_db: 0}}}}\n"
    assert load_text(tmp_path, short).content_hash == load_text(tmp_path, long).content_hash


# --- presets beside bounces ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: ../evil.yaml", "can extend only what has a name"),
        ("summary: s\nmodel: ./evil.th", "cannot name a model's file"),
        ("summary: s\nmodel: /tmp/evil.th", "cannot name a model's file"),
        ("summary: s\nvariables: {m: /tmp/x.th}\nmodel: ${m}", "cannot name a model's file"),
        ("summary: s\nchain: [vst3: {plugin: Evil}]", "no plugin"),
        ("summary: s\nchain: [vst3: {plugin: ./Evil.vst3}]", "Evil"),
    ],
)
def test_a_preset_beside_bounces_cannot_name_files(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path.parent, "evil", "schema: 1\nsummary: s\n")
    (tmp_path / "Evil.vst3").touch()
    path = write(tmp_path, "stembridge", f"schema: 2\n{text}\n")
    with pytest.raises(PresetError) as caught:
        presets.load_beside(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_a_link_beside_bounces_is_not_followed(tmp_path: Path) -> None:
    target = write(tmp_path, "secret", "schema: 1\nsummary: s\n")
    link = tmp_path / "stembridge.yaml"
    link.symlink_to(target)
    with pytest.raises(PresetError, match="links are not followed"):
        presets.load_beside(link)


def test_the_shipped_presets_are_read_the_same_by_another_parser() -> None:
    """No key of ours is something else to an editor, but for what YAML 1.1 makes of `off`."""
    for path in SHIPPED.glob("*.yaml"):
        ours = yaml_data(path.read_text(encoding="utf-8"))
        assert isinstance(ours, dict)
        assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == set(ours)
