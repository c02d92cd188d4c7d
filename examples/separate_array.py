"""A NumPy array in, its stems out.

    python examples/separate_array.py mix.wav --out stems

Reads the whole file, so it is for minutes, not hours; stream_blocks.py is for those. Writes one
32-bit float WAV per stem, and says how exactly they add up to the mixture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

import separator


def main() -> None:
    """Separates one file."""
    parser = argparse.ArgumentParser(description="Stems of one file, by way of an array.")
    parser.add_argument("mix", type=Path, help="any file that soundfile reads")
    parser.add_argument("--out", type=Path, default=Path("stems"), help="folder for the stems")
    parser.add_argument("--model", default="spleeter:2stems", help="see `stembridge models list`")
    options = parser.parse_args()

    wave, rate_hz = soundfile.read(options.mix, dtype="float32", always_2d=True)
    mixture = wave.T  # soundfile has (frames, channels), the separator (channels, frames)

    model = separator.load(options.model)
    stems = model.separate(mixture, rate_hz)

    options.out.mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        soundfile.write(options.out / f"{name}.wav", audio.T, rate_hz, subtype="FLOAT")
        print(f"{name}: {audio.shape[1]} frames, peak {np.abs(audio).max():.3f}")
    left = np.abs(np.sum(list(stems.values()), axis=0) - mixture).max()
    print(f"sum of the stems minus the mixture: {left:.1e} at most")


if __name__ == "__main__":
    main()
