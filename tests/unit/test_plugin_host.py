"""Hosting of real plugins (Debian's zam-plugins) and of faulty ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dsp.processor import ProcessSpec
from bridge.effects.registry import Gain, Limiter, Vst3
from bridge.errors import PluginError, PresetError
from bridge.plugins import host
from bridge.presets import loader
from bridge.render import alignment, preset_check
from tests.support import require
from tests.unit.chains import noise, run

RATE_HZ = 48_000.0


def vst3(name: str, **settings: object) -> Vst3:
    return Vst3.model_validate({"plugin": str(require.vst3(name)), **settings})


def impulse(channels: int) -> np.ndarray:
    audio = np.zeros((channels, 20_000), np.float32)
    audio[:, 1000] = 0.5
    return audio


@pytest.mark.parametrize("name", ["ZamComp", "ZaMaximX2"])
@pytest.mark.parametrize("sizes", [[], [1, 700, 9000]], ids=["whole", "blocks"])
def test_plugins_keep_an_impulse_aligned(name: str, sizes: list[int]) -> None:
    """ZamComp is mono, ZaMaximX2 stereo with 480 frames of latency."""
    out = run(impulse(2), [Gain(), vst3(name)], sizes, RATE_HZ)
    assert out.shape == (2, 20_000)
    assert np.abs(out).argmax(axis=1).tolist() == [1000, 1000]
    assert np.abs(out[:, 1000]).tolist() == pytest.approx([0.5, 0.5], rel=0.01)


def test_the_maximiser_does_report_a_latency() -> None:
    """Else the test above would prove nothing."""
    plugin = host.load_plugin(vst3("ZaMaximX2"))
    plugin.process(impulse(2), RATE_HZ)
    assert plugin.reported_latency_samples == 480


def test_block_sizes_do_not_change_the_result() -> None:
    chain = [vst3("ZaMaximX2", parameters={"threshold_db": -12.0}), Limiter()]
    audio = noise(2, 20_000)
    whole = run(audio, chain, (), RATE_HZ)
    np.testing.assert_allclose(run(audio, chain, [3, 5000], RATE_HZ), whole, atol=1e-5)
    by_pedalboard = host.load_plugin(chain[0]).process(audio, RATE_HZ)  # type: ignore[arg-type]
    np.testing.assert_allclose(run(audio, chain[:1], (), RATE_HZ), by_pedalboard, atol=1e-5)
    assert np.abs(whole - audio).max() > 0.05


def test_a_mono_plugin_has_a_state_for_each_channel() -> None:
    """A loud left channel must not press a soft right one."""
    comp = vst3("ZamComp", parameters={"threshold_db": -40.0, "ratio": 10.0})
    audio = noise(2, 20_000)
    audio[1] *= 0.001
    out = run(audio, [comp], (), RATE_HZ)
    alone = [run(audio[i : i + 1], [comp], (), RATE_HZ)[0] for i in range(2)]
    np.testing.assert_array_equal(out, np.stack(alone))
    assert out[0, 5000:].std() < 0.2 * audio[0, 5000:].std()
    assert out[1, 5000:].std() > 0.9 * audio[1, 5000:].std()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_stereo_plugin_takes_mono_and_odd_widths(channels: int) -> None:
    out = run(impulse(channels), [vst3("ZaMaximX2")], (), RATE_HZ)
    assert out.shape == (channels, 20_000)
    assert np.abs(out).argmax(axis=1).tolist() == [1000] * channels
    alignment.check_alignment([vst3("ZaMaximX2")], RATE_HZ, channels)


@given(channels=st.integers(1, 64), width=st.integers(1, 64))
def test_every_channel_is_in_one_group(channels: int, width: int) -> None:
    made = host.channel_groups(channels, width)
    assert all(len(group) == width for group in made)
    flat = [channel for group in made for channel in group]
    assert flat[:channels] == list(range(channels))
    assert set(flat[channels:]) <= {channels - 1}


def test_a_state_is_saved_and_restored(tmp_path: Path) -> None:
    tuned = vst3("ZamComp", parameters={"threshold_db": -33.0, "ratio": 8.0})
    plugin = host.load_plugin(tuned)
    audio = noise(2, 12_000)
    expected = run(audio, [tuned], (), RATE_HZ)
    as_preset, raw = tmp_path / "s.vstpreset", tmp_path / "s.state"
    as_preset.write_bytes(host.saved_state(plugin, RATE_HZ))
    raw.write_bytes(plugin.raw_state)
    for file in (as_preset, raw):
        restored = vst3("ZamComp", state=str(file))
        np.testing.assert_array_equal(run(audio, [restored], (), RATE_HZ), expected)
    assert np.abs(run(audio, [vst3("ZamComp")], (), RATE_HZ) - expected).max() > 0.01
    with pytest.raises(PresetError, match=r"state 's\.vstpreset' does not fit ZamGate\.vst3"):
        host.load_plugin(vst3("ZamGate", state=str(as_preset)))
    raw.write_bytes(b"these are the lyrics")
    with pytest.raises(PresetError, match=r"state 's\.state' does not fit"):
        host.load_plugin(vst3("ZamComp", state=str(raw)))


def test_a_plugin_leaves_denormals_enabled() -> None:
    """zam-plugins are built with -ffast-math, which has the smallest floats flushed to zero."""
    run(impulse(2), [vst3("ZamComp"), vst3("ZaMaximX2")], (), RATE_HZ)
    assert np.float32(1e-40) * np.float32(0.5) > 0
    assert np.float64(1e-310) * 0.5 > 0


def test_parameters_win_over_the_state(tmp_path: Path) -> None:
    state = tmp_path / "s.vstpreset"
    plugin = host.load_plugin(vst3("ZamComp", parameters={"threshold_db": -33.0}))
    state.write_bytes(host.saved_state(plugin, RATE_HZ))
    both = vst3("ZamComp", state=str(state), parameters={"ratio": 2.0})
    plain = vst3("ZamComp", parameters={"threshold_db": -33.0, "ratio": 2.0})
    audio = noise(1, 9000)
    outs = [run(audio, [effect], (), RATE_HZ) for effect in (both, plain)]
    np.testing.assert_array_equal(*outs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"treshold_db": -20}, "ZamComp has no parameter 'treshold_db'; did you mean 'threshold_"),
        ({"threshold_db": 12}, "'threshold_db' is 12.0; allowed is a number, -80 to 0 dB"),
        ({"threshold_db": "low"}, "allowed is a number, -80 to 0 dB"),
        ({"current_program": "Poppy"}, "did you mean 'PoppySnare'?"),
    ],
)
def test_parameters_are_checked_against_the_plugin(
    parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(PresetError) as caught:
        run(impulse(1), [vst3("ZamComp", parameters=parameters)], (), RATE_HZ)
    assert message in str(caught.value)


def test_a_plugin_that_a_file_does_not_hold() -> None:
    with pytest.raises(PresetError, match=r"holds no plugin 'ZamCmp'; did you mean 'ZamComp'"):
        host.load_plugin(vst3("ZamComp", plugin_name="ZamCmp"))
    assert host.load_plugin(vst3("ZamComp", plugin_name="ZamComp")).name == "ZamComp"


def test_a_file_that_is_no_plugin_is_refused(tmp_path: Path) -> None:
    fake = tmp_path / "Fake.vst3"
    fake.write_text("these are the lyrics")
    with pytest.raises(PluginError, match=r"Fake\.vst3 does not load .*; reinstall it"):
        host.load_plugin(Vst3(plugin=str(fake)))


class LatePlugin:
    """Stands for a plugin that delays by 37 frames and reports nothing."""

    def __init__(self) -> None:
        self._kept = np.zeros((2, 37), np.float32)

    def process(self, audio: np.ndarray, *_: object, **__: object) -> np.ndarray:
        if audio.shape[0] != 2:
            raise ValueError("does not support that")
        joined = np.concatenate([self._kept, audio], axis=1)
        self._kept = joined[:, audio.shape[1] :]
        return joined[:, : audio.shape[1]]

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]


def test_a_latency_that_is_not_reported_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "load_plugin", lambda _: LatePlugin())
    for channels in (1, 2, 3):
        late = Vst3(plugin="late.vst3")
        for sizes in ([], [40, 9000]):
            out = run(impulse(channels), [late], sizes, RATE_HZ)
            np.testing.assert_array_equal(out, impulse(channels))
        alignment.check_alignment([late], RATE_HZ, channels)
    meant = Vst3(plugin="late.vst3", latency="reported")
    out = run(impulse(2), [meant], (), RATE_HZ)
    assert np.abs(out).argmax(axis=1).tolist() == [1037, 1037]


def test_a_plugin_that_fails_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(LatePlugin):
        def process(self, audio: np.ndarray, *_: object, **settings: object) -> np.ndarray:
            if "buffer_size" in settings:
                raise RuntimeError("out of\nmemory")
            return audio

    monkeypatch.setattr(host, "load_plugin", lambda _: Failing())
    effect = Vst3(plugin="bad.vst3", latency="reported")
    with pytest.raises(PluginError, match=r"bad\.vst3 fails \(out of memory\)"):
        run(impulse(2), [effect], (), RATE_HZ)


# In a process of its own


def made(tmp_path: Path, name: str, on_load: str) -> Path:
    """A VST3 bundle whose library does one thing when it is loaded."""
    compiler = require.program("cc", "gcc libc6-dev")
    folder = tmp_path / f"{name}.vst3" / "Contents" / "x86_64-linux"
    folder.mkdir(parents=True)
    source = tmp_path / f"{name}.c"
    source.write_text(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        f"int ModuleEntry(void *handle) {{ {on_load}; return 0; }}\n"
        "int ModuleExit(void) { return 1; }\nvoid *GetPluginFactory(void) { return 0; }\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / f"{name}.so", source], check=True)
    return tmp_path / f"{name}.vst3"


needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("uname") is None,
    reason="the bundle is made for Linux",
)


@needs_linux
def test_a_crashing_plugin_is_reported(tmp_path: Path) -> None:
    crashing = Vst3(plugin=str(made(tmp_path, "Crash", "abort()")))
    with pytest.raises(PluginError, match=r"Crash\.vst3 crashes \(signal 6\); take it out"):
        preset_check.check_plugin(crashing)


@needs_linux
def test_a_hanging_plugin_is_killed_after_its_timeout(tmp_path: Path) -> None:
    hanging = Vst3(plugin=str(made(tmp_path, "Hang", "sleep(600)")), timeout_s=1)
    with pytest.raises(PluginError, match=r"Hang\.vst3 has not loaded in 1 s; raise its timeout_s"):
        preset_check.check_plugin(hanging)


def test_check_preset_runs_the_plugins(tmp_path: Path) -> None:
    require.vst3("ZamComp")
    path = tmp_path / "p.yaml"
    path.write_text(
        "schema: 1\nsummary: x\nchain:\n  - gain\n  - vst3:\n      plugin: ZamComp\n"
        "      parameters:\n        ratio: 4\n        treshold_db: -20\n        slew: 1000\n"
    )
    with pytest.raises(PresetError) as caught:
        preset_check.check_preset(loader.load_file(path))
    assert caught.value.problems == (
        f"{path}:9: ZamComp has no parameter 'treshold_db'; did you mean 'threshold_db'?",
        f"{path}:10: parameter 'slew' is 1000.0; allowed is a number, 1 to 150",
    )
    path.write_text("schema: 1\nsummary: x\nchain: [vst3: {plugin: ZamComp}]\n")
    preset_check.check_preset(loader.load_file(path))


def test_the_watchdog_reports_only_late_plugins() -> None:
    import threading

    told = threading.Event()
    with host._watchdog("late", 0.01, lambda _: told.set()):
        assert told.wait(30)
    quiet = threading.Event()
    with host._watchdog("late", 3600, lambda _: quiet.set()):
        pass
    assert not quiet.is_set()


def test_parameter_facts_match_the_plugin() -> None:
    plugin = host.open_plugin(vst3("ZamComp"))
    known = host.parameter_facts(plugin)
    assert set(known) == set(plugin.parameters)
    assert known["threshold_db"] == host.ParameterFacts(
        "threshold_db", "number", -80.0, 0.0, "dB", ()
    )
    assert known["current_program"].choices == ("Zero", "PoppySnare", "VocalLeveller")
    assert host.accepted_channels(plugin, RATE_HZ, 2, "ZamComp") == 1


def test_measured_latency_is_cached_per_format() -> None:
    effect = Vst3(plugin="x.vst3", parameters=(("a", 1.0),))
    assert hash(effect) == hash(Vst3.model_validate(effect.model_dump()))
    assert ProcessSpec(RATE_HZ, 2) != ProcessSpec(44_100.0, 2)
