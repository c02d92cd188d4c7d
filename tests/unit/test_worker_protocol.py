"""Messages round-trip through the pipe; invalid lines are rejected."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import errors
from bridge.effects.registry import EFFECTS, Vst3
from bridge.errors import PresetError, StembridgeError, WorkerLost, with_code
from bridge.presets import loader as presets
from bridge.presets.loader import Preset
from bridge.render.model_request import ModelRequest
from bridge.render.request import RenderRequest, preset_from_json, preset_to_json
from bridge.worker.child import describe_exit
from bridge.worker.client import LONGEST_TICK_S, Silence
from bridge.worker.protocol import (
    Announced,
    Defect,
    Done,
    Failed,
    Fetching,
    InvalidMessage,
    Load,
    Loaded,
    Message,
    Process,
    Stage,
    decode,
    encode,
)
from tests.support import ROOT, subclasses

NAMES = st.binary(max_size=40).map(os.fsdecode) | st.text(st.characters(), max_size=40)
PLAIN = st.dictionaries(st.text(max_size=8), NAMES | st.none() | st.integers() | st.lists(NAMES))
MESSAGES = st.one_of(
    st.builds(Load, PLAIN),
    st.builds(Process, PLAIN, NAMES),
    st.builds(Fetching, st.integers(0), st.none() | st.integers(0), NAMES),
    st.builds(Announced, NAMES),
    st.builds(Stage, NAMES, st.floats(0, 1)),
    st.builds(Loaded, st.lists(NAMES), st.floats(0, 60)),
    st.builds(Done, PLAIN),
    st.builds(Failed, NAMES, st.lists(NAMES)),
    st.builds(Defect, NAMES, NAMES),
)


@given(MESSAGES)
def test_a_message_is_one_line_of_ascii_and_comes_out_as_it_was(message: Message) -> None:
    """Bytes that are no text, newlines and lone surrogates included."""
    line = encode(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == message


@given(st.binary() | st.from_regex(rb'\{"kind": ?"(stage|load|x)".*\}', fullmatch=True))
def test_invalid_lines_are_rejected(line: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(line)


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[1]",
        b'"stage"',
        b"{}",
        b'{"kind": ["stage"]}',
        b'{"kind": "stage"}',
        b'{"kind": "stage", "name": "a", "share": 1, "more": 0}',
        b"[" * 100_000,
    ],
)
def test_json_that_is_no_message_is_garbage(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(data)


@pytest.mark.parametrize("cls", subclasses(StembridgeError))
def test_an_error_comes_out_as_its_class(cls: type[StembridgeError]) -> None:
    error = cls("a b.wav: wrong; do this")
    found = decode(encode(Failed.of(error)))
    assert isinstance(found, Failed)
    assert type(found.error) is cls
    assert found.error.args == error.args
    assert with_code(cls.code) is cls


def test_an_error_of_a_newer_worker_is_an_error_all_the_same() -> None:
    assert type(Failed("no-such-code", ["told"]).error) is StembridgeError


def test_a_preset_error_keeps_its_problems() -> None:
    found = decode(encode(Failed.of(PresetError("a.yaml:1: one", "a.yaml:2: two"))))
    assert isinstance(found, Failed)
    assert isinstance(found.error, PresetError)
    assert found.error.problems == ("a.yaml:1: one", "a.yaml:2: two")


def travelled(preset: Preset) -> Preset:
    """Through JSON and back."""
    return preset_from_json(json.loads(json.dumps(preset_to_json(preset))))


FULL = """
schema: 2
summary: every key
model: m
residual: stem
separation: {two_stems: vocals, other_method: add, segment_s: 3, overlap: 0.5, shifts: 2, seed: 7}
aligned: false
chain: [dc_removal, highpass: {cutoff_hz: 40, when: {not: {channels: mono}}}, limiter, trim_silence]
stem_chains: {vocals: [gain: {gain_db: -3, when: {has_stem: [drums, bass], min_rate_hz: 44100}}]}
tails: keep
headroom: {mode: none}
normalise: {lufs: -18, linked: true}
limiter: {ceiling_db: -3, true_peak: true, when: {max_rate_hz: 96000}}
mixdowns:
  without: {vocals: off, rest: 0}
  louder: {vocals: 2.5}
  wide:
    mix: {vocals: {pan_percent: -20}, bass: {gain_db: 3}, drums: off}
    from: mixture
    chain: [gain: {gain_db: -1, when: {channels: stereo}}]
    when: {has_stem: vocals}
