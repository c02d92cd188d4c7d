"""Small sound files for tests, built byte by byte so that each can be wrong in one way.

As a program it judges a folder of files and writes the verdicts as JSON:

    python -m tests.audio_files ../shared/corpus > tests/golden/corpus_outcomes.json
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.decode import Decoder
from bridge.audio.probe import probe
from bridge.errors import BounceError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def chunk(chunk_id: bytes, data: bytes, *, size: int | None = None, order: str = "<") -> bytes:
    """One chunk; `size` lies about its length."""
    stated = len(data) if size is None else size
    return chunk_id + struct.pack(order + "I", stated) + data + bytes(len(data) % 2)


def riff(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A RIFF-like file of those chunks; `size` lies about its length."""
    body = b"WAVE" + b"".join(chunks)
    order = ">" if magic == b"RIFX" else "<"
    return magic + struct.pack(order + "I", len(body) if size is None else size) + body


def fmt(
    rate_hz: int = 48_000,
    channels: int = 2,
    bits: int = 16,
    *,
    tag: int = 1,
    block_bytes: int | None = None,
    order: str = "<",
) -> bytes:
    """A plain 16-byte `fmt ` chunk."""
    block = channels * ((bits + 7) // 8) if block_bytes is None else block_bytes
    fields = (tag, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block, bits)
    return chunk(b"fmt ", struct.pack(order + "HHIIHH", *fields), order=order)


def pcm16(frames: int, channels: int = 2, *, order: str = "<", seed: int = 0) -> bytes:
    """Interleaved 16-bit noise."""
    values = np.random.default_rng(seed).integers(-9000, 9000, (frames, channels))
    return values.astype(order + "i2").tobytes()


def wav(frames: int = 4800, *extra: bytes, channels: int = 2, rate_hz: int = 48_000) -> bytes:
    """A valid 16-bit file; the extra chunks follow the audio."""
    data = chunk(b"data", pcm16(frames, channels))
    return riff(fmt(rate_hz, channels), data, *extra)


def ds64(riff_bytes: int, data_bytes: int, frames: int) -> bytes:
    """The 64-bit sizes of RF64."""
    return chunk(b"ds64", struct.pack("<QQQI", riff_bytes, data_bytes, frames, 0))


def noise(channels: int, frames: int, *, seed: int = 0) -> NDArray[np.float32]:
    """(channels, frames) float32 within ±0.9."""
    values = np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, frames))
    return values.astype(np.float32)


def write(folder: Path, data: bytes, name: str = "bounce.wav") -> Path:
    """Put bytes into a file and return its path."""
    path = folder / name
    path.write_bytes(data)
    return path


def decoded(path: Path, *, block_frames: int = 4096) -> NDArray[np.float32]:
    """The whole bounce through our own decoder, (channels, frames)."""
    return np.concatenate(list(Decoder(path, probe(path), block_frames=block_frames)), axis=1)


def outcome(path: Path) -> dict[str, object]:
    """What becomes of a file: its decoded shape, or the code of the one error it ends as."""
    try:
        info = probe(path)
        frames = sum(block.shape[1] for block in Decoder(path, info))
    except BounceError as error:
        return {"error": error.code}
    return {
        "container": info.container,
        "subtype": info.subtype,
        "rate_hz": info.rate_hz,
        "channels": info.channels,
        "frames": frames,
        "time_reference": info.time_reference,
    }


def main() -> None:
    """Judge every file below a folder: JSON on stdout, cost as JSON on stderr."""
    folder = Path(sys.argv[1])
    verdicts: dict[str, dict[str, object]] = {}
    slowest_s = 0.0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".tsv":
            began = time.monotonic()
            verdicts[path.relative_to(folder).as_posix()] = outcome(path)
            slowest_s = max(slowest_s, time.monotonic() - began)
    peak_mib = _peak_mib()
    rows = (f"  {json.dumps(name)}: {json.dumps(verdict)}" for name, verdict in verdicts.items())
    print("{\n" + ",\n".join(rows) + "\n}")
    print(json.dumps({"slowest_s": slowest_s, "peak_mib": peak_mib}), file=sys.stderr)


def _peak_mib() -> float:
    """Peak resident memory of this program.

    On Linux ru_maxrss also remembers the process that started this one; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 2**20


if __name__ == "__main__":
    main()
