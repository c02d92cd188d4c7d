"""Estimate of the disk space that a job needs in its staging folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.audio.encode import FLOAT_BITS, PCM_BITS
from bridge.render.mixing import changed_sources, used_sources
from bridge.system.disk import job_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.audio.probe import AudioInfo
    from bridge.presets.loader import Preset

# Bits per value of 510 kbit/s, the highest rate, for one channel at 32 kHz.
_LOSSY_BITS = 16


def peak_disk_bytes(
    preset: Preset, sources: Sequence[str], info: AudioInfo, frames: int, tail_frames: int = 0
) -> int:
    """Bytes in the staging folder at the job's peak; see `disk.job_bytes`.

    Args:
        preset: the preset in force.
        sources: names of the stems that the separation delivers.
        info: format of the bounce.
        frames: length of the bounce.
        tail_frames: how much longer than the bounce the files are.
    """
    # An upper bound for lossy files.
    bits = (PCM_BITS | FLOAT_BITS).get(preset.output.depth(info)[0], _LOSSY_BITS)
    outputs, buses = preset.outputs(sources), preset.buses(sources)
    from_bounce = [bus for bus in buses.values() if bus.base == "mixture"]
    kept = {source for bus in from_bounce for source in changed_sources(bus, sources)}
    staged = len(used_sources(outputs, buses, sources)) + bool(from_bounce) + len(kept)
    return job_bytes(
        frames=frames + tail_frames,
        channels=info.channels,
        separated=staged + sum(bool(bus.chain) for bus in buses.values()),
        outputs=len(outputs),
        value_bytes=bits // 8,
        chain=bool(tail_frames) or any(preset.chain_of(source) for source in sources),
    )
