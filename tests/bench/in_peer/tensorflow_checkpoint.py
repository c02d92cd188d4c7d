"""Weights as a TensorFlow checkpoint, in a folder as the official Spleeter downloads it.

Runs in the environment of Spleeter. Usage: tensorflow_checkpoint.py WEIGHTS.npz FOLDER
The names of the arrays are those of the variables in the official estimator's graph.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

STEP = "global_step"  # the estimator restores its count of training steps, too
PROBE = ".probe"  # the official program downloads nothing into a folder that has it


def main(source: Path, folder: Path) -> None:
    v1 = tf.compat.v1
    with np.load(source) as arrays, tf.Graph().as_default(), v1.Session() as session:
        variables = {name: v1.Variable(arrays[name], name=name) for name in arrays.files}
        variables[STEP] = v1.Variable(np.int64(0), name=STEP)
        session.run(v1.global_variables_initializer())
        folder.mkdir(parents=True, exist_ok=True)
        v1.train.Saver(variables).save(session, str(folder / "model"), write_meta_graph=False)
    (folder / PROBE).write_text("OK", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
