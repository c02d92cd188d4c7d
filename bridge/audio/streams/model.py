"""What a walk over a coded file finds: runs of packets, and which of their frames are the sound."""

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
    """What one decoder decodes from its first packet to its last, and where in it the sound lies.

    rate_hz, channels: as the container states them; None where only the decoder can tell. All
    frames here are counted at that rate; a decoder that doubles it (spectral band replication)
    doubles them all.
    decode: begins anew with each call.
    coded_frames: what all packets decode to, slack_frames: by how much it may be less; None where
    only the decoder can tell.
    skip_frames: how many of them come before the sound (encoder delay, pre-skip).
    frames: length of the sound; None for all that follows, but for tail_frames at the end.
    lead_frames: silence in front of it.
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
        """Length of the sound with the silence in front of it; None where it is not known."""
        return None if self.frames is None else self.lead_frames + self.frames


@dataclass(frozen=True)
class Walk:
    """All of a coded file.

    runs: in the order of the file; their sounds follow each other without a gap.
    subtype: the codec, by soundfile's name where it has one.
    cut: why sound is missing at the end; claimed_frames: how much there should be then, where the
    file states it.
    channel_mask: WAVEFORMATEXTENSIBLE's speaker bits by the container, for a decoder that states
    none.
    count: the length by the container, where the runs have none that is exact.
    warnings: what of the file is not in the runs.
    """

    runs: tuple[Run, ...]
    subtype: str
    cut: TruncatedBounce | None = None
    claimed_frames: int | None = None
    channel_mask: int | None = None
    count: Count | None = None
    warnings: tuple[str, ...] = ()


def check_agreement(runs: Sequence[Run]) -> None:
    """Raise UnsupportedBounce where the runs are not of one rate and number of channels."""
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
