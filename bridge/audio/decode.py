"""Decoding of a bounce to blocks of float32, repeatable, in memory independent of its length."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bridge.audio.chunks import open_bounce
from bridge.audio.extents.locate import LOCATED, locate
from bridge.audio.headers import sniff
from bridge.audio.leniency import STRICT, Leniency
from bridge.audio.part_reader import open_part
from bridge.audio.plausible import LIMIT_TEXT, check_values, mark_implausible
from bridge.audio.repair import BRIDGED_S, Repair
from bridge.audio.streams.registry import open_coded
from bridge.audio.views import size_bytes
from bridge.errors import (
    BounceChanged,
    BounceError,
    NoFrames,
    TruncatedBounce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.probe import AudioInfo
    from bridge.audio.sndfile import SoundReader

BLOCK_FRAMES = 65_536
"""1.5 s at 44.1 kHz: large against the cost of a call, 16 MiB at 64 channels."""

# Where a file may break off, a block that cannot be decoded is the last and lost: 0.1 s.
_OPEN_END_BLOCK_FRAMES = 4_096


class Decoder:
    """Audio of a probed bounce; each iteration reopens the file and begins at frame 0.

    Yields (channels, up to block_frames) float32. PCM of 8, 16 and 24 bits is value / 2**(bits-1),
    exactly; FLOAT is unchanged, also beyond ±1; 32-bit integers and doubles are rounded to float32.
    With `leniency.repair`, implausible values are replaced (see `bridge.audio.plausible`), and
    `repaired_values` counts them after each pass.

    Raises while iterating:
        NonFiniteBounce: the first implausible value.
        TruncatedBounce: fewer frames than the header states, known after the last block.
        BounceError: a damaged stream.
        NoFrames: nothing could be decoded.
        BounceChanged: not the file that was probed, gone, or cannot be read now.
    """

    def __init__(
        self,
        path: Path,
        info: AudioInfo,
        *,
        block_frames: int = BLOCK_FRAMES,
        leniency: Leniency = STRICT,
    ) -> None:
        self.path = path
        self.info = info
        self.block_frames = block_frames
        self.leniency = leniency
        self.repaired_values = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        if not self.leniency.repair:
            yield from check_values(self._decoded(), self.info.subtype)
            return
        repair = Repair(self.info.channels, round(BRIDGED_S * self.info.rate_hz))
        yield from repair.blocks(mark_implausible(self._decoded()))
        self.repaired_values = repair.values

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Audio as stored in the file, NaN and Inf included."""
        done_frames = 0
        for info in self.info.parts or (self.info,):
            for block in self._part(info):
                done_frames += block.shape[1]
                yield block
        self._check_count(done_frames)

    def _part(self, info: AudioInfo) -> Iterator[NDArray[np.float32]]:
        """Audio of one part of a file of joined files."""
        done_frames = 0
        end = _length(info)
        with _opened(self.path, info) as source:
            while (block := self._read(source, info, end and end - done_frames)).shape[1]:
                done_frames += block.shape[1]
                yield block
            if source.located and done_frames != info.frames:
                raise _changed()  # it was all there when the file was opened

    def _read(
        self, source: SoundReader, info: AudioInfo, left_frames: int | None
    ) -> NDArray[np.float32]:
        """Read the next block, and no more than is left if that is known.

        Decoders that read past the audio fail at tags behind it.
        """
        frames = self.block_frames
        if left_frames is not None:
            frames = min(frames, left_frames)
        if not frames:
            return np.zeros((info.channels, 0), np.float32)
        if not info.open_end or source.located:
            return source.read(frames)
        try:
            return source.read(min(frames, _OPEN_END_BLOCK_FRAMES))
        except BounceError:
            return np.zeros((info.channels, 0), np.float32)

    def _check_count(self, frames: int) -> None:
        expected = self.info.frames
        if expected is None and not frames:
            raise NoFrames("nothing could be decoded from it; export it again from the DAW")
        if expected is None:
            shortfall = self.info.count.shortfall(frames) if self.info.count else None
            if shortfall and not self.info.open_end:
                raise shortfall
            return
        if frames == expected:
            return
        if frames < expected:
            raise TruncatedBounce(
                f"cut off: its header says {expected:,} frames, {frames:,} could be decoded; "
                "render it again"
            )
        raise BounceError(
            f"its header says {expected:,} frames, {frames:,} were decoded; export it again"
        )


