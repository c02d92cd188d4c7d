"""FLAC, MP3, Ogg Vorbis and Opus, through the encoders of libsndfile.

A decoder returns exactly the frames that were encoded, in place: FLAC by its format; MP3 by the
LAME tag in its first frame, which libsndfile writes (delay and padding); Vorbis by the granule
position of its last page; Opus by that and its pre-skip (RFC 7845 sections 4.2 and 4.4).
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from mutagen import oggopus, oggvorbis

from bridge.audio.headers import sniff
from bridge.audio.targets import flac_blocks, mp3, ogg
from bridge.audio.targets.finishing import sync_and_hash, tagging_errors
from bridge.audio.targets.readback import decode_file
from bridge.audio.targets.tags import chapters, stem_tags
from bridge.errors import OutputError, PromiseBroken
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.targets.spec import Spec

# libvorbis analyses on the stack what it gets in one call, and seconds of audio overflow it.
_WRITTEN_FRAMES = 4_096
# LAME 3.99 and later, between 32 and 320 kbit/s, and 8 to 160 below 32 kHz (libsndfile,
# mpeg_l3_encode.c: bitrate = most - compression * (most - least), cut to an integer).
_MP3_KBPS = ((32_000, 320.0, 32.0), (16_000, 160.0, 8.0), (0, 64.0, 8.0))
# Opus: 6 to 256 kbit/s for each channel (libsndfile, ogg_opus.c).
_OPUS_LEAST_KBPS, _OPUS_RANGE_KBPS = 6.0, 250.0
_VORBIS_MOST = 10.0  # its highest quality
# The first frame of an MP3, the first page of an Ogg file.
_HEAD_BYTES = 512
# From the tag's beginning; 12 bits of delay, 12 of padding (LAME's "mp3 info tag", revision 1).
_LAME_DELAY = 141
_FORMATS = {"flac": "FLAC", "mp3": "MP3", "ogg": "OGG", "opus": "OGG"}


class CodedWriter:
    """Writer of one encoded file, which is tagged and hashed when it is closed.

    Raises like `SequentialWriter`.
    """

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path = path
        self.spec = spec
        self.peak = 0.0
        self.clipped = 0
        self.sha256 = ""
        self.encoder_delay_frames = 0
        self._frames = 0
        self._put_frames = 0
        self._resampler = _resampler(spec)
        self._file: soundfile.SoundFile | None = None
        with disk_errors(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._handle: int | None = os.open(path, flags, 0o666)
        try:
            with _refusals(path, self._handle):
                self._file = soundfile.SoundFile(
                    self._handle,
                    "w",
                    samplerate=spec.out_rate_hz,
                    channels=spec.channels,
                    format=_FORMATS[spec.target.name],
                    subtype=spec.subtype,
                    closefd=False,
                    **_settings(spec),
                )
        except BaseException:
            self.discard()
            raise

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale."""
        if not np.isfinite(block).all():
            raise PromiseBroken(f"{self.path.name}: NaN or Inf after frame {self._frames:,}")
        self._count(block, 1.0)
        wave = np.ascontiguousarray(block.T, np.float32)
        if self._resampler is not None:
            wave = self._resampler.resample_chunk(wave)
        self._put(wave)

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Append (channels, frames) signed integers in the range of the file's bits."""
        bits = {"PCM_16": 16, "PCM_24": 24}.get(self.spec.subtype)
        if bits is None:
            raise PromiseBroken(f"{self.path.name}: integers for a {self.spec.subtype} file")
        full_scale = 2 ** (bits - 1)
        if block.size and not -full_scale <= block.min() <= block.max() < full_scale:
            raise PromiseBroken(f"{self.path.name}: integers beyond {bits} bits")
        self._count(block, float(full_scale))
        # libsndfile takes them at the upper end of 32 bits.
        self._put(np.ascontiguousarray((block << (32 - bits)).T))

    def replace_bext(self, bext: bytes) -> None:
        """Replace the `bext` in the metadata, once its loudness is measured."""
        metadata = self.spec.metadata
        chunks = (replace(c, data=bext) if c.id == b"bext" else c for c in metadata.chunks)
        self.spec = replace(self.spec, metadata=replace(metadata, chunks=tuple(chunks)))

    def close(self) -> None:
        """Check the length, end the stream, tag and hash the file, and sync it to the disk."""
        if self._handle is None:
            return
        if self._frames != self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: {self._frames:,} frames written, {self.spec.frames:,} announced"
            )
        if self._resampler is not None:
            nothing = np.zeros((0, self.spec.channels), np.float32)
            self._put(self._resampler.resample_chunk(nothing, last=True))
            # It may give a frame less than the length comes to, rounded up.
            lacking = max(self.spec.out_frames - self._put_frames, 0)
            self._put(np.zeros((lacking, self.spec.channels), np.float32))
        with _refusals(self.path, self._handle):
            assert self._file is not None
            self._file.close()
            os.close(self._handle)
            self._handle = None
        with tagging_errors(self.path):
            _complete(self.path, self.spec)
        self.sha256 = sync_and_hash(self.path)
        self.encoder_delay_frames = _delay_frames(self.path, self.spec.target.name)
        if self.spec.target.lossy:
            self._measure_peak()

    def _measure_peak(self) -> None:
        """Decode the file: a lossy one may exceed the peak of its input."""
        with _refusals(self.path, None):
            found = decode_file(self.path)
        if found.frames != self.spec.out_frames:
            raise PromiseBroken(
                f"{self.path.name}: {found.frames:,} frames decode, {self.spec.out_frames:,} "
                "were encoded"
            )
        self.peak = found.peak

    def discard(self) -> None:
        """Close and remove the file."""
        with suppress(soundfile.LibsndfileError):  # a full disk cannot take what is left
            if self._file is not None:
                self._file.close()
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def _count(self, block: NDArray[np.generic], full_scale: float) -> None:
        channels, frames = block.shape
        if channels != self.spec.channels or self._frames + frames > self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: a block of {channels} channels, {frames:,} frames does not fit"
            )
        if frames:
            loudest = max(abs(float(block.min())), abs(float(block.max())))
            self.peak = max(self.peak, loudest / full_scale)
        self._frames += frames

    def _put(self, wave: NDArray[np.generic]) -> None:
        """Write (frames, channels), as soundfile expects, and no more frames than announced."""
        assert self._file is not None
        assert self._handle is not None
        kept = wave[: self.spec.out_frames - self._put_frames]
        self._put_frames += len(kept)
        with _refusals(self.path, self._handle):
            for first in range(0, len(kept), _WRITTEN_FRAMES):
                self._file.write(kept[first : first + _WRITTEN_FRAMES])


