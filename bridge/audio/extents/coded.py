"""Length of audio in a block codec (ADPCM, GSM, ALAC): container against decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.unknown_sizes import is_unknown
from bridge.errors import UnsupportedBounce

if TYPE_CHECKING:
    from bridge.audio.extents.model import SoundData

_SLACK_FRAMES = 512
"""Slack for a codec of unknown block size: more than any telephone codec has in a block."""

_PRIMING_FRAMES = 1152
"""Frames that writers of MP3 in a WAV may count and not write: one MPEG frame."""

_NONSENSE_FRAMES = 1 << 48  # 46 years at 192 kHz; libsndfile states more for an unknown length

_PAD_BYTES = 1  # of a chunk of odd size, which some writers count


@dataclass(frozen=True)
class SoundLength:
    """Frames to decode, and warnings about them."""

    frames: int
    warnings: tuple[str, ...] = ()


def sound_length(sound: SoundData, decoder_frames: int) -> SoundLength:
    """Compute how many frames of a decoder's output are audio.

    The encoder fills up the last block; the header states how much of it counts.

    Args:
        sound: with the sizes present in the file.
        decoder_frames: length that the decoder announces.

    Raises:
        UnsupportedBounce: the blocks hold more than the decoder announces.
    """
    counted, slack = _counted(sound, decoder_frames)
    if decoder_frames <= counted - slack:
        raise UnsupportedBounce(
            f"its {sound.codec} blocks hold {counted:,} frames, the decoder announces "
            f"{decoder_frames:,}; export WAV, AIFF or FLAC"
        )
    # A decoder may take the pad byte of a chunk for one more block.
    whole = min(decoder_frames, counted)
    stated = sound.stated_frames
    if stated is None or not whole - slack < stated <= whole:
        stated = None
    missing = (stated or whole) - _present(sound, whole)
    if missing > 0:
        block = f"the last block of its {sound.codec} is not whole"
        frames = (stated or whole) - missing
        return SoundLength(frames, (f"{block}: {missing:,} frames are missing at its end",))
    return SoundLength(stated or whole, () if stated else length_warning(sound, whole))


def _present(sound: SoundData, whole: int) -> int:
    """Frames of the complete blocks and of the part of one that is there."""
    if sound.counted_frames is not None or not sound.block_bytes or not sound.block_frames:
        return whole
    return -(-sound.claimed_bytes * sound.block_frames // sound.block_bytes)


def length_warning(sound: SoundData, frames: int | None) -> tuple[str, ...]:
    """Return the warning for a header that states more frames than are present.

    A count of values (frames x channels) is a common mistake, and no warning.

    Args:
        sound: the header's claims.
        frames: present in the file; None if only decoding can tell.
    """
    stated = sound.stated_frames
    if frames is None or stated is None or sound.open_ended:
        return ()
    if is_unknown(stated) or stated >= _NONSENSE_FRAMES:
        return ()
    allowed = _PRIMING_FRAMES if sound.stream else 0
    least = frames - sound.block_frames - _SLACK_FRAMES
    of_values = sound.channels > 1 and least <= stated // sound.channels <= frames
    if stated <= frames + allowed or of_values:
        return ()
    return (f"its {sound.stated_by} says {stated:,} frames, and its sound has {frames:,}",)


def _counted(sound: SoundData, decoder_frames: int) -> tuple[int, int]:
    """Frames by the blocks present, and the number by which a decoder may give less."""
    if sound.counted_frames is not None:
        return sound.counted_frames, max(sound.block_frames, 1)
    if not sound.block_bytes or not sound.block_frames:
        return decoder_frames, _SLACK_FRAMES
    blocks, rest_bytes = divmod(sound.claimed_bytes, sound.block_bytes)
    begun = rest_bytes > _PAD_BYTES
    return (blocks + begun) * sound.block_frames, sound.block_frames + 1
