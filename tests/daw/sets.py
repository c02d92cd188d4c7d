"""Stem sets for the tests of session files: a bounce, its stems, and the manifest beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from bridge.daw.session import from_manifest
from bridge.publish.manifest import Manifest, SourceFacts, StemFacts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.daw.session import Marker, Session, Tempo

FOUR = ("drums", "bass", "other", "vocals")
FULL_SCALE_24 = 2**23


def manifest(
    bounce: Path,
    stems: Sequence[str] = FOUR,
    *,
    frames: int = 1000,
    rate_hz: int = 48_000,
    channels: int = 2,
    time_reference: int | None = 96_123,
) -> dict[str, Any]:
    """The manifest of a set, as the service writes it; no file is made."""
    shape = {"frames": frames, "rate_hz": rate_hz, "channels": channels}
    source = SourceFacts(
        path=str(bounce),
        sha256="ab" * 32,
        container="WAV",
        subtype="PCM_24",
        time_reference=time_reference,
        peak_dbfs=-1.0,
        **shape,
    )
    facts = tuple(
        StemFacts(
            name=stem,
            path=f"{bounce.stem} - {stem}.wav",
            subtype="PCM_24",
            peak_dbfs=-1.0,
            clipped_values=0,
            sha256="cd" * 32,
            **shape,
        )
        for stem in stems
    )
    made = Manifest(
        source=source,
        stems=facts,
        gain_db=0.0,
        null_residual_dbfs=-140.0,
        model={"name": "m", "version": "v", "device": "cpu"},
        preset={"name": "stems", "hash": "h"},
        warnings=(),
        not_carried=(),
        seconds={},
    )
    return made.to_json()


def session(
    bounce: Path,
    stems: Sequence[str] = FOUR,
    *,
    markers: tuple[Marker, ...] = (),
    tempos: tuple[Tempo, ...] = (),
    **shape: Any,
) -> Session:
    """The session of a set whose stems lie beside the bounce; no file is made."""
    data = manifest(bounce, stems, **shape)
    return from_manifest(data, bounce.parent, markers=markers, tempos=tempos)


def noise_24(frames: int, channels: int, *, seed: int = 0) -> NDArray[np.int32]:
    """(frames, channels) of noise at half of full scale, as 24-bit integers."""
    random = np.random.default_rng(seed)
    half = FULL_SCALE_24 // 2
    return random.integers(-half, half, (frames, channels)).astype(np.int32)


def split(mix: NDArray[np.int32], parts: int) -> list[NDArray[np.int32]]:
    """Stems that add up to the mix to the last bit."""
    shares = [mix // (2 + index) // parts for index in range(parts - 1)]
    return [*shares, mix - sum(shares, np.zeros_like(mix))]


def write_24(path: Path, values: NDArray[np.int32], rate_hz: int) -> None:
    """A 24-bit WAV of (frames, channels) integers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # soundfile refuses names that are no text
        soundfile.write(file, values << 8, rate_hz, subtype="PCM_24", format="WAV")


def read_24(path: Path) -> NDArray[np.int32]:
    """(frames, channels) of 24-bit integers."""
    values, _ = soundfile.read(path, dtype="int32", always_2d=True)
    return np.asarray(values >> 8, np.int32)


def write_set(
    bounce: Path,
    stems: Sequence[str] = FOUR,
    *,
    frames: int = 5001,
    rate_hz: int = 48_000,
    channels: int = 2,
) -> NDArray[np.int32]:
    """The files of a set; returns the mix as (frames, channels) of 24-bit integers."""
    mix = noise_24(frames, channels)
    write_24(bounce, mix, rate_hz)
    for stem, part in zip(stems, split(mix, len(stems)), strict=True):
        write_24(bounce.with_name(f"{bounce.stem} - {stem}.wav"), part, rate_hz)
    return mix
