"""Stem files: which sets fit, and where the box with the names goes.

That other programs read the result is shown in tests/daw/test_stem_mp4.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.audio.mp4_input import list_streams
from bridge.daw import stem_mp4
from bridge.daw.session import Clip, SoundFile, from_manifest, merge_sessions
from bridge.errors import SessionError
from tests.daw.sets import FOUR, manifest, session, write_set

BOUNCE = Path("/music/Mix.wav")


def box(kind: bytes, data: bytes) -> bytes:
    return (8 + len(data)).to_bytes(4, "big") + kind + data


def names(stem: bytes) -> list[str]:
    assert stem[4:8] == b"stem"
    assert int.from_bytes(stem[:4], "big") == len(stem)
    content = json.loads(stem[8:])
    assert content["version"] == 1
    assert not content["mastering_dsp"]["compressor"]["enabled"]
    assert not content["mastering_dsp"]["limiter"]["enabled"]
    return [one["name"] for one in content["stems"]]


def test_the_names_get_a_box_of_their_own() -> None:
    inner = box(b"mvhd", b"12345") + box(b"trak", b"t")
    made = stem_mp4.with_names(box(b"moov", inner))
    assert made[8 : 8 + len(inner)] == inner
    udta = made[8 + len(inner) :]
    assert (udta[4:8], int.from_bytes(udta[:4], "big")) == (b"udta", len(udta))
    assert int.from_bytes(made[:4], "big") == len(made)
    assert names(udta[8:]) == ["Drums", "Bass", "Other", "Vocals"]


def test_user_data_that_is_there_stays() -> None:
    before, after = box(b"trak", b"t"), box(b"free", b"")
    made = stem_mp4.with_names(box(b"moov", before + box(b"udta", box(b"meta", b"m")) + after))
    assert made[8 : 8 + len(before)] == before
    assert made.endswith(after)
    udta = made[8 + len(before) : -len(after)]
    assert udta[8 : 8 + 9] == box(b"meta", b"m")
    assert names(udta[17:]) == ["Drums", "Bass", "Other", "Vocals"]


def refused(made: object, tmp_path: Path, match: str) -> None:
    path = tmp_path / "x.stem.mp4"
    with pytest.raises(SessionError, match=match):
        stem_mp4.write(made, path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_other_sets_are_refused(tmp_path: Path) -> None:
    plain = session(BOUNCE)
    refused(session(BOUNCE, ["vocals", "accompaniment"]), tmp_path, "not 'accompaniment'")
    refused(session(BOUNCE, ["vocals", "drums", "other"]), tmp_path, "needs bass")
    refused(session(BOUNCE, []), tmp_path, "not 1|one bounce|needs")
    refused(session(BOUNCE, channels=1), tmp_path, "stereo")
    refused(session(BOUNCE, channels=6), tmp_path, "stereo")
    (two,) = merge_sessions("Album", [plain, session(BOUNCE.with_name("B.wav"))])
    refused(two, tmp_path, "write one for each")
    refused(replace(plain, tracks=plain.tracks[1:]), tmp_path, "one bounce")


def test_a_stem_of_another_length_is_refused(tmp_path: Path) -> None:
    plain = session(BOUNCE)
    folder = plain.tracks[1]
    short = Clip(SoundFile(BOUNCE, 999, 2), "drums", 0, 999)
    children = (replace(folder.children[0], clips=(short,)), *folder.children[1:])
    made = replace(plain, tracks=(plain.tracks[0], replace(folder, children=children)))
    refused(made, tmp_path, "999 frames, the mix has 1,000")


def test_a_file_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    refused(session(tmp_path / "gone" / "Mix.wav"), tmp_path, r"Mix\.wav: cannot be read: ")


def test_a_mixdown_is_left_out(tmp_path: Path) -> None:
    stems = [*FOUR, "instrumental"]
    write_set(tmp_path / "Mix.wav", stems, frames=2_000)
    data = manifest(tmp_path / "Mix.wav", stems, frames=2_000)
    data["stems"][-1]["mixdown"] = True
    path = tmp_path / "Mix.stem.mp4"
    stem_mp4.write(from_manifest(data, tmp_path), path)
    assert len(list_streams(path)) == 5
