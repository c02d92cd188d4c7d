"""Manifest of a stem set: source, stems, session files, model, preset, versions, checks."""

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

# Value of the key "generator": marks output folders, so that the intake skips copies of them.
GENERATOR = "stembridge"
MANIFEST_SCHEMA = 1


def versions() -> dict[str, str]:
    """Versions of the software that the audio depends on."""
    packages = ("torch", "pedalboard", "numpy", "soundfile", "av", "soxr", "mutagen")
    found = {name: metadata.version(name) for name in packages}
    return {"stembridge": __version__, "python": platform.python_version(), **found}


@dataclass(frozen=True)
class SourceFacts:
    """Properties of the bounce.

    Attributes:
        path: path of the file.
        sha256: hash of its content, in hex.
        frames: length; of a truncated bounce, the frames that are present.
        rate_hz: sample rate.
        channels: number of channels.
        container: file format, such as WAV.
        subtype: sample format, such as PCM_24.
        time_reference: position in frames since midnight; None if the file has none.
        peak_dbfs: sample peak; None for silence.
        truncated: whether the file is shorter than its header claims.
        claimed_frames: frames that the header of a truncated bounce claims; None if unknown.
        repaired_values: number of values that were NaN, Inf or too large, and were replaced.
        tempo_bpm: quarter notes per minute; None if the file states no tempo.
        marks: cue points (length 0), markers and regions, in frames from the first one.
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
        """Whether the bounce is digital silence throughout."""
        return self.peak_dbfs is None


@dataclass(frozen=True)
class StemFacts:
    """Properties of one published audio file.

    Attributes:
        name: name of the stem or mixdown.
        path: file name, relative to the manifest.
        frames: length.
        rate_hz: sample rate.
        channels: number of channels.
        subtype: sample format, such as PCM_24.
        peak_dbfs: sample peak; None for silence.
        clipped_values: number of values that were clipped.
        sha256: hash of the file, in hex.
        true_peak_dbtp: true peak (ITU-R BS.1770-4); None for silence.
        lufs: integrated loudness (ITU-R BS.1770-4); None below its gate.
        dc_dbfs: largest DC offset of a channel; None for silence.
        gain_db: gain applied by headroom and normalisation.
        dither: none, tpdf or shaped.
        start_frame: frame of the bounce at which the file begins; 0 unless it was trimmed.
        encoder_delay_frames: leading silence of a lossy encoder, which gapless players skip.
        mixdown: whether it is a sum of stems, or the bounce with some stems changed.
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
    mixdown: bool = False


@dataclass(frozen=True)
class SessionFacts:
    """A session file: format name, path relative to the manifest (with "/"), hash in hex."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Manifest of one published stem set.

    Attributes:
        source: the bounce.
        stems: published files.
        gain_db: gain common to all stems; None if they have gains of their own.
        null_residual_dbfs: peak of (sum of the published stems - gain * bounce), read back from the
            files; -inf (in JSON "-inf") for an exact null, None if the preset's files are not meant
            to add up to the bounce.
        model: name and version of the model.
        preset: name and hash of the preset.
        warnings: warnings for the user.
        not_carried: metadata of the bounce that the files do not hold.
        seconds: duration of each stage.
        versions: versions of the software.
        aligned: whether every file starts with the bounce; False after trimming.
        tail_frames: frames that the files are longer than the bounce, for effect tails.
        sessions: session files.
        plugins: version and sha256 of each audio plugin used, by file name.
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
    aligned: bool = True
    tail_frames: int = 0
    sessions: tuple[SessionFacts, ...] = ()
    plugins: dict[str, dict[str, str]] = field(default_factory=dict)

    def without_sessions(self, paths: Collection[str]) -> Manifest:
        """Copy without the session files at `paths`, each with a warning that the old one stays."""
        kept = tuple(
            f"kept {each.path}: it was changed since it was written; remove it to get a new one"
            for each in self.sessions
            if each.path in paths
        )
        left = tuple(each for each in self.sessions if each.path not in paths)
        return replace(self, sessions=left, warnings=(*self.warnings, *kept))

    @property
    def duration_s(self) -> float:
        """Length of the bounce in seconds."""
        return self.source.frames / self.source.rate_hz

    @property
    def speed(self) -> float:
        """Seconds of audio per second of processing."""
        return self.duration_s / max(sum(self.seconds.values()), 1e-9)

    def to_json(self) -> dict[str, Any]:
        """JSON data of `manifest.json`; the key "generator" comes first."""
        data = asdict(self)
        if self.null_residual_dbfs is not None and math.isinf(self.null_residual_dbfs):
            data["null_residual_dbfs"] = "-inf"
        data["seconds"] = {stage: round(s, 4) for stage, s in self.seconds.items()}
        return {"generator": GENERATOR, "schema": MANIFEST_SCHEMA, **data}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """The manifest from data of `to_json` (with seconds rounded).

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
    """A level in dB or LUFS, rounded to 0.001; None if it is not finite."""
    return round(level, 3) + 0.0 if math.isfinite(level) else None


def level_dbfs(peak: float) -> float | None:
    """A linear peak as dBFS, rounded to 0.001; None for silence."""
    return round(20 * math.log10(peak), 3) + 0.0 if peak > 0 else None  # + 0.0: no minus zero