@dataclass(frozen=True)
class SurveyResult:
    """Result of one pass over a bounce.

    Attributes:
        frames: decoded length.
        peak: linear, 1.0 is full scale.
        truncated: it ends too early, which the user accepted.
        claimed_frames: length by the header of a truncated bounce; None if not stated.
        repaired_values: number of implausible values.
        warnings: warnings about the file's structure.
    """

    frames: int
    peak: float
    truncated: bool = False
    claimed_frames: int | None = None
    repaired_values: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def is_silent(self) -> bool:
        """Whether every value is zero."""
        return self.peak == 0.0

    @property
    def silence(self) -> str:
        """Clause with the extent of the silence of a silent bounce."""
        extent = "its only frame is" if self.frames == 1 else f"all {self.frames:,} frames are"
        return f"{extent} digital silence"

    def all_warnings(self) -> Iterator[str]:
        """Yield warnings for the report: silence, accepted damage, and the file's structure."""
        if self.is_silent:
            yield (
                f"silent: {self.silence}, so nothing was separated; check what was soloed or muted"
            )
        if self.truncated:
            claim = f"{self.claimed_frames:,} frames" if self.claimed_frames else "more"
            yield f"cut off: its header promises {claim}, {self.frames:,} frames were there"
        if self.repaired_values:
            yield (
                f"repaired: values that were NaN, Inf or {LIMIT_TEXT}: {self.repaired_values:,}; "
                f"gaps of up to {1000 * BRIDGED_S:g} ms were bridged, longer ones are silent"
            )
        yield from self.warnings


def survey(decoder: Decoder, report: Callable[[float], None] = lambda _: None) -> SurveyResult:
    """Decode once, for the frame count and the peak only.

    `report` is called with the share done (0..1) after each block; 0 if the length is unknown.

    Raises the errors of `Decoder`.
    """
    frames, peak = 0, 0.0
    for block in decoder:
        frames += block.shape[1]
        peak = max(peak, float(np.abs(block).max()))
        report(min(frames / decoder.info.frames, 1.0) if decoder.info.frames else 0.0)
    info = decoder.info
    claimed_frames = info.claimed_frames
    if claimed_frames is None and info.count:
        claimed_frames = info.count.frames if info.count.shortfall(frames) else frames
    truncated = info.open_end and (claimed_frames is None or frames < claimed_frames)
    surplus = info.count.surplus(frames) if info.count else None
    return SurveyResult(
        frames,
        peak,
        truncated=truncated,
        claimed_frames=claimed_frames if truncated else None,
        repaired_values=decoder.repaired_values,
        warnings=(*info.warnings, *([surplus] if surplus else [])),
    )


@contextmanager
def _opened(path: Path, info: AudioInfo) -> Iterator[SoundReader]:
    with open_bounce(path) as file, _opening(path, file, info) as source:
        now = (source.subtype, source.channels, source.rate_hz)
        if now != (info.subtype, info.channels, info.rate_hz):
            raise _changed()
        yield source


def _opening(path: Path, file: BinaryIO, info: AudioInfo) -> AbstractContextManager[SoundReader]:
    part = info.part
    if part is None:
        return nullcontext(open_coded(file, sniff(file)))
    if part.end > size_bytes(file):
        raise _changed()
    if part.container not in LOCATED:
        return open_part(path, file, part, None)
    sound = locate(part.of(file), part.container)
    if info.open_end:
        sound = sound.present()
    # The sound was held against the file's size when it was probed.
    elif sound.present().claimed_bytes != sound.claimed_bytes:
        raise _changed()
    if sound.subtype and sound.frames != info.frames:
        raise _changed()
    return open_part(path, file, part, sound)


def _length(info: AudioInfo) -> int | None:
    """End of the audio of a part; None if only its decoder can tell."""
    if info.part is None:
        return None
    if info.frames is not None:
        return info.frames
    return info.count.frames if info.count else None


def _changed() -> BounceChanged:
    return BounceChanged("changed while it was read; let the render finish, then retry")
