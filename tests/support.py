"""What several tests share: outside tools and data that a fresh clone may not have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"


class Require:
    """Each method returns the thing or skips the test with a reason.

    With STEMBRIDGE_REQUIRE=all in the environment a missing thing is a failure: `.ci/run` sets
    it, so that nothing is skipped there in silence.
    """

    def _lack(self, reason: str) -> NoReturn:
        if os.environ.get("STEMBRIDGE_REQUIRE") == "all":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)

    def program(self, name: str, package: str) -> str:
        """Path of an outside program."""
        found = shutil.which(name)
        return found or self._lack(f"needs {name} (Debian package {package})")

    def ffprobe(self) -> str:
        """Path of ffprobe, which reads WAV metadata with code that is not ours."""
        return self.program("ffprobe", "ffmpeg")

    def corpus(self) -> Path:
        """The folder of audio files that other projects test with."""
        folder = ROOT.parent / "shared" / "corpus"
        return folder if folder.is_dir() else self._lack("needs ../shared/corpus")

    def golden(self, name: str) -> Path:
        """A file or folder of golden data: in the repository if it is small enough to lie there."""
        ours = GOLDEN / name
        return ours if ours.exists() else self.corpus().parent / "golden" / name

    def weights(self, name: str = "spleeter-2stems") -> Path:
        """The folder of real, verified weights; fetched when they are not cached."""
        from separator.errors import WeightsUnavailable
        from separator.weights.store import Store

        try:
            return Store().ensure(name)
        except WeightsUnavailable as error:
            self._lack(str(error))


require = Require()


def snr_db(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Signal to noise of two arrays of one shape; infinite where they are equal."""
    assert ours.shape == theirs.shape
    signal = theirs.astype(np.float64)
    noise = float(np.sum((signal - ours) ** 2))
    return float(10 * np.log10(np.sum(signal**2) / noise)) if noise else float("inf")
