"""The manifest as JSON data, and its rounded levels."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.publish.manifest import (
    Manifest,
    SessionFacts,
    SourceFacts,
    StemFacts,
    level_dbfs,
    versions,
)

SOURCE = SourceFacts(
    path="/music/Mix é.wav",
    sha256="ab" * 32,
    frames=96_000,
    rate_hz=48_000,
    channels=2,
    container="WAV",
    subtype="PCM_24",
    time_reference=2**33,
    peak_dbfs=-1.5,
)
STEM = StemFacts(
    name="vocals",
    path="Mix é - vocals.wav",
    frames=96_000,
    rate_hz=48_000,
    channels=2,
    subtype="PCM_24",
    peak_dbfs=None,
    clipped_values=0,
    sha256="cd" * 32,
)
MANIFEST = Manifest(
    source=SOURCE,
    stems=(STEM,),
    gain_db=-0.25,
    null_residual_dbfs=-138.47,
    model={"name": "m", "version": "v", "device": "cpu"},
    preset={"name": "stems", "hash": "h"},
    sessions=(SessionFacts("reaper", "Mix é.rpp", "ef" * 32), SessionFacts("csv", "M.csv", "0")),
    warnings=("clips",),
    not_carried=("cue",),
    seconds={"separate": 0.40000001, "encode": 0.1},
)


def test_it_has_every_documented_key_and_round_trips() -> None:
    data = json.loads(json.dumps(MANIFEST.to_json(), allow_nan=False))
    assert list(data)[:2] == ["generator", "schema"]  # our outputs are known by the first bytes
    assert data["generator"] == "stembridge"
    assert data["source"] == json.loads(json.dumps(dataclasses.asdict(SOURCE)))
    assert data["stems"] == [dataclasses.asdict(STEM)]
    assert data["sessions"] == [dataclasses.asdict(each) for each in MANIFEST.sessions]
    assert data["gain_db"] == -0.25
    assert data["null_residual_dbfs"] == -138.47
    assert (data["warnings"], data["not_carried"]) == (["clips"], ["cue"])
    assert data["seconds"] == {"separate": 0.4, "encode": 0.1}
    assert (data["model"], data["preset"]) == (MANIFEST.model, MANIFEST.preset)
    assert data["versions"] == versions()


@pytest.mark.parametrize(("value", "written"), [(-math.inf, "-inf"), (None, None), (-90.0, -90.0)])
def test_exact_null_and_no_null_differ(value: float | None, written: object) -> None:
    manifest = dataclasses.replace(MANIFEST, null_residual_dbfs=value)
    assert json.loads(json.dumps(manifest.to_json()))["null_residual_dbfs"] == written


def test_speed_is_audio_over_work() -> None:
    assert MANIFEST.duration_s == 2.0
    assert MANIFEST.speed == pytest.approx(4.0, rel=1e-6)
    assert dataclasses.replace(MANIFEST, seconds={}).speed > 0


def test_versions_are_those_of_the_installed_packages() -> None:
    import numpy as np
    import soundfile

    found = versions()
    assert found["numpy"] == np.__version__
    assert found["soundfile"] == soundfile.__version__
    assert found.keys() >= {"stembridge", "python", "torch", "pedalboard", "soxr"}
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())


@given(st.floats(min_value=2**-40, max_value=64))
def test_a_level_gives_its_peak_back(peak: float) -> None:
    level = level_dbfs(peak)
    assert level is not None
    assert 10 ** (level / 20) == pytest.approx(peak, rel=1e-4)


def test_levels_at_the_ends() -> None:
    assert level_dbfs(0.0) is None
    assert level_dbfs(0.5) == -6.021
    assert math.copysign(1.0, level_dbfs(1.0) or 0.0) == 1.0  # "-0.0 dBFS" would look like a fault
    assert math.copysign(1.0, level_dbfs(1 - 1e-9) or 0.0) == 1.0


def test_a_session_with_work_in_it_is_left_out_and_warned_of() -> None:
    left = MANIFEST.without_sessions({"Mix é.rpp", "other.rpp"})
    assert left.sessions == MANIFEST.sessions[1:]
    assert left.warnings[0] == "clips"
    (warning,) = left.warnings[1:]
    assert warning.startswith("kept Mix é.rpp: ")
    assert "remove it" in warning
    assert MANIFEST.without_sessions(set()) == MANIFEST


def test_a_manifest_from_before_there_were_sessions_is_read() -> None:
    data = MANIFEST.to_json()
    del data["sessions"]
    assert Manifest.from_json(data).sessions == ()


@pytest.mark.parametrize("null_dbfs", [-math.inf, None, -138.47])
def test_it_comes_back_from_json(null_dbfs: float | None) -> None:
    """As it was, but for the seconds, which are rounded for reading."""
    manifest = dataclasses.replace(MANIFEST, null_residual_dbfs=null_dbfs)
    there = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert there == dataclasses.replace(manifest, seconds={"separate": 0.4, "encode": 0.1})


@pytest.mark.parametrize("value", [None, 7, "text", [], [7], {}, {"x": 1}])
@pytest.mark.parametrize("key", [*MANIFEST.to_json()])
def test_edited_data_is_read_or_rejected(key: str, value: object) -> None:
    """A batch reads every manifest of its folder: none may end it with another error."""
    data = {**MANIFEST.to_json(), key: value}
    try:
        Manifest.from_json(data)
    except (KeyError, TypeError):
        return
    assert key not in {"source", "stems"} or value in ([], {})