def _settings(spec: Spec) -> dict[str, object]:
    """Map bitrate or quality to libsndfile's `compression_level`, 0 to 1."""
    kbps = spec.bitrate_kbps or spec.target.default_kbps or 0
    if spec.target.name == "mp3":
        most, least = next(range_[1:] for range_ in _MP3_KBPS if spec.rate_hz >= range_[0])
        # Half a step more, because it is cut to an integer.
        level = (most - min(kbps, most) - 0.5) / (most - least)
        return {"bitrate_mode": "CONSTANT", "compression_level": max(level, 0.0)}
    if spec.target.name == "opus":
        each = (kbps / spec.channels - _OPUS_LEAST_KBPS) / _OPUS_RANGE_KBPS
        return {"compression_level": min(max(1.0 - each, 0.0), 1.0)}
    if spec.target.name == "ogg":
        return {"compression_level": 1.0 - spec.quality / _VORBIS_MOST}
    return {}


def _resampler(spec: Spec) -> soxr.ResampleStream | None:
    if spec.out_rate_hz == spec.rate_hz:
        return None
    rates = (spec.rate_hz, spec.out_rate_hz)
    return soxr.ResampleStream(*rates, spec.channels, dtype="float32", quality="VHQ")


def _complete(path: Path, spec: Spec) -> None:
    """Write the tags and the other metadata."""
    metadata = spec.out_metadata
    tags, marked = stem_tags(metadata), chapters(metadata.marks, spec.out_rate_hz)
    name = spec.target.name
    if name == "mp3":
        mp3.put_tag(path, metadata, tags, spec.rate_hz, spec.frames)
        return
    if name == "flac":
        cuesheet = metadata.cuesheet
        flac_blocks.write_blocks(
            path, metadata, tags | marked | _mask_tag(spec), spec.wav, cuesheet
        )
        return
    file = oggvorbis.OggVorbis(path) if name == "ogg" else oggopus.OggOpus(path)
    ogg.put_tags(file, metadata, tags | marked)
    ogg.renumber(path, ogg.serial_of(path.name))


def _mask_tag(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Channel mask as a Vorbis comment (RFC 9639 section 8.6.2).

    Written for default layouts, too: for six channels, ffmpeg assumes another one. 0: no speakers,
    as of ambisonics.
    """
    if spec.channel_mask is None or spec.channels <= 2:
        return {}
    return {"WAVEFORMATEXTENSIBLE_CHANNEL_MASK": (f"0x{spec.channel_mask:04X}",)}


def _delay_frames(path: Path, name: str) -> int:
    """Encoder delay stated in the header."""
    with disk_errors(path), path.open("rb") as file:
        file.seek(sniff(file).start)
        head = file.read(_HEAD_BYTES)
    if name == "opus":  # RFC 7845 section 5.1
        at = head.find(b"OpusHead")
        return int.from_bytes(head[at + 10 : at + 12], "little")
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if name != "mp3" or at < 0:
        return 0
    return int.from_bytes(head[at + _LAME_DELAY : at + _LAME_DELAY + 2], "big") >> 4


@contextmanager
def _refusals(path: Path, handle: int | None) -> Iterator[None]:
    """Raise write errors of the system and of libsndfile as OutputError.

    handle: of the file while it is written.
    """
    try:
        with disk_errors(path):
            yield
    except soundfile.LibsndfileError as error:
        if handle is not None:
            _provoke(path, handle)
        raise OutputError(
            f"cannot write {path} ({error}): check the disk, then `stembridge retry`"
        ) from error


def _provoke(path: Path, handle: int) -> None:
    """Raise the system's error, which libsndfile hides, by writing a few bytes more."""
    with disk_errors(path):
        os.lseek(handle, 0, os.SEEK_END)
        os.write(handle, bytes(4096))
        os.fsync(handle)
