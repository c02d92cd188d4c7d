"""One target under atheris: `python -m tests.fuzz.run TARGET FOLDER... -libfuzzer_options`."""

from __future__ import annotations

import sys

import atheris

# Only this is watched. libsndfile is not ours to steer by, and PyYAML's scanner, watched, takes a
# hundred times as long over nested brackets: the time limit would be that of the watching.
with atheris.instrument_imports(include=["bridge"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
