"""Reader for the audio of one part of a file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.extents.stream import open_extents
from bridge.audio.headers import DetectedContainer, with_article
from bridge.audio.sndfile import open_container, open_view
from bridge.audio.streams.registry import CODED, open_coded
from bridge.audio.views import size_bytes, view
from bridge.errors import UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bridge.audio.extents.model import SoundData
    from bridge.audio.joined_files import Part
    from bridge.audio.sndfile import SndfileReader, SoundReader


def open_part(
    path: Path, file: BinaryIO, part: Part, sound: SoundData | None
) -> AbstractContextManager[SoundReader]:
    """Open the audio of a part for decoding.

    Args:
        path: of the file; libsndfile opens it itself if the part is the whole file.
        file: the same, open.
        part: of it.
        sound: located audio, with the sizes present; None if only the decoder can locate it.

    Raises:
        UnsupportedBounce: no decoder accepts it.
        BounceError: see `streams.registry.walk_container`.
    """
    shown = part.of(file)
    if sound is None:
        return _open_by_libsndfile(path, file, shown, part.container)
    if sound.subtype:
        return open_extents(shown, sound)
    if sound.stream in CODED:
        return nullcontext(open_coded(stream_of(shown, sound), DetectedContainer(sound.stream, 0)))
    return _open_codec(_open_by_libsndfile(path, file, shown, part.container), part, sound)


def _open_by_libsndfile(
    path: Path, file: BinaryIO, shown: BinaryIO, name: str
) -> AbstractContextManager[SndfileReader]:
    if shown is file:
        return open_container(path, name)
    return open_view(shown, size_bytes(shown), name)


@contextmanager
def _open_codec(
    opening: AbstractContextManager[SndfileReader], part: Part, sound: SoundData
) -> Iterator[SndfileReader]:
    """Open with an error that names the codec, where libsndfile blames the header."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(opening)
        except UnsupportedBounce as error:
            raise UnsupportedBounce(
                f"{with_article(part.container)} file with {sound.codec} in it, which is not read; "
                "export PCM (WAV or AIFF of 16 or 24 bits) or FLAC"
            ) from error
        yield source


def stream_of(file: BinaryIO, sound: SoundData) -> BinaryIO:
    """Return the audio bytes in a container as a file of their own.

    Raises UnsupportedBounce if they are in several pieces.
    """
    if len(sound.extents) != 1:
        raise UnsupportedBounce(
            f"{sound.codec} in {len(sound.extents)} pieces, which is not read; export WAV"
        )
    (extent,) = sound.extents
    return view(file, extent.offset, extent.offset + extent.size_bytes)
