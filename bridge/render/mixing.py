"""Mixing of outputs from staged stems: single stems, buses of stems, or the bounce with changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bridge.dsp.decibel import db_to_linear
from bridge.effects.stereo import pan_weights
from bridge.errors import PresetError
from bridge.presets.mixdown import REST, Level
from bridge.render.staged import BLOCK_FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bridge.presets.mixdown import Mixdown
    from bridge.render.staged import Staged

    Audio = NDArray[np.float32]


@dataclass
class StagedAudio:
    """Staged audio that outputs are mixed from.

    Attributes:
        separated: stems as the model delivered them.
        bounce: the mixture, where a mixdown needs it.
        rendered: stems after their chains, with tails.
        buses: mixdowns with a chain, rendered.
    """

    separated: dict[str, Staged]
    bounce: Staged | None = None
    rendered: dict[str, Staged] = field(default_factory=dict)
    buses: dict[str, Staged] = field(default_factory=dict)

    def remove(self) -> None:
        """Delete all staged files."""
        kept = (*self.separated.values(), *self.rendered.values(), *self.buses.values())
        for staged in kept if self.bounce is None else (*kept, self.bounce):
            staged.remove()


def check_pans(buses: Mapping[str, Mixdown], sources: Sequence[str], channels: int) -> None:
    """Refuse buses that pan a bounce that is not stereo.

    Args:
        buses: mixdowns by name.
        sources: names of the stems of the separation.
        channels: number of channels of the bounce.

    Raises:
        PresetError: a bus pans, and the bounce is not stereo.
    """
    for name, bus in buses.items():
        if channels != 2 and any(level.pan_percent for level in bus.levels(sources).values()):
            raise PresetError(
                f"mixdown '{name}' pans, which needs a stereo bounce; this one has {channels} "
                "channel(s): take the pans out, or add `when: {channels: stereo}`"
            )


def changed_sources(bus: Mixdown, sources: Sequence[str]) -> dict[str, Level | None]:
    """Sources that a bus made from the mixture changes, with their new level (None: removed)."""
    kept = bus.mix.get(REST, Level())
    found = {source: bus.mix.get(source, kept) for source in sources}
    return {
        source: level
        for source, level in found.items()
        if level is None or level.gain_db or level.pan_percent
    }


def used_sources(
    outputs: Iterable[str], buses: Mapping[str, Mixdown], sources: Sequence[str]
) -> set[str]:
    """Names of the sources that any output uses.

    Args:
        outputs: names of the outputs.
        buses: mixdowns by name.
        sources: names of the stems of the separation.
    """
    used = {name for name in outputs if name not in buses}
    for bus in buses.values():
        used |= {*(changed_sources(bus, sources) if bus.base == "mixture" else bus.levels(sources))}
    return used


def mix_bus(
    bus: Mixdown, staged_audio: StagedAudio, sources: Sequence[str]
) -> Iterator[NDArray[np.float64]]:
    """Sum of a bus before its chain.

    Args:
        bus: the mixdown.
        staged_audio: the rendered stems, and the bounce for a bus from the mixture.
        sources: names of the stems of the separation.

    Yields:
        float64 blocks (channels, frames).
    """
    parts: list[tuple[Staged, NDArray[np.float64] | float]] = []
    if bus.base == "mixture" and staged_audio.bounce is not None:
        parts.append((staged_audio.bounce, 1.0))
        for source, level in changed_sources(bus, sources).items():
            # Subtract the stem as it is in the bounce, add it as its chain rendered it.
            parts.append((staged_audio.separated[source], -1.0))
            if level is not None:
                parts.append((staged_audio.rendered[source], _weights(level)))
    else:
        levels = bus.levels(sources)
        parts += [(staged_audio.rendered[name], _weights(level)) for name, level in levels.items()]
    longest = max((staged for staged, _ in parts), key=lambda staged: staged.statistics.frames)
    streams = [_zero_extended(staged) for staged, _ in parts]
    for block in longest:
        total = np.zeros(block.shape)
        for stream, (_, weight) in zip(streams, parts, strict=True):
            part = next(stream)
            total[:, : part.shape[1]] += (
                weight * part if isinstance(weight, float) else weight @ part
            )
        yield total


def _weights(level: Level) -> NDArray[np.float64] | float:
    gain = db_to_linear(level.gain_db)
    return gain * pan_weights(level.pan_percent) if level.pan_percent else gain


def _zero_extended(staged: Staged) -> Iterator[NDArray[np.float64]]:
    """The staged blocks, then empty blocks without end."""
    for block in staged:
        yield block.astype(np.float64)
    while True:
        yield np.zeros((staged.channels, 0))


def with_silence(blocks: Iterable[Audio], channels: int, frames: int) -> Iterator[Audio]:
    """Append silence to a stream.

    Args:
        blocks: float32 (channels, any number of frames).
        channels: number of channels.
        frames: length of the silence.
    """
    yield from blocks
    for start in range(0, frames, BLOCK_FRAMES):
        yield np.zeros((channels, min(BLOCK_FRAMES, frames - start)), np.float32)
