"""AAC in an M4A file, written by the user's ffmpeg.

AAC has 1024 frames of delay in front and fills its last packet up. The file says so twice: in its
edit list (ISO/IEC 14496-12 section 8.6.6), which ffmpeg writes, and in iTunSMPB, the word of iTunes
for it, which players read that do not know edit lists.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from mutagen import mp4

from bridge.audio.metadata import Mark
from bridge.audio.pack import interleaved
from bridge.audio.targets.finish import sealed, tagging
from bridge.audio.targets.readback import decoded
from bridge.audio.targets.tags import tags_of
from bridge.disk import disk_errors
from bridge.errors import OutputError, PromiseBroken

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.targets.spec import Spec

PACKET_FRAMES = 1024
"""Of AAC LC (ISO/IEC 14496-3). ffmpeg's own encoder begins with a packet that is all delay."""

_ITUNES = "----:com.apple.iTunes:"
_TEXT_ATOMS = {
    "TITLE": "\xa9nam",
    "ARTIST": "\xa9ART",
    "ALBUMARTIST": "aART",
    "ALBUM": "\xa9alb",
    "COMPOSER": "\xa9wrt",
    "GENRE": "\xa9gen",
    "DATE": "\xa9day",
    "COMMENT": "\xa9cmt",
    "DESCRIPTION": "desc",
    "COPYRIGHT": "cprt",
}
COVERS = {"image/jpeg": mp4.MP4Cover.FORMAT_JPEG, "image/png": mp4.MP4Cover.FORMAT_PNG}


