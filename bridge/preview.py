"""Conversion of a short stretch of a bounce, to hear the effect of a preset.

    cut, with context ─► Converter.convert ─► cut to the stretch

A network's output depends on some seconds around each frame, and effects have memory. So the
stretch has context on both sides, which begins at a segment boundary of the whole file. Difference
from the whole file, on real music with Spleeter: none at the model's own rate; 52 dB below the
stem at 48 kHz, where segments begin between two frames; 23 dB with unaligned segments.

Measurements over the whole file (common gain, loudness, offset) and fades at its ends apply to the
stretch and its context instead.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from bridge.audio.decode import Decoder
from bridge.audio.encode import PCM_BITS, StemWriter, output_subtype
from bridge.audio.probe import probe
from bridge.audio.sound_path import sound_path
from bridge.errors import TooShortBounce
from bridge.publish.output_names import legal_name, stem_file_name
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from bridge.audio.probe import AudioInfo
    from bridge.convert import Converter, Listener
    from bridge.presets.loader import Preset
    from bridge.publish.manifest import Manifest

# Context on each side. A segment of Spleeter lasts 11.9 s, of htdemucs 7.8 s.
CONTEXT_S = 12.0


@dataclass(frozen=True)
class Stretch:
    """Frame positions in the bounce: the stretch is start..end, with context first..last."""

    first: int
    start: int
    end: int
    last: int


def stretch_frames(at_s: float, for_s: float, rate_hz: int, hop_s: float) -> Stretch:
    """Frames of a stretch and its context, regardless of the bounce's length. Pure.

    Args:
        at_s: start of the stretch.
        for_s: its length.
        rate_hz: sample rate of the bounce.
        hop_s: distance of the network's segments; the context begins at one, within a frame.
    """
    start, length = round(at_s * rate_hz), max(round(for_s * rate_hz), 1)
    hops = max((at_s - CONTEXT_S) // hop_s, 0)
    end = start + length
    return Stretch(round(hops * hop_s * rate_hz), start, end, end + round(CONTEXT_S * rate_hz))


def preview(
    converter: Converter, file: Path, folder: Path, listener: Listener, *, at_s: float, for_s: float
) -> tuple[Manifest, list[Path]]:
    """Convert a stretch of a bounce; earlier previews of the same stretch are replaced.

    Args:
        converter: with the preset to hear.
        file: absolute path of the bounce.
        folder: for the stems of the stretch; created if missing.
        listener: called with stage and progress; see `Converter.convert`.
        at_s: start of the stretch.
        for_s: its length; shorter at the end of the bounce.

    Returns:
        Manifest of the conversion, and paths of the stems.

    Raises:
        TooShortBounce: the bounce ends before `at_s`.
        StembridgeError: see `Converter.convert`.
    """
    preset = _aligned(converter.preset)
    info = probe(file, preset.bounce)
    converter.load(lambda: listener("survey", 0.0))
    wanted = stretch_frames(at_s, for_s, info.rate_hz, converter.worker.hop_s)
    with tempfile.TemporaryDirectory(prefix="stembridge-preview-") as name:
        place = Path(name)
        cut = place / f"{legal_name(file.stem)}.wav"
        _cut(file, info, wanted, cut, preset)
        worker = dataclasses.replace(converter, preset=preset)
        manifest, path = worker.convert(cut, place / "out" / cut.stem, place / "out", listener)
        made = []
        for stem in manifest.stems:
            ending = f"{stem.name} ({at_s:g} s)"
            made.append(folder / stem_file_name(file.stem, ending))
            _extract(path.parent / stem.path, wanted, made[-1])
    return manifest, made


def _aligned(preset: Preset) -> Preset:
    """The preset as WAV, without session files, trimming, time shifts and skipping of silence."""
    chain = tuple(effect for effect in preset.chain if effect is not preset.trim)
    output = preset.output.in_format("wav")
    bounce = preset.bounce.model_copy(update={"skip_silent": False})
    changes = {
        "chain": chain,
        "aligned": True,
        "output": output,
        "session": (),
        "bounce": bounce,
    }
    return preset.model_copy(update=changes)


def _cut(file: Path, info: AudioInfo, wanted: Stretch, target: Path, preset: Preset) -> None:
    """Write the stretch with its context to a file in the bounce's format."""
    blocks = list(_between(Decoder(file, info, leniency=preset.bounce), wanted))
    frames = sum(block.shape[1] for block in blocks)
    if wanted.first + frames <= wanted.start:
        raise TooShortBounce(
            f"ends before {wanted.start / info.rate_hz:g} s; choose an earlier --at"
        )
    with StemWriter(
        target,
        rate_hz=info.rate_hz,
        channels=info.channels,
        frames=frames,
        subtype=output_subtype(info)[0],
        channel_mask=info.channel_mask,
        extensible=info.extensible,
    ) as writer:
        for block in blocks:
            writer.write_float(block)


def _between(decoder: Decoder, wanted: Stretch) -> Iterator[NDArray[np.float32]]:
    position = 0
    for block in decoder:
        inside = block[:, max(wanted.first - position, 0) : max(wanted.last - position, 0)]
        position += block.shape[1]
        if inside.shape[1]:
            yield inside
        if position >= wanted.last:
            return


def _extract(stem: Path, wanted: Stretch, target: Path) -> None:
    """Write the stretch of a stem, without change of its values."""
    place, info = sound_path(stem), soundfile.info(sound_path(stem))
    dtype = "int32" if info.subtype in PCM_BITS else "float32"
    start = wanted.start - wanted.first
    values, rate_hz = soundfile.read(
        place, start=start, frames=wanted.end - wanted.start, dtype=dtype, always_2d=True
    )
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sound_path(target), values, rate_hz, subtype=info.subtype, format="WAV")
