"""Silent bounces: their stems are silence of the same shape, and the manifest says so."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from bridge.audio.leniency import Leniency
from bridge.config import Settings
from bridge.convert import Converter
from bridge.effects.registry import EFFECTS, Limiter
from bridge.effects.space import TrimSilence
from bridge.errors import SilentBounce
from bridge.presets import loader as presets
from bridge.presets.mixdown import Mixdown
from bridge.presets.output import Headroom, Normalise, Output
from bridge.preview import preview
from separator.separator import Separator
from tests.audio_files import chunk
from tests.bounces import bext, music, silence, wav_bytes
from tests.jobs import job
from tests.metadata_files import cue, labels
from tests.support import GOLDEN
from tests.toy import Toy, toy

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bridge.presets.loader import Preset
    from bridge.worker.client import Worker

RATE_HZ = 48_000
FRAMES = 3_000
LEVELS = ("peak_dbfs", "true_peak_dbtp", "lufs", "dc_dbfs")


def changed(**changes: Any) -> Preset:
    return presets.load("stems").model_copy(update=changes)


def is_warned_of(warnings: list[str]) -> bool:
    return [text.startswith(f"silent: all {FRAMES:,} frames") for text in warnings] == [True]


@pytest.mark.parametrize("channels", [1, 2, 64])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
def test_its_stems_are_silence_of_the_same_shape(subtype: str, channels: int) -> None:
    wave = silence(FRAMES, channels)
    made = job(wav_bytes(wave, rate_hz=RATE_HZ, subtype=subtype, time_reference=172_800_000))
    assert is_warned_of(made.warnings)
    assert made.manifest["source"]["time_reference"] == 172_800_000
    assert made.manifest["null_residual_dbfs"] == "-inf"
    assert made.manifest["gain_db"] == 0
    for stem in made.manifest["stems"]:
        assert not made.stems[stem["name"]].any()
        assert made.stems[stem["name"]].shape == wave.shape
        assert (stem["rate_hz"], stem["subtype"], stem["dither"]) == (RATE_HZ, subtype, "none")
        assert [stem[level] for level in LEVELS] == [None] * len(LEVELS)


class Refusing(Toy):
    """A network that must not be run."""

    def segment(self, mixture: Tensor, statistics: object = None) -> Tensor:
        raise AssertionError("the network was run")


def test_the_network_is_not_run_for_silence() -> None:
    """Its biases would put noise into the stems."""
    made = job(wav_bytes(silence()), separator=Separator(Refusing(), "refusing", toy().device))
    assert not any(wave.any() for wave in made.stems.values())
    with pytest.raises(AssertionError, match="was run"):
        job(wav_bytes(music(2400)), separator=Separator(Refusing(), "refusing", toy().device))


def test_its_metadata_is_carried() -> None:
    """Chunk by chunk; a silent stem has no loudness to state."""
    loudness = bytearray(bext(4_800_000))
    struct.pack_into("<H5h", loudness, 8 + 346, 2, 0, 0, 0, 0, 0)  # version 2: EBU Tech 3285 v2
    struct.pack_into("<5h", loudness, 8 + 412, -2300, 500, -100, -2000, -2100)
    ixml = chunk(b"iXML", b"<BWFXML><PROJECT>silence</PROJECT></BWFXML>")
    kept = (cue(1_000), labels("Verse"), ixml)
    plain = wav_bytes(silence(FRAMES), rate_hz=RATE_HZ)
    body = plain[8:] + bytes(loudness) + b"".join(kept)
    made = job(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert made.manifest["source"]["time_reference"] == 4_800_000
    assert made.manifest["source"]["marks"][0]["name"] == "Verse"
    for data in made.data.values():
        assert all(each in data for each in kept)
        at = data.index(b"bext") + 8
        assert struct.unpack_from("<Q", data, at + 338) == (4_800_000,)
        assert struct.unpack_from("<5h", data, at + 412) == (0x7FFF,) * 5


def all_effects() -> tuple[Any, ...]:
    """Every effect of ours but what trims, with its defaults."""
    apart = {"trim_silence", "vst3", "audio_unit", "pedalboard"}
    return tuple(effect() for name, effect in EFFECTS.items() if name not in apart)


PROCESSED: dict[str, Preset] = {
    "effects": changed(chain=all_effects(), tails="keep"),
    "buses": changed(
        mixdowns={
            "sum": Mixdown.model_validate(
                {"mix": {"vocals": 6.0}, "chain": ({"gain": {"gain_db": 3.0}},)}
            ),
            "less": Mixdown.model_validate({"mix": {"vocals": "off"}, "from": "mixture"}),
        },
        master=(Limiter(),),
    ),
    "lufs": changed(normalise=Normalise(lufs=-18.0)),
    "dbtp": changed(normalise=Normalise(dbtp=-1.0, linked=True), limiter=Limiter()),
    "per stem": changed(headroom=Headroom(mode="per_stem", ceiling_dbfs=-6.0)),
    "trimmed": changed(chain=(TrimSilence(),), aligned=False),
}


@pytest.mark.parametrize("preset", PROCESSED.values(), ids=PROCESSED.keys())
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_it_stays_silence_through_effects_and_levels(preset: Preset, subtype: str) -> None:
    made = job(wav_bytes(silence(FRAMES), rate_hz=RATE_HZ, subtype=subtype), preset)
    assert any(text.startswith("silent: ") for text in made.warnings)
    for stem in made.manifest["stems"]:
        assert made.stems[stem["name"]].shape == (2, FRAMES + made.manifest["tail_frames"])
        assert not made.stems[stem["name"]].any()
        assert (stem["gain_db"], stem["dither"]) == (0, "none")


@pytest.mark.parametrize(
    ("dither", "most_steps"), [("auto", 0), ("none", 0), ("tpdf", 2), ("shaped", 6)]
)
def test_dither_leaves_silence_alone_unless_asked_for(dither: str, most_steps: int) -> None:
    preset = changed(output=Output.model_validate({"subtype": "PCM_16", "dither": dither}))
    made = job(wav_bytes(silence(FRAMES), subtype="FLOAT"), preset)
    highest = max(float(np.abs(wave).max()) for wave in made.stems.values())
    assert bool(highest) == bool(most_steps)
    assert highest <= most_steps * 2.0**-15
    assert any("without dither" in text for text in made.warnings) == (dither == "none")


@pytest.mark.parametrize("format_name", ["aiff", "caf", "w64", "flac", "mp3", "ogg", "opus"])
def test_it_is_silence_in_every_format(format_name: str) -> None:
    output = Output.model_validate({"format": format_name})
    made = job(wav_bytes(silence(FRAMES), rate_hz=RATE_HZ), changed(output=output))
    for wave in made.stems.values():
        assert wave.shape == (2, FRAMES)
        assert np.abs(wave).max() < 1e-30  # libopus has 2e-34 for it


def nearly_silent() -> dict[str, tuple[np.ndarray, str]]:
    one_value = silence(FRAMES)
    one_value[1, FRAMES - 1] = -(2.0**-23)
    one_channel = np.concatenate([music(FRAMES, channels=1), silence(FRAMES, 1)])
    one_of_64 = np.concatenate([silence(FRAMES, 63), music(FRAMES, channels=1)])
    dual_mono = np.tile(music(FRAMES, channels=1), (2, 1))
    return {
        "one value": (one_value, "PCM_24"),
        "one value, float": (one_value, "FLOAT"),
        "subnormal": (np.full((2, FRAMES), 1e-42, np.float32), "FLOAT"),
        "one channel": (one_channel, "PCM_24"),
        "dual mono": (dual_mono, "PCM_16"),
        "one of 64": (one_of_64, "FLOAT"),
    }


@pytest.mark.parametrize(("wave", "subtype"), nearly_silent().values(), ids=nearly_silent().keys())
def test_what_is_not_silent_throughout_is_separated(wave: np.ndarray, subtype: str) -> None:
    made = job(wav_bytes(wave, subtype=subtype))
    assert made.warnings == []
    step = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 1e-6}[subtype]
    assert np.abs(made.total - wave).max() <= 1.5 * step  # the wave itself is rounded, too
    loud = job(wav_bytes(wave, subtype=subtype), changed(normalise=Normalise(dbtp=-1.0)))
    assert all(np.isfinite(stem).all() for stem in loud.stems.values())


def test_what_repair_left_silent_is_silent() -> None:
    bounce = wav_bytes(np.full((2, FRAMES), np.nan, np.float32), subtype="FLOAT")
    made = job(bounce, changed(bounce=Leniency(repair=True)))
    assert made.warnings[0].startswith(f"silent: all {FRAMES:,} frames")
    assert made.warnings[1].startswith("repaired: ")


def test_a_preset_may_skip_silence_and_nothing_else() -> None:
    skipping = changed(bounce=Leniency(skip_silent=True))
    with pytest.raises(SilentBounce, match=r"^skipped: silent, all 3,000 frames"):
        job(wav_bytes(silence(FRAMES)), skipping)
    one_value = silence(FRAMES)
    one_value[0, 0] = 2.0**-23
    assert job(wav_bytes(one_value), skipping).warnings == []


def test_a_preview_shows_the_silence_that_is_skipped_elsewhere(
    tmp_path: Path, worker: Worker
) -> None:
    bounce = tmp_path / "silence.wav"
    bounce.write_bytes(wav_bytes(silence(FRAMES)))
    skipping = changed(bounce=Leniency(skip_silent=True))
    converter = Converter(Settings(), skipping, str(GOLDEN / "spleeter" / "2stems.json"), worker)
    _, made = preview(converter, bounce, tmp_path, lambda *_: None, at_s=0.0, for_s=1.0)
    assert len(made) == 2
    assert not any(soundfile.read(path)[0].any() for path in made)


def test_a_preset_keeps_its_hash_unless_it_skips_silence() -> None:
    """The hash of a preset with `bounce: {repair: true}` before there was more to say."""
    keeping = changed(bounce=Leniency(repair=True))
    assert keeping.content_hash.startswith("465315c521b1f588")
    hashes = {changed(bounce=Leniency(skip_silent=skip)).content_hash for skip in (False, True)}
    assert presets.load("stems").content_hash in hashes
    assert len(hashes) == 2


def test_one_frame_is_told_as_one() -> None:
    made = job(wav_bytes(silence(1)))
    assert made.warnings[0].startswith("silent: its only frame is digital silence, ")
