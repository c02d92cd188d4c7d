"""What several tests share: outside tools and data that a fresh clone may not have."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"

Error = TypeVar("Error", bound=Exception)
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class Require:
    """Each method returns the thing or skips the test with a reason.

    With STEMBRIDGE_REQUIRE=all in the environment a missing thing is a failure: `.ci/run` sets
    it, so that nothing is skipped there in silence.
    """

    def lack(self, reason: str) -> NoReturn:
        """Skip the test, or fail it where nothing may be skipped."""
        if os.environ.get("STEMBRIDGE_REQUIRE") == "all":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)

    def program(self, name: str, package: str) -> str:
        """Path of an outside program."""
        found = shutil.which(name)
        return found or self.lack(f"needs {name} (Debian package {package})")

    def ffprobe(self) -> str:
        """Path of ffprobe, which reads WAV metadata with code that is not ours."""
        return self.program("ffprobe", "ffmpeg")

    def stempeg(self) -> Any:
        """The module of that name; its import raises where ffmpeg is missing."""
        self.program("ffmpeg", "ffmpeg")
        self.ffprobe()
        import stempeg  # type: ignore[import-untyped]

        return stempeg

    def vst3(self, name: str) -> Path:
        """A VST3 of Debian's zam-plugins: real plugins, not ours."""
        found = Path("/usr/lib/vst3") / f"{name}.vst3"
        return found if found.exists() else self.lack(f"needs {name} (Debian package zam-plugins)")

    def corpus(self) -> Path:
        """The folder of audio files that other projects test with."""
        folder = ROOT.parent / "shared" / "corpus"
        return folder if folder.is_dir() else self.lack("needs ../shared/corpus")

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
            self.lack(str(error))

    @contextmanager
    def tmpfs(self, place: Path, size_bytes: int, *options: str) -> Iterator[Path]:
        """A file system of its own, of that size, in memory."""
        listed = ",".join((f"size={size_bytes}", *options))
        with self._mounted(place, "-t", "tmpfs", "-o", listed, "tmpfs"):
            yield place

    @contextmanager
    def read_only(self, folder: Path) -> Iterator[Path]:
        """The same folder at a place where nothing can be written, not even by root."""
        place = folder.with_name(folder.name + " read-only")
        with self._mounted(place, "--bind", str(folder)):
            if subprocess.run(
                ["mount", "-o", "remount,ro,bind", str(place)], check=False
            ).returncode:
                self.lack("needs read-only bind mounts")
            yield place

    @contextmanager
    def _mounted(self, place: Path, *arguments: str) -> Iterator[None]:
        place.mkdir(parents=True)
        mount = shutil.which("mount")
        command = [mount or "mount", *arguments, str(place)]
        if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
            self.lack("needs the right to mount (root on Linux)")
        try:
            yield
        finally:
            # Lazily: a service that was killed a moment ago may still hold a file there.
            subprocess.run(["umount", "--lazy", str(place)], check=True)


require = Require()


def snr_db(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Signal to noise of two arrays of one shape; infinite where they are equal."""
    assert ours.shape == theirs.shape
    signal = theirs.astype(np.float64)
    noise = float(np.sum((signal - ours) ** 2))
    return float(10 * np.log10(np.sum(signal**2) / noise)) if noise else float("inf")


def thorough(cases: Iterable[Any]) -> list[Any]:
    """Cases of a parametrised test that only `make test-all` tries."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
        for case in cases
    ]


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    """Names of what lies in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def place_left(place: Path) -> int:
    """Free bytes of a file system."""
    free = os.statvfs(place)
    return free.f_bavail * free.f_frsize


def subclasses(root: type[Error]) -> list[type[Error]]:
    """The class and everything below it."""
    below: list[type[Error]] = root.__subclasses__()
    return [root, *(found for child in below for found in subclasses(child))]


#: Skips that no installation mends: they are about the machine itself.
OF_THE_MACHINE = (
    "needs Linux and Python 3.11",
    "needs two cores",
    "needs 25 GiB of disk",
    "no user namespace can be made here",
    "this processor cannot leave them out",
    "these weights are cached in another format",
    "htdemucs came from another source",
)


def skipping_is_failing(report: Report) -> Report:
    """The report of a test or module, failed if it was skipped where nothing may be skipped."""
    is_strict = os.environ.get("STEMBRIDGE_REQUIRE") == "all"
    if is_strict and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        if not any(allowed in reason for allowed in OF_THE_MACHINE):
            report.outcome = "failed"
            report.longrepr = f"nothing may be skipped here: {reason}"
    return report
