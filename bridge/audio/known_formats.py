"""Formats that are recognised but not read, by their first bytes, for specific error messages."""

from __future__ import annotations

from bridge.errors import BounceError, NotAudio, UnsupportedBounce

HEAD_BYTES = 512
"""Of a file, to know all of these."""

_EXPORT = "export WAV, AIFF or FLAC"
_OF_SOUND = f"which is not read; {_EXPORT}"

# (offset, bytes): what it is. The first that fits counts.
_SOUNDS = {
    (0, b"TTA1"): "a True Audio (TTA)",
    (0, b"TTA2"): "a True Audio (TTA)",
    (0, b"OFR "): "an OptimFROG",
    (0, b"ajkg"): "a Shorten",
    (0, b"MPCK"): "a Musepack",
    (0, b"MP+"): "a Musepack",
    (0, b"tBaK"): "a TAK",
    (0, b"LA02"): "a Lossless Audio (LA)",
    (0, b"LA03"): "a Lossless Audio (LA)",
    (0, b"LA04"): "a Lossless Audio (LA)",
    (0, b"MAC "): "a Monkey's Audio",
    (0, b"DSD "): "a DSD (DSF)",
    (0, b"FRM8"): "a DSD (DSDIFF)",
    (0, b".ra\xfd"): "a RealAudio",
    (0, b".RMF"): "a RealMedia",
    (0, b"#!SILK_V3"): "a SILK",
    (1, b"#!SILK_V3"): "a SILK",
    (0, b"ADIF"): "an AAC (ADIF)",
    (0, b"\x7f\xfe\x80\x01"): "a DTS",
    (0, b"\xfe\x7f\x01\x80"): "a DTS",
    (0, b"DTSHDHDR"): "a DTS-HD",
    (0, b"\x1fDe\xff"): "an IRCAM",
    (0, b"\x64\xa3\x01\x00"): "an IRCAM",
    (0, b"\x64\xa3\x02\x00"): "an IRCAM",
    (0, b"\x64\xa3\x03\x00"): "an IRCAM",
    (0, b"\x00\x01\xa3\x64"): "an IRCAM",
    (0, b"\x00\x02\xa3\x64"): "an IRCAM",
    (0, b" paf"): "an Ensoniq PARIS",
    (0, b"fap "): "an Ensoniq PARIS",
    (0, b"PVF1"): "a PVF",
    (0, b"PVF2"): "a PVF",
    (0, b"2BIT"): "an AVR",
    (0, b"ALawSoundFile**"): "a Psion",
    (0, b"Extended Instrument: "): "a FastTracker instrument",
    (0, b"\xf0\x7e"): "a MIDI sample dump",
    (0, b"SOUND\x1a"): "a Sounder",
    (8, b"REX2"): "a REX2 loop",
}
_VIDEOS = {
    (8, b"AVI "): "an AVI",
    (0, b"FLV\x01"): "a Flash video",
    (0, b"\0\0\x01\xba"): "an MPEG video",
    (0, b"\0\0\x01\xb3"): "an MPEG video",
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"): "an MXF",
    (0, b"NUTF"): "a NUT",
    (0, b"nut/multimedia container\0"): "a NUT",
}
_NO_SOUND = {
    (0, b"MThd"): ("a MIDI file", "it holds notes, no sound: play it through an instrument"),
    (8, b"RMID"): ("a MIDI file", "it holds notes, no sound: play it through an instrument"),
    (8, b"sfbk"): ("a SoundFont", "it holds an instrument, no music: play it"),
    (0, b"Extended Module: "): ("a tracker module", "it holds notes and instruments: play it"),
    (0, b"IMPM"): ("a tracker module", "it holds notes and instruments: play it"),
    (44, b"SCRM"): ("a tracker module", "it holds notes and instruments: play it"),
}
_PROJECTS = {
    (0, b"\x03" + b"0010111100101011"): "a Pro Tools session",
    (0, b"FLhd"): "an FL Studio project",
    (0, b"<REAPER_PROJECT"): "a REAPER project",
    (8, b"NUND"): "a Cubase or Nuendo project",
    (0, b"BtWg"): "a Bitwig Studio project",
    (0, b"CAKEWALK"): "a Cakewalk project",
    (8, b"REAS"): "a Reason song",
    (0, b"SQLite format 3\0"): "a database, as Audacity keeps its projects in",
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"): "an AAF or another compound document",
    (0, b"#\x47\xc0\xab"): "a Logic project",
}
_ARCHIVES = {
    (0, b"PK\x03\x04"): "a zip archive (Studio One songs, DAWprojects and others are that, too)",
    (0, b"PK\x05\x06"): "an empty zip archive",
    (0, b"7z\xbc\xaf\x27\x1c"): "a 7-Zip archive",
    (0, b"Rar!\x1a\x07"): "a RAR archive",
    (0, b"\x1f\x8b"): "compressed by gzip (an Ableton Live set is that, too)",
    (0, b"BZh"): "compressed by bzip2",
    (0, b"\xfd7zXZ\0"): "compressed by xz",
    (0, b"\x28\xb5\x2f\xfd"): "compressed by Zstandard",
    (257, b"ustar"): "a tar archive",
}
# Words within the first bytes of an XML file.
_XML = {
    b"<Session": "a session in XML, as Ardour keeps it",
    b"<Ableton": "an Ableton Live set",
    b"<sesx": "an Audition session",
    b"audacity.sourceforge.net": "an Audacity project",
    b"<lmms-project": "an LMMS project",
    b"<fcpxml": "a Final Cut project",
    b"<xmeml": "a Final Cut project",
}


def known_format_error(head: bytes) -> BounceError | None:
    """Return the error for a file of a known format that is not read; None for others."""
    for names in (_SOUNDS, _VIDEOS):
        if name := _found(names, head):
            return UnsupportedBounce(f"{name} file, {_OF_SOUND}")
    for (at, magic), (what, advice) in _NO_SOUND.items():
        if head.startswith(magic, at):
            return NotAudio(f"not audio: {what}; {advice} in the DAW and {_EXPORT}")
    if name := _found(_PROJECTS, head) or _xml(head):
        return NotAudio(f"not audio: {name}; open it in its program and {_EXPORT}")
    if name := _found(_ARCHIVES, head):
        return NotAudio(f"not audio: {name}; unpack it, or {_EXPORT} from the DAW")
    return None


def _found(names: dict[tuple[int, bytes], str], head: bytes) -> str | None:
    return next((name for (at, magic), name in names.items() if head.startswith(magic, at)), None)


def _xml(head: bytes) -> str | None:
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return None
    return next((name for word, name in _XML.items() if word in head), None)
