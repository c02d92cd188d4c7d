"""Tracks with known stems.

A track is a folder with a file per stem (`vocals.wav`, `drums.wav`, ... and perhaps
`mixture.wav`), as in MUSDB18-HQ and DSD100, or a .stem.mp4 file, as in MUSDB18. The given folder
may be a track itself or contain tracks at any depth.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.decode import Decoder
from bridge.audio.probe import AudioInfo, probe
from bridge.errors import BounceError, UnsupportedBounce, UsageError
from bridge.evaluate.stem_mp4 import SUFFIXES, StemFile, open_stem_file
from bridge.intake.exclusions import is_excluded
from bridge.intake.scan import is_bounce_name
from separator.metrics import sdr_db

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

MIXTURE = "mixture"
STEMS = frozenset({"vocals", "drums", "bass", "other", "guitar", "piano", "accompaniment"})
ALIASES = {
    **dict.fromkeys(("mix", "mixdown", "linear_mixture"), MIXTURE),
    **dict.fromkeys(("vox", "voice", "vocal"), "vocals"),
    **dict.fromkeys(("drum",), "drums"),
    **dict.fromkeys(("instrumental", "no_vocals", "no-vocals", "backing"), "accompaniment"),
    **dict.fromkeys(("others",), "other"),
}
LEAST_MIXTURE_SDR_DB = 30.0  # a lower SDR between mixture and sum of stems is no rounding error


@dataclass(frozen=True)
class Reference:
    """A track in memory: true stems by name and their mixture, (channels, frames) float32."""

    name: str
    rate_hz: int
    stems: Mapping[str, FloatArray]
    mixture: FloatArray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FolderTrack:
    """A folder with a file per stem; headers checked."""

    name: str
    path: Path
    files: Mapping[str, Path]
    infos: Mapping[str, AudioInfo] = field(repr=False)

    def load(self) -> Reference:
        """Decode all files. Raises BounceError (damaged, lengths differ, ...)."""
        audio = {name: _decode(path, self.infos[name]) for name, path in self.files.items()}
        first_name, first = next(iter(audio.items()))
        for name, stem in audio.items():
            if stem.shape != first.shape:
                raise BounceError(
                    f"{self.files[name]}: {stem.shape[1]:,} frames, {self.files[first_name].name} "
                    f"has {first.shape[1]:,}; render all true stems with the same length"
                )
        mixture = audio.pop(MIXTURE, None)
        rate_hz = next(iter(self.infos.values())).rate_hz
        return reference(self.name, rate_hz, audio, mixture)


@dataclass(frozen=True)
class StemFileTrack:
    """A .stem.mp4; its streams checked.

    The mixture is the sum of its stems: the first stream may be mastered, and has an encoding
    of its own.
    """

    name: str
    path: Path
    file: StemFile

    def load(self) -> Reference:
        """Decode all stems. Raises BounceError."""
        stems = self.file.read()
        frames = min(stem.shape[1] for stem in stems)  # encoders may end at different packets
        named: dict[str, FloatArray] = {}
        for stem_name, stem in zip(map(canonical, self.file.names), stems, strict=True):
            before = named.get(stem_name)  # stems of the same name are added
            named[stem_name] = stem[:, :frames] + (0 if before is None else before)
        return reference(self.name, self.file.rate_hz, named, None)


Track = FolderTrack | StemFileTrack


def find_tracks(place: Path) -> list[Track]:
    """Tracks in the folder or file `place`, sorted by path.

    Raises:
        UsageError: `place` does not exist or contains no track.
        BounceError: a file of a track cannot be used (the message has its path).
    """
    if not place.exists():
        raise UsageError(f"{place}: there is no such file or folder; check the path")
    tracks = list(_tracks(place))
    if not tracks:
        raise UsageError(
            f"{place}: no track with true stems; a track is a folder with files such as "
            "vocals.wav and accompaniment.wav, or a .stem.mp4 file"
        )
    return tracks


def reference(
    name: str, rate_hz: int, stems: Mapping[str, FloatArray], mixture: FloatArray | None
) -> Reference:
    """A track from its stems.

    Args:
        name: of the track.
        rate_hz: sample rate of all arrays.
        stems: name -> (channels, frames) float32; silent stems are omitted, with a note.
        mixture: (channels, frames) float32; None for the sum of the stems.
    """
    notes = [f"the true {stem} is silent" for stem, audio in stems.items() if not audio.any()]
    audible = {stem: audio for stem, audio in stems.items() if audio.any()}
    total = np.zeros_like(next(iter(stems.values())))
    for audio in audible.values():
        total += audio
    if mixture is not None and audible:
        sdr = sdr_db(mixture, total)
        if sdr < LEAST_MIXTURE_SDR_DB:
            notes.append(f"the mixture is not the sum of its stems ({sdr:.1f} dB SDR)")
    return Reference(name, rate_hz, audible, total if mixture is None else mixture, tuple(notes))


def canonical(name: str) -> str:
    """A stem's name in the models' spelling: "Vox" becomes "vocals"."""
    lower = name.strip().lower()
    return ALIASES.get(lower, lower)


def _tracks(place: Path) -> Iterator[Track]:
    if place.is_file():
        if not place.name.lower().endswith(SUFFIXES):
            raise UsageError(f"{place}: not a .stem.mp4; name that or a folder")
        yield _stem_file(place, _short_name(place))
        return
    for folder, below, names in os.walk(place):
        below[:] = sorted(name for name in below if not is_excluded(name))
        here = Path(folder)
        shown = here.relative_to(place).as_posix()
        files = _stem_files(here, names)
        if len(files.keys() - {MIXTURE}) >= 2 and files.keys() & STEMS:
            yield _folder(here, here.absolute().name if shown == "." else shown, files)
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not is_excluded(name):
                label = _short_name(Path(name))
                yield _stem_file(here / name, label if shown == "." else f"{shown}/{label}")


def _short_name(path: Path) -> str:
    """The file name without .stem.mp4."""
    return path.name[: -len(SUFFIXES[0])]  # both suffixes are as long


def _stem_file(path: Path, name: str) -> StemFileTrack:
    return StemFileTrack(name, path, open_stem_file(path))


def _stem_files(folder: Path, names: list[str]) -> dict[str, Path]:
    """Stem name -> file; the accompaniment is omitted in folders that have its parts."""
    found: dict[str, Path] = {}
    for name in sorted(names):
        path = folder / name
        if not is_bounce_name(name):
            continue
        stem = canonical(path.stem)
        if stem in found:
            raise UsageError(f"{folder}: {found[stem].name} and {name} are both the {stem}")
        found[stem] = path
    if len(found.keys() - {MIXTURE, "vocals", "accompaniment"}) > 0:
        found.pop("accompaniment", None)
    return found


def _folder(path: Path, name: str, files: Mapping[str, Path]) -> FolderTrack:
    infos = {stem: _probe(file) for stem, file in files.items()}
    first_stem, first = next(iter(infos.items()))
    for stem, info in infos.items():
        if (info.rate_hz, info.channels) != (first.rate_hz, first.channels):
            raise UnsupportedBounce(
                f"{files[stem]}: {info.channels} channels at {info.rate_hz:,} Hz, but "
                f"{files[first_stem].name} has {first.channels} at {first.rate_hz:,} Hz; "
                "export all stems with the same rate and channels"
            )
    return FolderTrack(name, path, files, infos)


def _probe(path: Path) -> AudioInfo:
    try:
        return probe(path)
    except BounceError as error:
        raise type(error)(f"{path}: {error}") from error


def _decode(path: Path, info: AudioInfo) -> FloatArray:
    try:
        return np.concatenate(list(Decoder(path, info)), axis=1)
    except BounceError as error:
        raise type(error)(f"{path}: {error}") from error
