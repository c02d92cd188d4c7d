"""The manifest of one job: what went in, what came out, and how it can be checked."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bridge import __version__
from bridge.audio.metadata.model import Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

GENERATOR = "stembridge"  # by this key our own outputs are known, wherever they are copied to
MANIFEST_SCHEMA = 1


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    packages = ("torch", "pedalboard", "numpy", "soundfile", "av", "soxr", "mutagen")
    found = {name: metadata.version(name) for name in packages}
    return {"stembridge": __version__, "python": platform.python_version(), **found}


@dataclass(frozen=True)
class SourceFacts:
    """The bounce. time_reference is in frames since midnight, None where it has none.

    Of a truncated bounce, which the user accepts, frames are those that were there and
    claimed_frames those that its header promises, None where it does not tell. repaired_values
    were NaN, Inf or too large for any sound. tempo_bpm: quarter notes per minute, None where it
    does not say. marks: cue points, markers and regions, counted from its first frame; a point has
    a length of 0.
    """

    path: str
    sha256: str
    frames: int
    rate_hz: int
    channels: int
    container: str
    subtype: str
    time_reference: int | None
    peak_dbfs: float | None
    truncated: bool = False
    claimed_frames: int | None = None
    repaired_values: int = 0
    tempo_bpm: float | None = None
    marks: tuple[Mark, ...] = ()

    @property
    def is_silent(self) -> bool:
        """Whether it is digital silence throughout."""
        return self.peak_dbfs is None


@dataclass(frozen=True)
class StemFacts:
    """One published file; path is relative to the manifest.

    peak_dbfs is of the values in the file, true_peak_dbtp of the curve through them, dc_dbfs the
    largest constant offset of a channel; None for silence. lufs is the integrated loudness (ITU-R
    BS.1770-4), None where there is none to speak of. gain_db was applied by headroom and
    normalisation. dither: none, tpdf or shaped. start_frame: where in the bounce the file begins;
    0 unless it was trimmed. encoder_delay_frames: silence of a lossy encoder in front of the audio,
    which the file states, so that gapless players leave it out.
    """

    name: str
    path: str
    frames: int
    rate_hz: int
    channels: int
    subtype: str
    peak_dbfs: float | None
    clipped_values: int
    sha256: str
    true_peak_dbtp: float | None = None
    lufs: float | None = None
    dc_dbfs: float | None = None
    gain_db: float = 0.0
    dither: str = "none"
    start_frame: int = 0
    encoder_delay_frames: int = 0
    # A sum of stems, or the bounce with some of them changed: what it holds may be in others, too.
    mixdown: bool = False


@dataclass(frozen=True)
class SessionFacts:
    """A session file as it was written; path is relative to the manifest, with "/"."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything about one published stem set.

    gain_db: the one gain on every stem; None where they have gains of their own.
    plugins: of others that were run, by file name: version (as it says) and sha256 (of its code).
    null_residual_dbfs: peak of the sum of the published stems minus gain times bounce, read back
    from the files; None where the preset's files are not meant to add up to the bounce, -inf (in
    JSON "-inf") where nothing is left at all.
    """

    source: SourceFacts
    stems: tuple[StemFacts, ...]
    gain_db: float | None
    null_residual_dbfs: float | None
    model: dict[str, str]
    preset: dict[str, str]
    warnings: tuple[str, ...]
    not_carried: tuple[str, ...]
    seconds: dict[str, float]
    versions: dict[str, str] = field(default_factory=versions)
    # False where files were trimmed: they no longer lie where the bounce does.
    aligned: bool = True
    # How much longer than the bounce the files are, so that echoes and rooms can end.
    tail_frames: int = 0
    sessions: tuple[SessionFacts, ...] = ()
    plugins: dict[str, dict[str, str]] = field(default_factory=dict)

    def without_sessions(self, places: Collection[str]) -> Manifest:
        """The same without these session files, in whose places work of the user lies."""
        kept = tuple(
            f"kept {each.path}: it was changed since it was written; remove it to get a new one"
            for each in self.sessions
            if each.path in places
        )
        left = tuple(each for each in self.sessions if each.path not in places)
        return replace(self, sessions=left, warnings=(*self.warnings, *kept))

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

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """The manifest that `to_json` gave, seconds as rounded there.

        Raises KeyError or TypeError for other data.
        """
        facts = {name: value for name, value in data.items() if name not in {"generator", "schema"}}
        source = {**data["source"]}
        marks = tuple(Mark(**mark) for mark in source.get("marks", ()))
        facts["source"] = SourceFacts(**{**source, "marks": marks})
        facts["stems"] = tuple(StemFacts(**stem) for stem in data["stems"])
        facts["sessions"] = tuple(SessionFacts(**each) for each in data.get("sessions", ()))
        for name in ("warnings", "not_carried"):
            facts[name] = tuple(data[name])
        if data["null_residual_dbfs"] == "-inf":
            facts["null_residual_dbfs"] = -math.inf
        return cls(**facts)


def rounded(level: float) -> float | None:
    """A level in dB or LUFS for reading; None where there is nothing."""
    return round(level, 3) + 0.0 if math.isfinite(level) else None


def level_dbfs(peak: float) -> float | None:
    """A linear peak in dBFS, rounded for reading; None for silence."""
    return round(20 * math.log10(peak), 3) + 0.0 if peak > 0 else None  # + 0.0: no minus zero
