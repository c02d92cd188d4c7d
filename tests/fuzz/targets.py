"""What is fuzzed: each takes the bytes of a file, and raises only where the code is wrong."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.chunks import MAX_CHUNK_BYTES, MAX_CHUNKS, read_chunk, read_layout
from bridge.audio.decode import Decoder, survey
from bridge.audio.extents.locate import locate
from bridge.audio.leniency import Leniency
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.probe import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, MOST_FRAMES_PER_BYTE
from bridge.audio.probe import probe as probe_file
from bridge.errors import BounceError, ModelError, PresetError
from bridge.presets import loader as presets
from bridge.presets.yaml_source import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

LENIENCIES = tuple(
    Leniency(accept_truncated=cut, repair=repair)
    for cut, repair in itertools.product((False, True), repeat=2)
)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stembridge-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(data: bytes, name: str = "bounce") -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def probe(data: bytes) -> None:
    """The header probe: what it lets through is within the limits, and fits into the file."""
    path = _file(data)
    for leniency in LENIENCIES[1:3]:
        with contextlib.suppress(BounceError):
            info = probe_file(path, leniency)
            assert 1 <= info.channels <= MAX_CHANNELS
            assert MIN_RATE_HZ <= info.rate_hz <= MAX_RATE_HZ
            assert info.frames is None or 0 < info.frames <= MOST_FRAMES_PER_BYTE * len(data)


def chunks(data: bytes) -> None:
    """The chunk reader and what is carried: never more bytes than the file accounts for."""
    path = _file(data)
    with contextlib.suppress(BounceError):
        layout = read_layout(path)
        assert len(layout.chunks) <= MAX_CHUNKS
        with path.open("rb") as file:
            assert 0 <= locate(file, layout.container).present().claimed_bytes <= len(data)
            for ref in layout.chunks:
                assert len(read_chunk(file, ref)) <= min(len(data), MAX_CHUNK_BYTES)
    with contextlib.suppress(BounceError):
        found = stem_metadata(path, "A=PCM")
        # The same may be said in several chunks, and a marker of 8 bytes becomes a cue of 24.
        assert sum(len(chunk.data) for chunk in found.chunks) <= 10 * len(data) + 1000


def preset(data: bytes) -> None:
    """The preset loader: each problem is one line with a line number; what loads can be used."""
    path = _file(data, "preset.yaml")
    try:
        loaded = presets.load_file(path)
    except PresetError as error:
        for problem in error.problems:
            place, _, text = problem.removeprefix(f"{path}:").partition(": ")
            assert 1 <= int(place) <= data[:MAX_BYTES].count(b"\n") + data.count(b"\r") + 9, problem
            assert text.isprintable(), problem
        return
    assert len(loaded.content_hash) == 64
    with contextlib.suppress(PresetError, ModelError):
        for name in loaded.outputs(("vocals", "drums", "bass", "other")):
            assert Path(name).name == name
            assert name.isprintable()


def decode(data: bytes) -> None:
    """The decoder: finite float32 of the announced shape, the same in each pass."""
    path = _file(data)
    for leniency in LENIENCIES:
        with contextlib.suppress(BounceError):
            decoder = Decoder(path, probe_file(path, leniency), leniency=leniency)
            found = survey(decoder)
            frames = 0
            for block in decoder:
                assert block.dtype == np.float32
                assert block.shape[0] == decoder.info.channels
                assert np.isfinite(block).all()
                frames += block.shape[1]
            assert frames == found.frames
            assert decoder.info.frames in {None, frames}
            assert leniency.accept_truncated or not found.truncated
            assert leniency.repair or not found.repaired_values


TARGETS: dict[str, Callable[[bytes], None]] = {
    "probe": probe,
    "chunks": chunks,
    "preset": preset,
    "decode": decode,
}
