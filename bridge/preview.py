"""A short stretch of a bounce through all of it, to hear what a preset does.

    cut, with context ─► Converter.convert ─► cut to the stretch

A network hears some seconds around each frame, and effects have a past. So there is context on
both sides, and it begins where a segment of the network begins in the whole file. Measured against
the whole, on real music with Spleeter: equal to the last bit at the model's own rate; at 48 kHz,
where a segment begins between two frames, 52 dB below the stem. With segments at other places it
was 23 dB.

What a preset measures over a whole file (the common gain, loudness, an offset), and a fade at its
ends, is of the stretch and its context here.
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

# On each side. A segment of Spleeter lasts 11.9 s, of htdemucs 7.8 s.
CONTEXT_S = 12.0


@dataclass(frozen=True)
class Stretch:
    """Frames of the bounce: those wanted, start to end, inside those read, first to last."""

    first: int
    start: int
    end: int
    last: int


def stretch_frames(at_s: float, for_s: float, rate_hz: int, hop_s: float) -> Stretch:
    """The frames of a stretch and its context, as if the bounce never ended. Pure.

    hop_s: from segment to segment. What is read begins at one, a frame off at most.
    """
    start, length = round(at_s * rate_hz), max(round(for_s * rate_hz), 1)
    hops = max((at_s - CONTEXT_S) // hop_s, 0)
    end = start + length
    return Stretch(round(hops * hop_s * rate_hz), start, end, end + round(CONTEXT_S * rate_hz))


def preview(
    converter: Converter, file: Path, folder: Path, listener: Listener, *, at_s: float, for_s: float
) -> tuple[Manifest, list[Path]]:
    """Makes the files of a stretch in `folder`; returns the manifest of the work, and the files.

    file: absolute. at_s: where it begins, for_s: how long it is; less where the bounce ends first.
    Older previews of the same stretch are replaced.

    Raises TooShortBounce for a bounce that ends before `at_s`, and else like `Converter.convert`.
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
    """As WAV, without session files and without what moves the stretch; silence is not skipped."""
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
    """The stretch with its context, in a file like the bounce."""
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
    """The stretch of a stem, value for value."""
    place, info = sound_path(stem), soundfile.info(sound_path(stem))
    dtype = "int32" if info.subtype in PCM_BITS else "float32"
    start = wanted.start - wanted.first
    values, rate_hz = soundfile.read(
        place, start=start, frames=wanted.end - wanted.start, dtype=dtype, always_2d=True
    )
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sound_path(target), values, rate_hz, subtype=info.subtype, format="WAV")
