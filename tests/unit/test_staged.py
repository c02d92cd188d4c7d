"""Staged audio: subtracting offsets on reading equals a pass of DC removal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.effects.registry import DcRemoval
from bridge.render.passes import ChainRunner
from bridge.render.staged import Staged, stage
from bridge.render.stopwatch import Stopwatch
from tests.hypothesis_profiles import examples
from tests.unit.chains import cut, noise, run

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.dsp.processor import Audio


def read(staged: Staged) -> Audio:
    return np.concatenate(list(staged), axis=1)


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.floats(-0.5, 0.5), channels=st.integers(1, 3), at=st.integers(1, 70_000))
def test_centred_equals_the_dc_removal_effect(
    tmp_path: Path, offset: float, channels: int, at: int
) -> None:
    audio = noise(channels, 70_001) + np.float32(offset)
    path = tmp_path / f"{offset} {channels} {at}"
    path.unlink(missing_ok=True)
    dry = stage(path, channels, cut(audio, [at]))
    passes = ChainRunner(tmp_path, 44_100, channels, 70_001, Stopwatch(lambda *_: None))
    wet = passes.render_chain("x", dry, (DcRemoval(),), keep=False)
    wanted = run(audio, [DcRemoval()], [at])
    np.testing.assert_array_equal(read(wet), wanted)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # and no second file
    # Its levels are those of a pass, though nobody has looked.
    assert wet.statistics.frames == 70_001
    assert wet.statistics.relative_peak(1.0) == np.abs(wanted).max()
    assert wet.statistics.relative_peak(0.5) == max(wanted.max() / 0.5, -wanted.min(), 0)
    np.testing.assert_allclose(wet.statistics.mean, 0, atol=1e-9)
    wet.remove()
    assert not path.exists()


def test_effects_after_dc_removal_run_in_a_pass(tmp_path: Path) -> None:
    audio = noise(2, 9000) + np.float32(0.1)
    dry = stage(tmp_path / "dry", 2, [audio])
    passes = ChainRunner(tmp_path, 44_100, 2, 9000, Stopwatch(lambda *_: None))
    chain = (DcRemoval(highpass_hz=20.0), DcRemoval())
    wet = passes.render_chain("x", dry, chain, keep=True)
    np.testing.assert_array_equal(read(wet), run(audio, chain))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dry", "x.part0"]


def test_the_bounce_gets_its_tail_of_silence_after_the_removal(tmp_path: Path) -> None:
    audio = noise(1, 5000) + np.float32(0.25)
    dry = stage(tmp_path / "dry", 1, [audio])
    passes = ChainRunner(tmp_path, 44_100, 1, 6000, Stopwatch(lambda *_: None))
    found = read(passes.render_chain("x", dry, (DcRemoval(),), keep=False))
    np.testing.assert_array_equal(found[:, :5000], run(audio, [DcRemoval()]))
    np.testing.assert_array_equal(found[:, 5000:], np.zeros((1, 1000)))
