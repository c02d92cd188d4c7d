"""Streams of a stem file: the mix and its stems, read from their files and encoded in ALAC.

Integers of up to 24 bits are stored unchanged. Floats are rounded to 24 bits, the stems together,
so that their sum stays the mix (see `bridge.audio.quantise`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.decode import Decoder
from bridge.audio.encode import PCM_BITS
from bridge.audio.leniency import Leniency
from bridge.audio.mp4_output import EncodingFailed, Mp4Output, StreamEncoding
from bridge.audio.probe import probe
from bridge.audio.quantise import quantise, quantise_set
from bridge.errors import BounceChanged, BounceError, SessionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.probe import AudioInfo
    from bridge.daw.session import Clip

CHANNELS = 2

_BLOCK_FRAMES = 65_536
_MOST_BITS = 24  # what ALAC has in FFmpeg's encoder, and what players expect
# The user may have accepted damage of the bounce: it is read as it was for its stems.
_AS_ACCEPTED = Leniency(accept_truncated=True, repair=True)


def encode_streams(
    path: Path, mix: Sequence[Clip], stems: Sequence[Sequence[Clip]], rate_hz: int
) -> None:
    """Write an MP4 file with a stream for the mix and one for each stem.

    Where a value is above full scale, as in an MP3, in floats or in a sum of clips, all streams are
    lowered by one gain: the balance stays, and the stems are still the mix.

    Args:
        path: of the new file.
        mix: its clips; those of one stream are added up.
        stems: the clips of each. All clips are whole stereo files of one length.
        rate_hz: of all files.

    Raises:
        SessionError: a file of the set cannot be read or has changed.
        OutputError: the system refuses to write.
    """
    whole, parts = _stream(mix, rate_hz), [_stream(clips, rate_hz) for clips in stems]
    gain = _gain((whole, *parts))
    lossless = gain == 1.0
    mix_bits = whole.bits if lossless else _MOST_BITS
    stem_bits = max(part.bits for part in parts) if lossless else _MOST_BITS
    depths = [mix_bits, *(stem_bits for _ in parts)]
    codings = [StreamEncoding("alac", "s16p" if bits == 16 else "s32p") for bits in depths]
    try:
        with Mp4Output(
            path, codings, container="mp4", rate_hz=rate_hz, channels=CHANNELS
        ) as output:
            for blocks in zip(*(stream.blocks() for stream in (whole, *parts)), strict=True):
                scaled = [block * gain for block in blocks]
                values = [quantise(scaled[0], mix_bits), *_together(scaled[1:], stem_bits)]
                for number, (block, bits) in enumerate(zip(values, depths, strict=True)):
                    output.write(number, block if bits == 16 else block << (32 - bits))
    except EncodingFailed as error:
        raise SessionError(
            f"the stem file cannot be encoded ({error}); please report it"
        ) from error


@dataclass(frozen=True)
class _Stream:
    """Clips of one stream, which are added up, and the info of their files."""

    clips: tuple[Clip, ...]
    infos: tuple[AudioInfo, ...]

    @property
    def bits(self) -> int:
        """Depth that holds every value of its files; 24 if none does."""
        depths = [PCM_BITS.get(info.subtype, _MOST_BITS) for info in self.infos]
        return 16 if max(depths) <= 16 else _MOST_BITS

    @property
    def fits(self) -> bool:
        """Whether no value can be above full scale: one file of integers."""
        return len(self.infos) == 1 and self.infos[0].subtype in PCM_BITS

    def blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield the sum, (channels, frames) float64, in blocks of up to _BLOCK_FRAMES."""
        each = [_blocks(clip, info) for clip, info in zip(self.clips, self.infos, strict=True)]
        for blocks in zip(*each, strict=True):
            yield np.sum(blocks, axis=0, dtype=np.float64)


def _stream(clips: Sequence[Clip], rate_hz: int) -> _Stream:
    return _Stream(tuple(clips), tuple(_info(clip, rate_hz) for clip in clips))


def _info(clip: Clip, rate_hz: int) -> AudioInfo:
    with _readable(clip):
        info = probe(clip.file.current_path, _AS_ACCEPTED)
    if (info.rate_hz, info.channels) != (rate_hz, clip.file.channels):
        raise SessionError(f"{clip.file.path}: changed since the stems were made; make them anew")
    return info


def _gain(streams: Iterable[_Stream]) -> float:
    """Common gain of all streams that keeps them within full scale; mostly 1.0."""
    peak = 1.0
    for stream in streams:
        if not stream.fits:
            peaks = (float(np.abs(block).max()) for block in stream.blocks())
            peak = max(peak, *peaks)
    return 1.0 / peak


def _together(blocks: Sequence[NDArray[np.float64]], bits: int) -> Iterator[NDArray[np.int32]]:
    """Round the stems as a set."""
    numbered = {str(number): block for number, block in enumerate(blocks)}
    yield from quantise_set(numbered, bits).stems.values()


def _blocks(clip: Clip, info: AudioInfo) -> Iterator[NDArray[np.float32]]:
    """Audio of a clip, in blocks of _BLOCK_FRAMES. Raises SessionError for another length."""
    decoded = Decoder(clip.file.current_path, info, leniency=_AS_ACCEPTED)
    left_frames = clip.file.frames
    with _readable(clip):
        for block in _of_one_size(decoded):
            if block.shape[1] != min(left_frames, _BLOCK_FRAMES):
                raise _another_length(clip)
            left_frames -= block.shape[1]
            yield block
    if left_frames:
        raise _another_length(clip)


def _another_length(clip: Clip) -> SessionError:
    frames = f"{clip.file.frames:,} frames"
    return SessionError(
        f"{clip.file.path}: not the {frames} that its manifest says; make the stems anew"
    )


def _of_one_size(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Split audio into blocks of _BLOCK_FRAMES; the last is shorter."""
    held: list[NDArray[np.float32]] = []
    held_frames = 0
    for block in blocks:
        held.append(block)
        held_frames += block.shape[1]
        if held_frames >= _BLOCK_FRAMES:
            joined = np.concatenate(held, axis=1)
            whole_frames = held_frames - held_frames % _BLOCK_FRAMES
            for first in range(0, whole_frames, _BLOCK_FRAMES):
                yield joined[:, first : first + _BLOCK_FRAMES]
            held, held_frames = [joined[:, whole_frames:]], held_frames - whole_frames
    if held_frames:
        yield np.concatenate(held, axis=1)


@contextmanager
def _readable(clip: Clip) -> Iterator[None]:
    """Raise SessionError for a file that cannot be read, which costs only the stem file."""
    try:
        yield
    except (BounceError, BounceChanged) as error:
        raise SessionError(f"{clip.file.path}: cannot be read: {error}") from error
