"""The fields of manifest.json: names and types from the dataclasses, meanings from here."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from bridge.audio.metadata.model import Mark
from bridge.publish.manifest import Manifest, SessionFacts, SourceFacts, StemFacts
from docs.generate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Mapping

# Dataclass -> field -> meaning; a test names what is missing here.
MEANINGS: Mapping[type, Mapping[str, str]] = {
    Manifest: {
        "source": "the bounce, see below",
        "stems": "the published audio files, see below",
        "gain_db": "the one gain on every file; `null` where each file has its own",
        "null_residual_dbfs": (
            'peak of *sum of the stems − gain × bounce*, read back from the files; `"-inf"` when '
            "nothing is left, `null` when the files are not meant to add up to the bounce"
        ),
        "model": "`name`, `version`, `device` and `precision` of the separation",
        "preset": "`name` of the preset, and `hash` of everything in it that changes the sound",
        "warnings": "what you should know, such as clipped values or a lossy bounce",
        "not_carried": "metadata of the bounce that the stems do not have",
        "seconds": "duration of each stage",
        "versions": "versions that the numbers may depend on",
        "aligned": "false where `trim_silence` shortened the files",
        "tail_frames": "how much longer than the bounce the files are (`tails: keep`)",
        "sessions": "the session files, see below",
        "plugins": "by file name: `version` and `sha256` of each VST3 or Audio Unit that ran",
    },
    SourceFacts: {
        "path": "where the bounce was",
        "sha256": "checksum of the file",
        "frames": "length; of a truncated bounce, the frames that are there",
        "rate_hz": "sample rate",
        "channels": "number of channels",
        "container": "file format",
        "subtype": "depth or codec",
        "time_reference": "frames since midnight at the sample rate; `null` without one",
        "peak_dbfs": "highest value; `null` for silence",
        "truncated": "true when a bounce was taken that is cut off (`--accept-truncated`)",
        "claimed_frames": "of a truncated bounce, the length in its header; `null` if not stated",
        "repaired_values": "values that were NaN, Inf or beyond +120 dBFS (`--repair`)",
        "tempo_bpm": "quarter notes per minute; `null` if not stated",
        "marks": "cue points, markers and regions, see below",
    },
    Mark: {
        "position_frames": "position, from the bounce's first frame",
        "name": "its text",
        "length_frames": "length of a region; 0 for a point",
    },
    StemFacts: {
        "name": "name of the stem or mixdown",
        "path": "file, relative to the manifest",
        "frames": "length",
        "rate_hz": "sample rate",
        "channels": "number of channels",
        "subtype": "depth or codec",
        "peak_dbfs": "highest value in the file; `null` for silence",
        "clipped_values": "values at full scale that were limited to fit the depth",
        "sha256": "checksum of the file",
        "true_peak_dbtp": "highest point of the curve through the values",
        "lufs": "integrated loudness (ITU-R BS.1770-4); `null` when too short or silent",
        "dc_dbfs": "largest constant offset of a channel; `null` for silence",
        "gain_db": "gain of headroom and normalisation",
        "dither": "`none`, `tpdf` or `shaped`",
        "start_frame": "where in the bounce the file begins; 0 unless it was trimmed",
        "encoder_delay_frames": "frames that a lossy encoder adds in front, which players skip",
        "mixdown": "true when the file holds what other files hold too",
    },
    SessionFacts: {
        "name": "kind of session, such as `reaper`",
        "path": "file, relative to the manifest",
        "sha256": "checksum of the file as it was written",
    },
}

_TITLES = {
    Manifest: "Top level",
    SourceFacts: "source",
    Mark: "source.marks",
    StemFacts: "stems",
    SessionFacts: "sessions",
}
_HEAD = (
    ("`generator`", "str", "always `stembridge`: how Stembridge recognises its own output"),
    ("`schema`", "int", "version of this format"),
)


def reference() -> str:
    """A table for each object of the manifest."""
    return "\n".join(_section(kind) for kind in _TITLES)


def _section(kind: type) -> str:
    rows = [
        (f"`{each.name}`", _type(str(each.type)), MEANINGS[kind].get(each.name, ""))
        for each in fields(kind)
    ]
    head = _HEAD if kind is Manifest else ()
    found = table(("field", "type", "meaning"), (*head, *rows))
    return f"### {_TITLES[kind]}\n\n{found}"


def _type(annotation: str) -> str:
    """The annotation in the words of JSON."""
    for python, json in (
        ("SourceFacts", "object"),
        ("tuple[", "list["),
        ("StemFacts, ...", "object"),
        ("SessionFacts, ...", "object"),
        ("Mark, ...", "object"),
        ("str, ...", "str"),
        ("dict[", "object["),
        ("None", "null"),
    ):
        annotation = annotation.replace(python, json)
    return annotation.replace(" | ", " or ")
