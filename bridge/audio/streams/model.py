"""Result of a walk over a coded file: runs of packets, and which of their frames are the audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.errors import UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.audio.frame import AudioFrame

    from bridge.audio.length import Count
    from bridge.errors import TruncatedBounce


@dataclass(frozen=True)
class Run:
    """Consecutive packets of one decoder, and the place of the audio in their output.

    Attributes:
        rate_hz, channels: by the container; None if only the decoder can tell. All frames here are
            counted at that rate; a decoder that doubles it (spectral band replication) doubles them
            all.
        decode: decodes the run from its start with each call.
        coded_frames: decoded length of all packets; None if only the decoder can tell.
        slack_frames: by how much the decoder may give less.
        skip_frames: frames before the audio (encoder delay, pre-skip).
        frames: length of the audio; None for all that follows, but for tail_frames at the end.
        lead_frames: silence in front of the audio.
    """

    rate_hz: int
    channels: int | None
    decode: Callable[[], Iterator[AudioFrame]]
    coded_frames: int | None = None
    slack_frames: int = 0
    skip_frames: int = 0
    frames: int | None = None
    tail_frames: int = 0
    lead_frames: int = 0

    @property
    def sound_frames(self) -> int | None:
        """Length of the audio with the silence in front of it; None if unknown."""
        return None if self.frames is None else self.lead_frames + self.frames


@dataclass(frozen=True)
class Walk:
    """Walked coded file.

    Attributes:
        runs: in the order of the file; their audio is contiguous.
        subtype: the codec, by soundfile's name if it has one.
        cut: error for audio missing at the end.
        claimed_frames: length that a truncated file states, if it does.
        channel_mask: WAVEFORMATEXTENSIBLE's speaker bits by the container, if the decoder states
            none.
        count: length by the container, if the runs have no exact one.
        warnings: data of the file that is not in the runs.
    """

    runs: tuple[Run, ...]
    subtype: str
    cut: TruncatedBounce | None = None
    claimed_frames: int | None = None
    channel_mask: int | None = None
    count: Count | None = None
    warnings: tuple[str, ...] = ()


def check_agreement(runs: Sequence[Run]) -> None:
    """Raise UnsupportedBounce if the runs differ in rate or number of channels."""
    done_frames = 0
    for run in runs:
        for what, before, now in (
            ("sample rate", runs[0].rate_hz, run.rate_hz),
            ("channel count", runs[0].channels, run.channels),
        ):
            if before != now:
                raise UnsupportedBounce(
                    f"changes its {what} from {before} to {now} on the way (frame "
                    f"{done_frames:,}); export one format"
                )
        done_frames += run.sound_frames or 0
