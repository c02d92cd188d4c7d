"""One bounce through the whole pipeline, with the tiny golden network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

import separator
from bridge.audio.chunks import Chunk
from bridge.audio.encode import StemWriter
from bridge.audio.metadata.bext import Bext
from bridge.config import Settings
from bridge.convert import Converter
from bridge.presets import loader as presets
from bridge.presets.loader import Preset
from bridge.render import pipeline
from bridge.render.stopwatch import Stopwatch
from bridge.worker.client import Worker
from tests.support import GOLDEN

if TYPE_CHECKING:
    from bridge.publish.manifest import Manifest
    from bridge.render.model_request import ModelRequest
    from bridge.render.request import RenderRequest
    from separator.separator import Separator


MODEL = str(GOLDEN / "spleeter" / "2stems.json")
LSB = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23}
TIME_REFERENCE = 2**32 + 12_345  # beyond what 32 bits hold


def music(rate_hz: int, channels: int, seconds: float = 2.0) -> np.ndarray:
    wave, found_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", always_2d=True)
    cut = wave[: int(seconds * found_hz), :channels]
    return soxr.resample(cut, found_hz, rate_hz).T.astype(np.float32)


def bounce(
    path: Path, audio: np.ndarray, rate_hz: int, subtype: str, *, time_reference: int | None = None
) -> Path:
    """What a DAW renders: a WAV, or a BWF when it has a time reference."""
    chunks: tuple[Chunk, ...] = ()
    if time_reference is not None:
        empty = (b"",) * 5
        bext = Bext(*empty, time_reference, 1, b"", (0,) * 5, b"", b"")
        chunks = (Chunk(b"bext", bext.to_bytes()),)
    with StemWriter(
        path,
        rate_hz=rate_hz,
        channels=len(audio),
        frames=audio.shape[1],
        subtype=subtype,
        chunks=chunks,
    ) as writer:
        writer.write_float(audio)
    return path


@dataclass(frozen=True)
class Convert:
    """The whole way with one converter for each call."""

    worker: Worker

    def __call__(
        self, source: Path, folder: Path, preset: str | Preset = "stems", **changes: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The manifest and the stems as soundfile reads them, (channels, frames) float64."""
        chosen = presets.load(preset) if isinstance(preset, str) else preset
        converter = Converter(Settings(), chosen.model_copy(update=changes), MODEL, self.worker)
        out = folder / "out"
        _, path = converter.convert(source, out / source.stem, out, lambda *_: None)
        manifest = json.loads(path.read_text())
        stems = {
            stem["name"]: soundfile.read(path.parent / stem["path"], always_2d=True)[0].T
            for stem in manifest["stems"]
        }
        return manifest, stems


def lag(stem: np.ndarray, mixture: np.ndarray) -> int:
    size = 2 * mixture.shape[1]
    ours, theirs = (np.fft.rfft(wave.sum(axis=0), size) for wave in (stem, mixture))
    peak = int(np.argmax(np.fft.irfft(ours * theirs.conj(), size)))
    return peak if peak <= size // 2 else peak - size


class Here(Worker):
    """The pipeline in this process, so that a test can bend it."""

    def load(self, model: ModelRequest, **_: object) -> tuple[str, ...]:
        return self._separator(model).outputs

    def process(
        self, model: ModelRequest, order: RenderRequest, folder: Path, listener: Any, **_: object
    ) -> Manifest:
        return pipeline.render_bounce(order, self._separator(model), folder, Stopwatch(listener))

    def _separator(self, model: ModelRequest) -> Separator:
        return separator.load(model.model, **model.options)
