"""Every shipped preset on real music gives what its summary says.

With the real weights of two stems. What needs four is tried with the tiny network by default, which
checks the sums and levels, and with the real htdemucs among the slow tests.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from bridge.config import Settings
from bridge.convert import Converter
from bridge.presets import loader as presets
from bridge.render.alignment import apply_chain
from tests.support import GOLDEN, ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.worker.client import Worker

TINY = str(GOLDEN / "spleeter" / "4stems.json")
SECONDS = 4.0
LSB = 2.0**-23
TWO = "spleeter:2stems"
Audio = np.ndarray


@dataclass(frozen=True)
class Made:
    """The files of one preset, (channels, frames) float64, and what they were made of."""

    mixture: Audio
    files: dict[str, Audio]
    paths: dict[str, Path]
    manifest: dict[str, Any]

    @property
    def gain(self) -> float:
        return float(10 ** (self.manifest["gain_db"] / 20))

    def level(self, name: str) -> Audio:
        return self.files[name] / self.gain


@pytest.fixture(scope="module")
def make(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """`make(preset, model)`: each once for the module."""
    folder = tmp_path_factory.mktemp("shipped")
    wave, rate_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", always_2d=True)
    source = folder / "song.wav"
    soundfile.write(source, 0.9 * wave[: int(SECONDS * rate_hz)], rate_hz, subtype="PCM_24")
    mixture = soundfile.read(source, always_2d=True)[0].T
    known: dict[tuple[str, str], Made] = {}

    def once(name: str, model: str, residual: str | None = None) -> Made:
        key = (f"{name} {residual}", model)
        if key not in known:
            preset = presets.load(ROOT / "presets" / f"{name}.yaml")
            preset = preset.model_copy(update={"residual": residual} if residual else {})
            converter = Converter(Settings(), preset, model, worker)
            out = folder / str(len(known))
            manifest, path = converter.convert(source, out / "song", out, lambda *_: None)
            paths = {stem.name: path.parent / stem.path for stem in manifest.stems}
            files = {n: soundfile.read(p, always_2d=True)[0].T for n, p in paths.items()}
            known[key] = Made(mixture, files, paths, manifest.to_json())
        return known[key]

    return once


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    require.weights()


def off_by(one: Audio, other: Audio) -> float:
    return float(np.abs(one - other).max())


def ebur128(path: Path) -> tuple[float, float]:
    """Integrated loudness in LUFS and true peak in dBTP, as ffmpeg measures them."""
    command = [require.program("ffmpeg", "ffmpeg"), "-hide_banner", "-i", str(path)]
    command += ["-af", "ebur128=peak=true", "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    summary = told[told.rindex("Summary:") :]
    loudness = re.search(r"I:\s+(-?[\d.]+) LUFS", summary)
    peak = re.search(r"Peak:\s+(-?[\d.]+) dBFS", summary)
    assert loudness
    assert peak
    return float(loudness[1]), float(peak[1])


def check_stems(make: Callable[..., Made], model: str) -> None:
    made = make("stems", model)
    assert off_by(sum(made.files.values()), made.gain * made.mixture) <= 1.01 * LSB  # type: ignore[arg-type]


def check_karaoke(make: Callable[..., Made], model: str) -> None:
    vocals, made = make("acapella", model).level("vocals"), make("karaoke", model)
    assert list(made.files) == ["karaoke"]
    assert off_by(made.level("karaoke"), made.mixture - vocals) < 4 * LSB
    assert np.abs(vocals).max() > 0.05, "there are vocals"


def check_acapella(make: Callable[..., Made], model: str) -> None:
    made, stems = make("acapella", model), make("stems", model)
    assert list(made.files) == ["vocals"]
    assert off_by(made.level("vocals"), stems.level("vocals")) < 4 * LSB


def check_rehearsal(make: Callable[..., Made], model: str) -> None:
    vocals, made = make("acapella", model).level("vocals"), make("rehearsal", model)
    assert list(made.files) == ["rehearsal"]
    kept = 10 ** (-12 / 20)
    assert off_by(made.level("rehearsal"), made.mixture - (1 - kept) * vocals) < 4 * LSB


def check_vocal_up(make: Callable[..., Made], model: str) -> None:
    vocals, made = make("acapella", model).level("vocals"), make("vocal-up", model)
    assert list(made.files) == ["vocal up"]
    more = 10 ** (2 / 20) - 1
    assert off_by(made.level("vocal up"), made.mixture + more * vocals) < 4 * LSB


def check_mix_ready(make: Callable[..., Made], model: str) -> None:
    made = make("mix-ready", model)
    assert list(made.files) == list(make("stems", model).files)
    for name, path in made.paths.items():
        assert ebur128(path)[1] <= -6 + 0.15, name  # ffmpeg prints one decimal
        assert np.abs(made.files[name].mean(axis=1)).max() < 1e-4
    highest = max(np.abs(wave).max() for wave in made.files.values())
    assert highest > 10 ** (-8 / 20), "no softer than asked for"


def check_mastering_stems(make: Callable[..., Made], model: str) -> None:
    made = make("mastering-stems", model)
    assert {stem["subtype"] for stem in made.manifest["stems"]} == {"FLOAT"}
    assert off_by(sum(made.files.values()), made.gain * made.mixture) < 1e-6  # type: ignore[arg-type]
    highest = max(np.abs(wave).max() for wave in made.files.values())
    assert 20 * np.log10(highest) == pytest.approx(-6, abs=1e-3)


def check_podcast_voice(make: Callable[..., Made], model: str) -> None:
    made = make("podcast-voice", model)
    assert list(made.files) == ["vocals"]
    loudness, peak = ebur128(made.paths["vocals"])
    assert loudness == pytest.approx(-16, abs=1.0), "the limiter takes a little"
    assert peak <= -1 + 0.15
    assert np.abs(made.files["vocals"]).max() > 0.1


def test_the_podcast_takes_rumble_away(make: Callable[..., Made]) -> None:
    """A stem has none to speak of, so some is put into the chain itself: 20 Hz at -20 dBFS."""
    voice = make("acapella", TWO).files["vocals"].astype(np.float32)
    seconds = np.arange(voice.shape[1]) / 44_100
    rumble = (0.1 * np.sin(2 * np.pi * 20 * seconds)).astype(np.float32)
    chain = presets.load(ROOT / "presets" / "podcast-voice.yaml").chain

    def left(audio: Audio) -> float:
        """The amplitude at 20 Hz."""
        turning = np.exp(-2j * np.pi * 20 * seconds)
        return float(2 * np.abs((audio[0] * turning).mean()))

    assert left(voice + rumble) == pytest.approx(0.1, rel=0.05)
    # Three first-order filters, together 3 dB down at 80 Hz, so each has its corner at 40.7 Hz.
    corner_hz = 80 * np.sqrt(10**0.1 - 1)
    expected = 0.1 * (20 / np.hypot(20, corner_hz)) ** 3
    assert left(apply_chain(chain[:1], voice + rumble, 44_100)) == pytest.approx(expected, rel=0.05)
    assert left(apply_chain(chain, voice + rumble, 44_100)) <= 1.05 * expected


def check_dj_stems(make: Callable[..., Made], model: str) -> None:
    made = make("dj-stems", model)
    assert list(made.files) == ["drums", "bass", "other", "vocals", "instrumental"]
    assert {len(stem) for stem in made.files.values()} == {2}
    highest = max(np.abs(wave).max() for wave in made.files.values())
    # The ceiling lies between two steps of 24 bit, and a frame at it is rounded to one of them.
    assert highest <= 10 ** (-1 / 20) + LSB
    band = made.files["drums"] + made.files["bass"] + made.files["other"]
    assert off_by(made.files["instrumental"], band) < 4 * LSB
    assert off_by(band + made.files["vocals"], made.gain * made.mixture) < 4 * LSB


def check_minus_one(make: Callable[..., Made], model: str, player: str) -> None:
    made, stems = make(f"rehearsal-{player}", model), make("stems", model, "stem")
    assert list(made.files) == [f"without {player}"]
    rest = made.mixture - stems.level(player)
    assert off_by(made.level(f"without {player}"), rest) < 4 * LSB
    assert np.abs(stems.level(player)).max() > 0.01, "there is something to leave out"


def check_rehearsal_drums(make: Callable[..., Made], model: str) -> None:
    check_minus_one(make, model, "drums")


def check_rehearsal_bass(make: Callable[..., Made], model: str) -> None:
    check_minus_one(make, model, "bass")


CHECKS: dict[str, Callable[[Callable[..., Made], str], None]] = {
    name.removeprefix("check_").replace("_", "-"): check
    for name, check in list(globals().items())
    if name.startswith("check_") and name != "check_minus_one"
}
FOUR = ("dj-stems", "rehearsal-bass", "rehearsal-drums")


def test_every_shipped_preset_is_tried() -> None:
    assert sorted(CHECKS) == sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))
    for name in FOUR:
        assert presets.load(ROOT / "presets" / f"{name}.yaml").model, "it needs four stems"


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_shipped_preset_does_what_it_says(name: str, make: Callable[..., Made]) -> None:
    CHECKS[name](make, TINY if name in FOUR else TWO)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUR)
def test_with_the_real_htdemucs_too(name: str, make: Callable[..., Made]) -> None:
    require.weights("demucs-955717e8")
    CHECKS[name](make, "htdemucs")
