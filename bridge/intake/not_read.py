"""Files in a folder that are not read, and what they are: nobody should wait for their stems.

What can be a bounce is decided in `scan`. Here are names for the rest: formats of sound, notes and
projects that somebody may have put there for their stems, and sound whose name does not say so.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.chunks import CONTAINERS, reading
from bridge.audio.headers import sniff
from bridge.errors import StembridgeError, UnsupportedBounce
from bridge.intake.scan import AUDIO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bridge.intake.scan import FoundFile, Scan

#: Names in one line; the rest are counted.
MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. name: what it is. advice: what to do instead, as the end of a sentence."""

    name: str
    advice: str


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file that is not read. format: None for what nobody takes for sound, such as a text."""

    path: Path
    format: Format | None = None


_NOTES = Format("MIDI", "notes, no sound: render it in the DAW")
_DRM = Format("copy-protected", "no other program can open it: export the sound as WAV")
_OTHER_SOUND = "export it as WAV, AIFF or FLAC"
_PROJECT = "render the mix in the DAW"
_EXCHANGE = "open it in the DAW and render the mix"
_UNPACK = "unpack it first"
_VIDEO = "export its sound as WAV"
_SAMPLER = "sounds for an instrument: render them in the DAW"
_ONLINE = Format("online only", "make it available on this device")
_AU = Format("AU", "`stembridge split` reads it; in folders use WAV, AIFF or FLAC")

# By suffix. What `scan` takes for a bounce never gets here, whatever this says.
FORMATS: dict[str, Format] = {
    **dict.fromkeys((".mid", ".midi", ".kar", ".smf"), _NOTES),
    **dict.fromkeys((".m4p", ".aax", ".aaxc", ".aa"), _DRM),
    **dict.fromkeys((".au", ".snd"), _AU),
    **{
        suffix: Format(name, _OTHER_SOUND)
        for name, suffixes in {
            "AAC": (".m4a", ".m4b", ".m4r", ".aac", ".adts"),
            "Dolby": (".ac3", ".eac3", ".ec3", ".thd", ".mlp"),
            "DTS": (".dts", ".dtshd"),
            "Windows Media": (".wma",),
            "WavPack": (".wv",),
            "Monkey's Audio": (".ape",),
            "Musepack": (".mpc",),
            "True Audio": (".tta",),
            "TAK": (".tak",),
            "Shorten": (".shn",),
            "OptimFROG": (".ofr",),
            "AMR": (".amr", ".awb"),
            "Speex": (".spx",),
            "Matroska audio": (".mka",),
            "MPEG audio": (".mp2", ".mp1", ".mpa"),
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
        (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".mpg", ".mpeg", ".flv", ".mts"),
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

# They belong to a sound file, or to a folder, and are worth no word: presets, peaks and analyses
# (Live, REAPER, Audition, Sound Forge, WaveLab, Pro Tools, Ardour, Premiere), cue sheets, sums.
_COMPANIONS = frozenset(
    {
        *(".yaml", ".yml", ".asd", ".reapeaks", ".reapindex", ".pkf", ".sfk", ".sfl", ".gpk"),
        *(".mrk", ".wfm", ".ovw", ".peak", ".pek", ".cfa", ".cue", ".md5", ".sha256", ".lrc"),
        *(".rpp-bak", ".bak", ".lock"),
    }
)

# Known to be no sound, so that nobody has to look inside.
_NO_SOUND = frozenset(
    {
        *(".txt", ".md", ".pdf", ".rtf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".csv", ".tsv"),
        *(".json", ".xml", ".html", ".htm", ".ini", ".cfg", ".log", ".nfo", ".url", ".lnk"),
        *(".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".svg"),
        *(".psd", ".ai", ".ttf", ".otf", ".py", ".lua", ".sh", ".bat", ".exe", ".dll", ".css"),
        *(".js", ".db", ".plist", ".webloc", ".ico", ".m3u", ".m3u8", ".pls", ".srt", ".sqlite"),
    }
)

_TELLING = _COMPANIONS | _NO_SOUND | FORMATS.keys()

# A file without a telling suffix that changed later than this may be a render under a name for the
# time being.
_UNCHANGED_S = 10.0


def describe(path: Path) -> NotRead | None:
    """A file that is not read; None for one that only belongs to others.

    A file whose suffix says nothing is opened, in case it holds sound. Never raises.
    """
    suffix = path.suffix.lower()
    if suffix in _COMPANIONS:
        return None
    if suffix in FORMATS:
        return NotRead(path, FORMATS[suffix])
    return NotRead(path, None if suffix in _NO_SOUND else _by_content(path))


def of_scan(found: Scan) -> tuple[NotRead, ...]:
    """All files of a walk that are not read, by path."""
    described = [describe(other.path) for other in found.others]
    online = [NotRead(one.path, _ONLINE) for one in found.online_only]
    return tuple(sorted([*filter(None, described), *online], key=lambda one: one.path))


def listing(files: Sequence[NotRead], folder: Path) -> str:
    """How many, and the names on one line; those first that somebody may have meant as bounces."""
    ordered = sorted(files, key=lambda one: (one.format is None, one.path))
    names = [
        f"{_shown(one.path, folder)} ({one.format.name})"
        if one.format
        else _shown(one.path, folder)
        for one in ordered[:MAX_LISTED]
    ]
    if len(ordered) > MAX_LISTED:
        names.append(f"and {len(ordered) - MAX_LISTED} more")
    return f"{len(files)} file{'s' if len(files) > 1 else ''}: {', '.join(names)}"


def sentence(file: NotRead, folder: Path) -> str:
    """One file, what it is and what to do instead."""
    shown = _shown(file.path, folder)
    return f"{shown} ({file.format.name}): {file.format.advice}" if file.format else shown


def facts(file: NotRead, folder: Path) -> dict[str, str]:
    """The same for a log: file, and where it is known, format."""
    named = {"format": file.format.name} if file.format else {}
    return {"file": _shown(file.path, folder), **named}


class NotReadReporter:
    """Reports each file that is not read once, as long as a service runs.

    Args:
        report: gets those that were not reported before, never an empty list.
        clock: wall clock seconds, as in modification times.
    """

    def __init__(
        self,
        report: Callable[[Sequence[NotRead]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._report, self._clock = report, clock
        self._reported: set[Path] = set()
        # Looked into, and no sound found: by size and modification time.
        self._looked_into: dict[Path, tuple[int, int]] = {}

    def walked(self, found: Scan) -> None:
        """Reports what is new in a walk."""
        described = [self._described(other) for other in found.others]
        self._take([*described, *(NotRead(one.path, _ONLINE) for one in found.online_only)])

    def seen(self, other: FoundFile) -> None:
        """Reports a file that an event named, if it is new and its suffix says what it is.

        What it holds is for a walk to find out: it may be a render that gets its name at the end.
        """
        if other.path.suffix.lower() in _TELLING:
            self._take([self._described(other)])

    def _described(self, other: FoundFile) -> NotRead | None:
        if other.path in self._reported:
            return None
        if other.path.suffix.lower() in _TELLING:
            return describe(other.path)
        state = (other.size, other.mtime_ns)
        is_fresh = abs(self._clock() - other.mtime_ns / 1e9) < _UNCHANGED_S
        if is_fresh or self._looked_into.get(other.path) == state:
            return None
        self._looked_into[other.path] = state
        return describe(other.path)

    def _take(self, files: Iterable[NotRead | None]) -> None:
        fresh = [one for one in files if one is not None and one.path not in self._reported]
        self._reported.update(
            one.path for one in fresh if one.format or one.path not in self._looked_into
        )
        if fresh:
            self._report(fresh)


def _by_content(path: Path) -> Format | None:
    try:
        with reading(path) as file:
            kind = sniff(file)
    except UnsupportedBounce as error:
        return Format("sound by its content", str(error))
    except (StembridgeError, OSError):
        return None
    if kind.container == "MP3" and not kind.start:
        return None  # without a tag it is too short a sign: text in UTF-16 can begin like that
    suffix = f".{kind.container.lower()}"
    if suffix not in AUDIO_SUFFIXES:
        suffix = ".wav" if kind.container in CONTAINERS.values() else ""
    advice = f"give it a name that ends in {suffix}" if suffix else _AU.advice
    return Format(f"{kind.container} by its content", advice)


def _shown(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)
