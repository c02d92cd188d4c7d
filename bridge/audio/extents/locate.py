"""Location of the audio in any container whose audio bytes can be found."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import parse_layout
from bridge.audio.extents import aiff, au, caf, nist, riff, voc, w64

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.audio.extents.model import SoundData

_READERS: dict[str, Callable[[BinaryIO], SoundData]] = {
    **dict.fromkeys(
        ("WAV", "RIFX", "RF64", "BW64"), lambda file: riff.sound_data(file, parse_layout(file))
    ),
    "AIFF": aiff.sound_data,
    "SVX": aiff.svx_sound_data,
    "CAF": caf.sound_data,
    "AU": au.sound_data,
    "W64": w64.sound_data,
    "VOC": voc.sound_data,
    "NIST": nist.sound_data,
}

LOCATED = frozenset(_READERS)
"""Containers that `locate` knows."""


def locate(file: BinaryIO, container: str) -> SoundData:
    """Locate the audio of an open file of that container.

    Raises NotAudio, NoFrames, TruncatedBounce and UnsupportedBounce for invalid headers.
    """
    return _READERS[container](file)
