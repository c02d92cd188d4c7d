"""Hours of audio through the separator in memory that does not depend on their length.

    python examples/stream_blocks.py concert.wav --out stems

Blocks go in, blocks of every stem come out; each is written before the next is read. What comes out
lags behind what went in by some segments of the model, and the end of the input flushes the rest.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

import separator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

BLOCK_FRAMES = 65_536  # 1.5 s at 44.1 kHz; any size gives the same stems


def blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """(channels, up to BLOCK_FRAMES) float32, until the file ends."""
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block.T


def main() -> None:
    """Separates one file, block by block."""
    parser = argparse.ArgumentParser(description="Stems of a long file, in bounded memory.")
    parser.add_argument("mix", type=Path, help="any file that soundfile reads")
    parser.add_argument("--out", type=Path, default=Path("stems"), help="folder for the stems")
    parser.add_argument("--model", default="spleeter:2stems", help="see `stembridge models list`")
    options = parser.parse_args()

    model = separator.load(options.model, residual="add-to-last")
    options.out.mkdir(parents=True, exist_ok=True)
    done_frames = 0
    with ExitStack() as stack:
        mix = stack.enter_context(soundfile.SoundFile(options.mix))
        writers = {
            name: stack.enter_context(
                soundfile.SoundFile(
                    options.out / f"{name}.wav",
                    "w",
                    samplerate=mix.samplerate,
                    channels=mix.channels,
                    subtype="FLOAT",
                    format="RF64",  # a plain WAV ends at 4 GB
                )
            )
            for name in model.outputs
        }
        for stems in model.stream(blocks(mix), mix.samplerate):
            for name, writer in writers.items():
                writer.write(stems[name].T)
            done_frames += stems[model.sources[0]].shape[1]
        print(f"{mix.frames} frames in, {done_frames} frames out: {', '.join(model.outputs)}")


if __name__ == "__main__":
    main()
