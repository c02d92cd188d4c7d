"""The manifest of one job: what went in, what came out, and how it can be checked."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from bridge import __version__

GENERATOR = "stembridge"  # by this key our own outputs are known, wherever they are copied to
MANIFEST_SCHEMA = 1


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    packages = ("torch", "pedalboard", "numpy", "soundfile", "soxr")
    found = {name: metadata.version(name) for name in packages}
    return {"stembridge": __version__, "python": platform.python_version(), **found}


@dataclass(frozen=True)
class SourceFacts:
    """The bounce. time_reference is in frames since midnight, None where it has none."""

    path: str
    sha256: str
    frames: int
    rate_hz: int
    channels: int
    container: str
    subtype: str
    time_reference: int | None
    peak_dbfs: float | None


@dataclass(frozen=True)
class StemFacts:
    """One published file; path is relative to the manifest. peak_dbfs is None for silence."""

    name: str
    path: str
    frames: int
    rate_hz: int
    channels: int
    subtype: str
    peak_dbfs: float | None
    clipped_values: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything about one published stem set.

    gain_db: the one gain on every stem. null_residual_dbfs: peak of the sum of the published
    stems minus gain times bounce, read back from the files; None where the preset's files are not
    meant to add up to the bounce, -inf (in JSON "-inf") where nothing is left at all.
    """

    source: SourceFacts
    stems: tuple[StemFacts, ...]
    gain_db: float
    null_residual_dbfs: float | None
    model: dict[str, str]
    preset: dict[str, str]
    warnings: tuple[str, ...]
    not_carried: tuple[str, ...]
    seconds: dict[str, float]
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def duration_s(self) -> float:
        """Length of the bounce."""
        return self.source.frames / self.source.rate_hz

    @property
    def speed(self) -> float:
        """Seconds of audio per second of work."""
        return self.duration_s / max(sum(self.seconds.values()), 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `manifest.json`, the generator first."""
        data = asdict(self)
        if self.null_residual_dbfs is not None and math.isinf(self.null_residual_dbfs):
            data["null_residual_dbfs"] = "-inf"
        data["seconds"] = {stage: round(s, 4) for stage, s in self.seconds.items()}
        return {"generator": GENERATOR, "schema": MANIFEST_SCHEMA, **data}


def level_dbfs(peak: float) -> float | None:
    """A linear peak in dBFS, rounded for reading; None for silence."""
    return round(20 * math.log10(peak), 3) + 0.0 if peak > 0 else None  # + 0.0: no minus zero