master: [compressor, limiter: {ceiling_dbtp: -2}]
stems: [vocals]
output: {format: caf, subtype: FLOAT}
session: [reaper, aaf]
bounce: {accept_truncated: true}
"""


def test_every_key_of_a_preset_travels(tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(FULL)
    preset = presets.load_file(path)
    told = {line.partition(":")[0] for line in FULL.splitlines() if not line.startswith(" ")}
    keys = {field.alias or name for name, field in presets.PresetContent.model_fields.items()}
    assert told - {""} == keys, "a new key: put it into FULL"
    there = travelled(preset)
    assert dict(there) == dict(preset)
    assert there.content_hash == preset.content_hash


@pytest.mark.parametrize("preset", presets.available((ROOT / "presets", ROOT / "examples")))
def test_the_shipped_presets_travel(preset: Preset) -> None:
    assert dict(travelled(preset)) == dict(preset)


# What has to be given to an effect. A plugin's file has been looked up when a preset is loaded.
NEEDED: dict[str, dict[str, object]] = {
    "vst3": {
        "plugin": "/usr/lib/vst3/A.vst3",
        "parameters": {"gain": 1.5, "on": True, "kind": "x"},
    },
    "audio_unit": {"plugin": "/Library/A.component", "state": "/Library/a.aupreset"},
    "pedalboard": {"effect": "Phaser", "parameters": {"rate_hz": 0.5}},
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_travels(effect: str) -> None:
    chain = (EFFECTS[effect](**NEEDED.get(effect, {})),)
    changes = {"chain": chain, "aligned": effect != "trim_silence"}
    there = travelled(presets.load("stems").model_copy(update=changes))
    assert there.chain == chain
    assert type(there.chain[0]) is EFFECTS[effect]


def test_the_plugin_and_its_state_are_the_files_that_were_found_here(tmp_path: Path) -> None:
    """The worker looks nothing up: where the preset lies and what is allowed counted already."""
    plugin, state = tmp_path / "Mine.vst3", tmp_path / "warm.vstpreset"
    plugin.touch()
    state.touch()
    path = tmp_path / "p.yaml"
    path.write_text("schema: 1\nsummary: s\nchain: [vst3: {plugin: Mine, state: warm.vstpreset}]\n")
    (there,) = travelled(presets.load_file(path)).chain
    assert isinstance(there, Vst3)
    assert (there.plugin, there.state) == (str(plugin), str(state))


@given(
    stems=st.sampled_from([(), ("vocals",), ("drums", "bass")]),
    separation=st.fixed_dictionaries(
        {},
        optional={
            "overlap": st.floats(0, 0.99),
            "segment_s": st.floats(0.1, 600),
            "shifts": st.integers(0, 100),
            "two_stems": st.just("vocals"),
        },
    ),
)
def test_command_line_changes_round_trip(
    stems: tuple[str, ...], separation: dict[str, object]
) -> None:
    preset = presets.load("mix-ready").adjusted(stems, separation)
    there = travelled(preset)
    assert dict(there) == dict(preset)
    assert there.content_hash == preset.content_hash


def test_a_preset_is_validated_again() -> None:
    data = preset_to_json(presets.load("stems"))
    data["content"]["output"] = {"subtype": "PCM_12"}
    with pytest.raises(PresetError) as caught:
        preset_from_json(data)
    assert str(caught.value).startswith(str(presets.load("stems").path))


@given(NAMES.filter(lambda name: "\0" not in name), NAMES)
def test_orders_travel_with_names_that_are_no_text(name: str, file_name: str) -> None:
    order = RenderRequest(
        source=Path("/music") / name,
        sha256="ab" * 32,
        preset=presets.load("stems"),
        model_version="v",
        file_names={"vocals": file_name},
        target=Path("/stems") / name,
    )
    process = decode(encode(Process(order.to_json(), "/staging")))
    assert isinstance(process, Process)
    there = RenderRequest.from_json(process.order)
    assert dataclasses.replace(there, preset=order.preset) == order


def test_a_model_order_equals_its_copy() -> None:
    """So that a worker knows what it has loaded already."""
    order = ModelRequest("m", "cpu", "auto", {"stems": ("a", "b"), "shifts": 0}, Path("/cache"))
    load = decode(encode(Load(order.to_json())))
    assert isinstance(load, Load)
    assert ModelRequest.from_json(load.order) == order


@pytest.mark.parametrize(
    ("code", "diagnosis", "words"),
    [
        (-9, "", ("was killed (SIGKILL)", "out of memory", "smaller model")),
        (-11, "Fatal Python error", ("crashed with SIGSEGV", "preset stems")),
        (-6, "", ("crashed with SIGABRT",)),
        (-63, "", ("crashed with signal 63",)),
        (1, "Traceback\nImportError: no torch\n\n", ("code 1: ImportError: no torch", "doctor")),
        (3, "", ("ended with code 3;",)),
        (0xC0000005, "", ("ended with code 0xc0000005",)),
        (None, "", ("did not end",)),
    ],
)
def test_describe_exit(code: int | None, diagnosis: str, words: tuple[str]) -> None:
    error = WorkerLost(f"the worker {describe_exit(code, diagnosis)}")
    assert all(word in str(error) for word in words), str(error)
    assert "; " in str(error)
    assert error.retryable


def heard(waits_s: list[float], message: Message | None = None) -> float:
    """The silence after ticks that took so long, the first of which brought a message."""
    silence, now_s = Silence(100.0), 100.0
    for number, wait_s in enumerate(waits_s):
        now_s += wait_s
        silence.tick(now_s, None if number else message)
    return silence.lasts_s


def test_silence_is_counted_from_the_last_message() -> None:
    assert heard([0.5, 0.25, 0.25], Stage("encode", 0.5)) == 0.5
    assert heard([0.5, 0.25, 0.25]) == 1.0


def test_a_computer_that_slept_is_no_silent_worker() -> None:
    assert heard([8 * 3600.0]) == LONGEST_TICK_S


def test_waiting_for_another_program_is_no_silence() -> None:
    assert heard([0.5] * 9, Fetching(0, None, "waiting for another process")) == 0
    assert heard([0.5] * 9, Fetching(0, 100, "weights by npm")) == 0
    assert heard([0.5] * 9, Fetching(50, None, "weights")) == 4.0


def test_every_error_of_the_tree_has_a_way_home() -> None:
    assert {with_code(cls.code) for cls in subclasses(StembridgeError)} == {
        *subclasses(errors.StembridgeError)
    }
