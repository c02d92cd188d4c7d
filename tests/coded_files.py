"""Coded files of a sound that is known, and what became of it.

Most are encoded by PyAV, which every machine has; outside encoders make the rest in the tests that
ask for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.audio.decode import Decoder, survey
from bridge.audio.leniency import STRICT, Leniency
from bridge.audio.probe import AudioInfo, probe
from bridge.errors import BounceError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Wave = NDArray[np.float32]

# ffmpeg's names, by the number of channels.
LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "4.0",
    5: "5.0(side)",
    6: "5.1",
    7: "6.1",
    8: "7.1",
    12: "7.1.4",
    16: "hexadecagonal",
}
WINDOWS = 8  # places at which a decoded sound is compared with the one that was encoded


def sweep(rate_hz: int, channels: int, frames: int) -> Wave:
    """(channels, frames): tones that rise from 300 Hz to 2.5 kHz, so that no two places are alike.

    Within what the narrowest codec (telephone speech) passes on.
    """
    seconds = np.arange(frames) / rate_hz
    duration = max(frames / rate_hz, 0.05)
    rows = []
    for channel in range(channels):
        low, high = 300 + 40 * channel, 2500 - 100 * channel
        phase = 2 * np.pi * (low * seconds + (high - low) / (2 * duration) * seconds**2)
        rows.append(0.4 * np.sin(phase) * (1 - 0.5 * np.sin(2 * np.pi * 3 * seconds) ** 2))
    return np.array(rows, np.float32)


def encoded(
    path: Path,
    wave: Wave,
    rate_hz: int,
    codec: str,
    container: str,
    *,
    sample_format: str | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
) -> Path:
    """A file that PyAV has encoded.

    Args:
        path: of the file.
        wave: (channels, frames).
        rate_hz: of it.
        codec, container: ffmpeg's names.
        sample_format: what the encoder gets; its first choice if None.
        options, muxing: of the encoder and of the container.
    """
    import av
    from av.audio.frame import AudioFrame

    layout = LAYOUTS[len(wave)]
    with av.open(str(path), "w", format=container, options=muxing or {}) as file:
        stream: Any = file.add_stream(codec, rate=rate_hz, options=options or {})
        stream.layout = layout
        if sample_format:
            stream.format = sample_format
        stream.codec_context.thread_count = 1
        for first in range(0, wave.shape[1], 4096):
            block = wave[:, first : first + 4096].T.reshape(1, -1)
            frame = AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate = rate_hz
            frame.pts = first
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return path


@dataclass(frozen=True)
class Outcome:
    """What became of a file: refused for a reason, or decoded with warnings."""

    refusal: BounceError | None = None
    info: AudioInfo | None = None
    sound: Wave = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    warnings: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return int(self.sound.shape[1])


def outcome(path: Path, leniency: Leniency = STRICT) -> Outcome:
    """Decode a file as a job does; only errors of the bounce are outcomes."""
    try:
        info = probe(path, leniency)
        decoder = Decoder(path, info, leniency=leniency)
        found = survey(decoder)
        sound = np.concatenate(list(decoder), axis=1)
    except BounceError as error:
        return Outcome(refusal=error)
    assert sound.shape[1] == found.frames, "two passes differ"
    return Outcome(info=info, sound=sound, warnings=tuple(found.all_warnings()))


def likeness(sound: Wave, wave: Wave, delay_frames: int) -> float:
    """The lowest correlation of a decoded sound with the encoded one, over several places."""
    frames = wave.shape[1]
    sound = sound[:, delay_frames : delay_frames + frames].astype(np.float64)
    if sound.shape[1] < frames:
        return 0.0
    width = max(frames // WINDOWS, 1)
    lowest = 1.0
    for first in range(0, frames - width + 1, width):
        ours, theirs = sound[:, first : first + width], wave[:, first : first + width]
        power = np.sqrt(np.sum(ours**2) * np.sum(theirs.astype(np.float64) ** 2))
        lowest = min(lowest, float(np.sum(ours * theirs) / power) if power else 0.0)
    return lowest


def assert_whole(
    found: Outcome,
    wave: Wave,
    *,
    delay_frames: int = 0,
    padding_frames: int = 0,
    least: float = 0.9,
) -> None:
    """All of the encoded sound is there, at its place, and no more than padding around it."""
    assert found.refusal is None, found.refusal
    channels, frames = wave.shape
    assert found.sound.shape[0] == channels
    assert delay_frames + frames <= found.frames <= delay_frames + frames + padding_frames
    like = likeness(found.sound, wave, delay_frames)
    assert like > least, f"correlation {like:.3f}"


def assert_not_short_in_silence(found: Outcome, frames: int) -> None:
    """Whole, or refused, or warned of."""
    if found.refusal is None and not found.warnings:
        assert found.frames >= frames, f"{found.frames} of {frames} frames, and nothing says so"
