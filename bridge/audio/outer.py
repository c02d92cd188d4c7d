"""What lies around a sound file without being part of it: tags, and zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.audio.streams.tag_blocks import leading, sound_end

if TYPE_CHECKING:
    from bridge.audio.streams.buffer import Buffer


def padding_end(buffer: Buffer, at: int) -> int:
    """Where the tag or the run of zeros that begins at `at` ends; `at` where there is neither.

    A tag may claim to end behind the file.
    """
    return at + leading(buffer, at) if leading(buffer, at) else buffer.zeros_end(at)


def skip_padding(buffer: Buffer, at: int) -> int:
    """Where all tags and zeros from `at` on end."""
    while at < buffer.end:
        behind = padding_end(buffer, at)
        if behind == at:
            return at
        at = behind
    return buffer.end


def unread_bytes(buffer: Buffer, at: int) -> int:
    """How many bytes from `at` on are neither zeros nor tags."""
    at = skip_padding(buffer, at)
    return max(sound_end(buffer) - at, 0)
