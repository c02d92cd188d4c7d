"""Descriptions of files that are not read, so that users do not wait for their stems.

`scan` decides by name which files can be bounces. This module names the formats of the rest (audio,
MIDI, projects), and detects audio under a name without an audio suffix.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.chunks import CONTAINERS, open_bounce
from bridge.audio.headers import sniff
from bridge.errors import StembridgeError, UnsupportedBounce
from bridge.intake.scan import AUDIO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bridge.intake.scan import FoundFile, Scan

#: Names listed in one line; further files are counted.
MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: its name, and advice for the user as the end of a sentence."""

    name: str
    advice: str


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file that is not read. format: None if it cannot be meant as a bounce, such as a text."""

    path: Path
    format: Format | None = None


_NOTES = Format("MIDI", "notes without audio: render it in the DAW")
_DRM = Format("copy-protected", "other programs cannot open it: export it as WAV")
_OTHER_SOUND = "export it as WAV, AIFF or FLAC"
_PROJECT = "render the mix in the DAW"
_EXCHANGE = "open it in the DAW and render the mix"
_UNPACK = "unpack it first"
_VIDEO = "export its audio as WAV"
_SAMPLER = "samples for an instrument: render them in the DAW"
_ONLINE = Format("online only", "make it available on this device")
_AU = Format("AU", "`stembridge split` reads it; in folders use WAV, AIFF or FLAC")

# By suffix. Suffixes that `scan` accepts as bounces never get here.
FORMATS: dict[str, Format] = {
    **dict.fromkeys((".mid", ".midi", ".kar", ".smf"), _NOTES),
    **dict.fromkeys((".m4p", ".aax", ".aaxc", ".aa"), _DRM),
    **dict.fromkeys((".au", ".snd"), _AU),
    **{
        suffix: Format(name, _OTHER_SOUND)
        for name, suffixes in {
            "AAC": (".m4r",),
            "Dolby": (".thd", ".mlp"),
            "DTS": (".dts", ".dtshd"),
            "Monkey's Audio": (".ape",),
            "Musepack": (".mpc",),
            "True Audio": (".tta",),
            "TAK": (".tak",),
            "Shorten": (".shn",),
            "OptimFROG": (".ofr",),
            "MPEG audio": (".mp1", ".mpa"),
            "DSD": (".dsf", ".dff"),
            "RealAudio": (".ra", ".ram"),
            "Sound Designer II": (".sd2",),
            "REX loop": (".rx2", ".rex", ".rcy"),
            "Creative Voice": (".voc",),
            "raw samples": (".raw", ".pcm"),
        }.items()
        for suffix in suffixes
    },
    **dict.fromkeys(
        (".avi", ".mpg", ".mpeg", ".flv"),
        Format("video", _VIDEO),
    ),
    **{
        suffix: Format(f"{name} project", _PROJECT)
        for name, suffixes in {
            "Ableton Live": (".als",),
            "Ardour": (".ardour",),
            "Audacity": (".aup", ".aup3"),
            "Audition": (".sesx",),
            "Bitwig Studio": (".bwproject",),
            "Cakewalk": (".cwp",),
            "Cubase": (".cpr",),
            "FL Studio": (".flp",),
            "LMMS": (".mmp", ".mmpz"),
            "Logic Pro": (".logicx", ".logic"),
            "Nuendo": (".npr",),
            "Pro Tools": (".ptx", ".ptf", ".pts"),
            "REAPER": (".rpp",),
            "Reason": (".reason", ".rns"),
            "Samplitude": (".vip",),
            "Studio One": (".song",),
            "Tracktion": (".tracktionedit",),
        }.items()
        for suffix in suffixes
    },
    **{
        suffix: Format(name, _EXCHANGE)
        for name, suffixes in {
            "AAF session": (".aaf",),
            "OMF session": (".omf", ".omfi"),
            "DAWproject": (".dawproject",),
            "tracker module": (".mod", ".xm", ".it", ".s3m"),
        }.items()
        for suffix in suffixes
    },
    **dict.fromkeys((".sf2", ".sfz", ".nki", ".nkx", ".gig"), Format("sampler file", _SAMPLER)),
    **dict.fromkeys(
        (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".dmg", ".iso"), Format("archive", _UNPACK)
    ),
}

# Companions of other files, not reported: presets, peaks and analyses
# (Live, REAPER, Audition, Sound Forge, WaveLab, Pro Tools, Ardour, Premiere), cue sheets, sums.
_COMPANIONS = frozenset(
    {
        *(".yaml", ".yml", ".asd", ".reapeaks", ".reapindex", ".pkf", ".sfk", ".sfl", ".gpk"),
        *(".mrk", ".wfm", ".ovw", ".peak", ".pek", ".cfa", ".cue", ".md5", ".sha256", ".lrc"),
        *(".rpp-bak", ".bak", ".lock"),
    }
)

# Known to hold no audio, so that the content need not be examined.
_NO_AUDIO = frozenset(
    {
        *(".txt", ".md", ".pdf", ".rtf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".csv", ".tsv"),
        *(".json", ".xml", ".html", ".htm", ".ini", ".cfg", ".log", ".nfo", ".url", ".lnk"),
        *(".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".svg"),
        *(".psd", ".ai", ".ttf", ".otf", ".py", ".lua", ".sh", ".bat", ".exe", ".dll", ".css"),
        *(".js", ".db", ".plist", ".webloc", ".ico", ".m3u", ".m3u8", ".pls", ".srt", ".sqlite"),
    }
)

_KNOWN_SUFFIXES = _COMPANIONS | _NO_AUDIO | FORMATS.keys()

# A file with an unknown suffix that changed within this time may be a render under a temporary
# name.
_SETTLE_S = 10.0


def describe(path: Path) -> NotRead | None:
    """Describe a file that is not read; None for a companion of other files.

    A file with an unknown suffix is opened to detect audio. Never raises.
    """
    suffix = path.suffix.lower()
    if suffix in _COMPANIONS:
        return None
    if suffix in FORMATS:
        return NotRead(path, FORMATS[suffix])
    return NotRead(path, None if suffix in _NO_AUDIO else _by_content(path))


def of_scan(found: Scan) -> tuple[NotRead, ...]:
    """All files of a scan that are not read, sorted by path."""
    described = [describe(other.path) for other in found.others]
    online = [NotRead(one.path, _ONLINE) for one in found.online_only]
    return tuple(sorted([*filter(None, described), *online], key=lambda one: one.path))


def listing(files: Sequence[NotRead], folder: Path) -> str:
    """Number and names of files in one line, those with a known format first."""
    ordered = sorted(files, key=lambda one: (one.format is None, one.path))
    names = [
        f"{_relative(one.path, folder)} ({one.format.name})"
        if one.format
        else _relative(one.path, folder)
        for one in ordered[:MAX_LISTED]
    ]
    if len(ordered) > MAX_LISTED:
        names.append(f"and {len(ordered) - MAX_LISTED} more")
    return f"{len(files)} file{'s' if len(files) > 1 else ''}: {', '.join(names)}"


def sentence(file: NotRead, folder: Path) -> str:
    """Name, format and advice for one file."""
    shown = _relative(file.path, folder)
    return f"{shown} ({file.format.name}): {file.format.advice}" if file.format else shown


def facts(file: NotRead, folder: Path) -> dict[str, str]:
    """Event facts of one file: "file", and "format" if it is known."""
    named = {"format": file.format.name} if file.format else {}
    return {"file": _relative(file.path, folder), **named}


class NotReadReporter:
    """Reports each file that is not read once.

    Args:
        report: called with files that were not reported before, never with an empty list.
        clock: wall clock in seconds, as modification times.
    """

    def __init__(
        self,
        report: Callable[[Sequence[NotRead]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._report, self._clock = report, clock
        self._reported: set[Path] = set()
        # Size and modification time of files in which no audio was found.
        self._without_audio: dict[Path, tuple[int, int]] = {}

    def walked(self, found: Scan) -> None:
        """Report the new files of a scan."""
        described = [self._described(other) for other in found.others]
        self._take([*described, *(NotRead(one.path, _ONLINE) for one in found.online_only)])

    def seen(self, other: FoundFile) -> None:
        """Report a file from an event, if it is new and its suffix is known.

        Others are left to the next scan, as a render may get its final name at the end.
        """
        if other.path.suffix.lower() in _KNOWN_SUFFIXES:
            self._take([self._described(other)])

    def _described(self, other: FoundFile) -> NotRead | None:
        if other.path in self._reported:
            return None
        if other.path.suffix.lower() in _KNOWN_SUFFIXES:
            return describe(other.path)
        state = (other.size, other.mtime_ns)
        is_fresh = abs(self._clock() - other.mtime_ns / 1e9) < _SETTLE_S
        if is_fresh or self._without_audio.get(other.path) == state:
            return None
        self._without_audio[other.path] = state
        return describe(other.path)

    def _take(self, files: Iterable[NotRead | None]) -> None:
        fresh = [one for one in files if one is not None and one.path not in self._reported]
        self._reported.update(
            one.path for one in fresh if one.format or one.path not in self._without_audio
        )
        if fresh:
            self._report(fresh)


def _by_content(path: Path) -> Format | None:
    try:
        with open_bounce(path) as file:
            kind = sniff(file)
    except UnsupportedBounce as error:
        return Format("audio by its content", str(error))
    except (StembridgeError, OSError):
        return None
    if kind.container == "MP3" and not kind.start:
        return None  # a frame sync alone proves little: text in UTF-16 can start like it
    suffix = f".{kind.container.lower()}"
    if suffix not in AUDIO_SUFFIXES:
        suffix = ".wav" if kind.container in CONTAINERS.values() else ""
    advice = f"give it a name that ends in {suffix}" if suffix else _AU.advice
    return Format(f"{kind.container} by its content", advice)


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)