class M4aWriter:
    """One file; ffmpeg reads the audio from a pipe. Tags are put in at the end, then it is hashed.

    Raises like `FrontToBack`.
    """

    encoder_delay_frames = PACKET_FRAMES

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path = path
        self.spec = spec
        self.peak = 0.0
        self.clipped = 0
        self.sha256 = ""
        self._frames = 0
        program = shutil.which("ffmpeg")
        if program is None:
            raise OutputError("M4A needs ffmpeg: install it, or choose another format")
        with disk_errors(path):
            path.open("xb").close()
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the writer
            self._chapters = path.with_name(f"{path.name}.chapters")
            self._chapters.write_text(_chapters(spec), encoding="utf-8", newline="\n")
        try:
            self._process = subprocess.Popen(
                [program, *_arguments(spec, self._chapters), f"file:{path}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )
        except OSError as error:
            self._said.close()
            path.unlink(missing_ok=True)
            self._chapters.unlink(missing_ok=True)
            raise OutputError(f"ffmpeg cannot be started ({error}): install it anew") from error

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale."""
        if not np.isfinite(block).all():
            raise PromiseBroken(f"{self.path.name}: NaN or Inf after frame {self._frames:,}")
        if block.size:
            self.peak = max(self.peak, abs(float(block.min())), abs(float(block.max())))
        self._frames += block.shape[1]
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(interleaved(block, "<f4"))
        except OSError as error:
            raise self._failure() from error

    def write_int(self, block: NDArray[np.int32]) -> None:
        """There are none in AAC."""
        raise PromiseBroken(f"{self.path.name}: integers for an AAC file")

    def restate(self, bext: bytes) -> None:
        """Its loudness has no place in an M4A."""

    def close(self) -> None:
        """Check the length, end the stream, tag and hash the file, and see it onto the disk."""
        if self.sha256:
            return
        if self._frames != self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: {self._frames:,} frames written, {self.spec.frames:,} announced"
            )
        try:
            self._process.communicate()
        except OSError as error:
            raise self._failure() from error
        if self._process.returncode:
            raise self._failure()
        self._said.close()
        with disk_errors(self._chapters):
            self._chapters.unlink()
        with tagging(self.path):
            _complete(self.path, self.spec)
        self.sha256 = sealed(self.path)
        self._listen()

    def _listen(self) -> None:
        """Decodes the file: it may rise above what went into it.

        Some versions of ffmpeg play the last packet whole, whatever the edit list says.
        """
        found = decoded(self.path, channels=self.spec.channels)
        if not 0 <= found.frames - self.spec.frames < PACKET_FRAMES:
            raise PromiseBroken(
                f"{self.path.name}: {found.frames:,} frames decode, {self.spec.frames:,} were "
                "encoded"
            )
        self.peak = found.peak

    def discard(self) -> None:
        """End ffmpeg and remove the file."""
        self._process.kill()
        with suppress(OSError):  # what is left in the pipe has no reader
            self._process.communicate()
        self._said.close()
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)
            self._chapters.unlink(missing_ok=True)

    def _failure(self) -> OutputError:
        """What ffmpeg said in the end."""
        with suppress(OSError):
            self._process.communicate()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"it ended with code {self._process.returncode}"
        return OutputError(
            f"ffmpeg cannot write {self.path} ({reason}): check the disk, then `stembridge retry`"
        )


def _arguments(spec: Spec, chapters: Path) -> list[str]:
    kbps = spec.bitrate_kbps or spec.target.default_kbps
    return [
        *("-nostdin", "-v", "error", "-y"),
        *("-f", "f32le", "-ar", str(spec.rate_hz), "-ac", str(spec.channels), "-i", "pipe:0"),
        *("-f", "ffmetadata", "-i", f"file:{chapters}", "-map", "0:a", "-map_chapters", "1"),
        *("-map_metadata:g", "-1", "-map_metadata:s", "-1", "-c:a", "aac", "-b:a", f"{kbps}k"),
        # No version and no date in the file; and lengths that count frames, not milliseconds.
        *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-movie_timescale", str(spec.rate_hz)),
        *("-f", "ipod"),
    ]


def _chapters(spec: Spec) -> str:
    """Markers as ffmpeg takes them. A point lasts until the next one, a region as long as it is.

    A track of chapters begins at the beginning: the first marker would be drawn there.
    """
    text, marks = ";FFMETADATA1\n", spec.metadata.marks
    if marks and marks[0].position_frames > 0:
        marks = (Mark(0), *marks)
    for number, mark in enumerate(marks):
        start = mark.position_frames
        following = marks[number + 1].position_frames if number + 1 < len(marks) else spec.frames
        end = start + mark.length_frames if mark.length_frames else max(following, start)
        title = "".join(f"\\{c}" if c in "=;#\\\n" else c for c in mark.name)
        text += f"[CHAPTER]\nTIMEBASE=1/{spec.rate_hz}\nSTART={start}\nEND={end}\ntitle={title}\n"
    return text


def _complete(path: Path, spec: Spec) -> None:
    file = mp4.MP4(path)
    if file.tags is None:
        file.add_tags()
    metadata = spec.metadata
    for name, values in tags_of(metadata).items():
        if name in _TEXT_ATOMS:
            file[_TEXT_ATOMS[name]] = list(values)
        else:
            file[_ITUNES + name] = [mp4.MP4FreeForm(value.encode()) for value in values]
    if metadata.tempo_bpm is not None:
        file["tmpo"] = [round(metadata.tempo_bpm)]
    pictures = [one for one in metadata.pictures if one.mime in COVERS]
    if pictures:
        file["covr"] = [mp4.MP4Cover(one.data, COVERS[one.mime]) for one in pictures]
    file[_ITUNES + "iTunSMPB"] = [mp4.MP4FreeForm(_gapless(spec.frames).encode())]
    file.save(padding=lambda _: 0)


def _gapless(frames: int) -> str:
    """Delay, padding and length in hexadecimal, as iTunes writes them, and nothing in the rest."""
    padding = -(PACKET_FRAMES + frames) % PACKET_FRAMES
    head = f" 00000000 {PACKET_FRAMES:08X} {padding:08X} {frames:016X}"
    return head + " 00000000" * 8
