"""Evaluation apart from models: what is compared with what, what is read, what is written."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.errors import BounceError, OutputError, StembridgeError, UnsupportedBounce, UsageError
from bridge.evaluate import references, run, tables
from bridge.evaluate.matching import match
from bridge.evaluate.references import Reference, find_tracks
from bridge.evaluate.run import Evaluation, System, evaluate
from bridge.evaluate.scores import Row, Scores, score, summarise
from bridge.evaluate.stem_mp4 import open_stem_file
from tests.excerpt import excerpt, excerpt_path
from tests.support import require

Array = NDArray[np.float32]
RATE_HZ = 8000
FOUR = ("vocals", "drums", "bass", "other")
SIX = ("drums", "bass", "other", "vocals", "guitar", "piano")
TWO = ("vocals", "accompaniment")


def track(names: tuple[str, ...]) -> Reference:
    """3 s of noise for each stem, in mono: with that, BSS Eval is fast."""
    random = np.random.default_rng(len(names))
    stems = {n: 0.1 * random.standard_normal((1, 3 * RATE_HZ)).astype(np.float32) for n in names}
    return references.reference("song", RATE_HZ, stems, None)


def write(folder: Path, stems: Mapping[str, Array], rate_hz: int = RATE_HZ) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        soundfile.write(folder / f"{name}.wav", audio.T, rate_hz, subtype="FLOAT")
    return folder


def compared(estimated: tuple[str, ...], true: tuple[str, ...]) -> dict[str, str]:
    return {group.name: str(group) for group in match(estimated, true).groups}


@pytest.mark.parametrize(
    ("estimated", "true", "expected"),
    [
        (FOUR, FOUR, {name: f"{name} against {name}" for name in FOUR}),
        (
            TWO,
            FOUR,
            {
                "vocals": "vocals against vocals",
                "accompaniment": "accompaniment against drums + bass + other",
            },
        ),
        (
            FOUR,
            TWO,
            {
                "vocals": "vocals against vocals",
                "accompaniment": "drums + bass + other against accompaniment",
            },
        ),
        (SIX, FOUR, {"other": "other + guitar + piano against other"}),
        (FOUR, SIX, {"other": "other against other + guitar + piano"}),
        (
            ("vocals", "piano", "drums", "bass", "other"),
            SIX,
            {"other": "other against other + guitar"},
        ),
        (FOUR, ("vocals", "drums", "strings", "bass"), {"other": "other against strings"}),
        (
            ("harmonic", "percussive"),
            FOUR,
            {
                "drums": "percussive against drums",
                "harmonic": "harmonic against vocals + bass + other",
            },
        ),
        (
            ("centre", "sides"),
            FOUR,
            {
                "vocals": "centre against vocals",
                "accompaniment": "sides against drums + bass + other",
            },
        ),
    ],
)
def test_the_rest_is_compared_as_a_sum(
    estimated: tuple[str, ...], true: tuple[str, ...], expected: dict[str, str]
) -> None:
    found = compared(estimated, true)
    assert {name: found.get(name) for name in expected} == expected
    matching = match(estimated, true)
    assert not matching.lone_estimates
    assert not matching.lone_references
    for side, names in (("estimated", estimated), ("true", true)):
        used = [name for group in matching.groups for name in getattr(group, side)]
        assert sorted(used) == sorted(names), "each exactly once"


def test_what_the_other_set_cannot_hold_is_not_scored() -> None:
    """An instrumental has no vocals to compare with, and they are nobody's rest."""
    matching = match(FOUR, ("drums", "bass", "other"))
    assert [group.name for group in matching.groups] == ["drums", "bass", "other"]
    assert matching.notes() == ["vocals has no true stem and is not scored"]
    matching = match(FOUR, ("vocals", "drums", "bass"))
    assert matching.lone_estimates == ("other",)
    matching = match(("vocals",), ("vocals", "accompaniment"))
    assert matching.notes() == ["the true accompaniment has no estimate"]
    assert match(("other", "piano"), ("other", "guitar")).groups == ()  # the mixture itself


def test_notes_say_what_was_summed_and_only_that() -> None:
    assert match(FOUR, FOUR).notes() == []
    assert match(SIX, FOUR).notes() == ["other + guitar + piano against other"]


def test_perfect_estimates_of_halved_stems() -> None:
    """-20 log10 of what is missing; the accompaniment's row counts once, beside four stems."""
    song = track(FOUR)
    rows, notes = score("half", song, {name: 0.5 * stem for name, stem in song.stems.items()})
    assert [row.stem for row in rows] == [*FOUR, "accompaniment"]
    assert notes == []
    for row in rows:
        assert row.scores.sdr_db == pytest.approx(6.02, abs=0.01)
        assert row.scores.bss_sdr_db == pytest.approx(6.02, abs=0.01)
        assert row.scores.bss_isr_db == pytest.approx(6.02, abs=0.01)
        assert row.scores.si_sdr_db > 100


def test_sums_are_scored_as_sums() -> None:
    """Piano and guitar of a model count for the reference's other, however they are split."""
    song = track(FOUR)
    split = {name: stem for name, stem in song.stems.items() if name != "other"}
    other = song.stems["other"]
    split |= {"other": 0.2 * other, "piano": 0.9 * other, "guitar": -0.1 * other + 0.01}
    rows, notes = score("six", song, split)
    (row,) = [row for row in rows if row.stem == "other"]
    expected = 10 * np.log10(np.mean(np.square(other, dtype=np.float64)) / 0.01**2)
    assert row.scores.sdr_db == pytest.approx(expected, abs=0.01)
    assert notes == ["other + piano + guitar against other"]


def test_two_stems_have_no_second_accompaniment() -> None:
    song = track(FOUR)
    accompaniment = song.mixture - song.stems["vocals"]
    estimates = {"vocals": song.mixture, "accompaniment": accompaniment}
    rows, notes = score("two", song, estimates)
    assert [row.stem for row in rows] == ["vocals", "accompaniment"]
    assert notes == ["accompaniment against drums + bass + other"]
    rows, _ = score("one", song, {"vocals": song.mixture})
    assert [row.stem for row in rows] == ["vocals"]
    assert math.isnan(rows[0].scores.bss_sir_db)  # no other stem to hear in it
    assert not math.isnan(rows[0].scores.sdr_db)


def test_medians_are_over_the_tracks_that_have_a_score() -> None:
    def row(name: str, sdr_db: float, stem: str = "vocals") -> Row:
        return Row(name, "m", stem, Scores(sdr_db, 0, 0, 0, 0, math.nan))

    found = summarise([row("a", 1), row("b", 5), row("c", math.nan), row("a", 2, "bass")])
    assert [(one.stem, one.tracks, one.scores.sdr_db) for one in found] == [
        ("vocals", 3, 3.0),
        ("bass", 1, 2.0),
    ]
    assert math.isnan(found[0].scores.bss_sar_db)


def test_folders_at_any_depth_are_tracks(tmp_path: Path) -> None:
    song = track(TWO)
    write(tmp_path / "test" / "B", {**song.stems, "mixture": song.mixture})
    write(tmp_path / "test" / "A", song.stems)
    write(tmp_path / "loose songs", {"one": song.mixture, "two": song.mixture})
    write(tmp_path / ".hidden", song.stems)
    (tmp_path / "test" / "A" / "notes.txt").write_text("no audio")
    found = find_tracks(tmp_path)
    assert [one.name for one in found] == ["test/A", "test/B"]
    for one in found:
        loaded = one.load()
        assert tuple(sorted(loaded.stems)) == ("accompaniment", "vocals")
        np.testing.assert_array_equal(loaded.stems["vocals"], song.stems["vocals"])
        np.testing.assert_allclose(loaded.mixture, song.mixture, atol=1e-7)
        assert loaded.rate_hz == RATE_HZ
    (alone,) = find_tracks(tmp_path / "test" / "A")
    assert alone.name == "A"


def test_other_spellings_and_parts_beside_their_sum(tmp_path: Path) -> None:
    song = track(("vocals", "drums", "bass"))
    write(
        tmp_path,
        {
            "Vox": song.stems["vocals"],
            "Drums": song.stems["drums"],
            "bass": song.stems["bass"],
            "instrumental": song.stems["drums"] + song.stems["bass"],
        },
    )
    (found,) = find_tracks(tmp_path)
    loaded = found.load()
    assert sorted(loaded.stems) == ["bass", "drums", "vocals"]
    np.testing.assert_allclose(loaded.mixture, song.mixture, atol=1e-6)
    write(tmp_path, {"vocals": song.stems["vocals"]})
    with pytest.raises(UsageError, match=r"Vox\.wav and vocals\.wav are both the vocals"):
        find_tracks(tmp_path)


def test_silent_stems_and_another_mixture_are_noted(tmp_path: Path) -> None:
    song = track(FOUR)
    stems = {**song.stems, "vocals": np.zeros_like(song.mixture), "mixture": 0.5 * song.mixture}
    (found,) = find_tracks(write(tmp_path, stems))
    loaded = found.load()
    assert sorted(loaded.stems) == ["bass", "drums", "other"]
    assert loaded.notes[0] == "the true vocals is silent"
    assert "not the sum of its stems" in loaded.notes[1]
    np.testing.assert_array_equal(loaded.mixture, stems["mixture"])


@pytest.mark.parametrize(
    ("spoil", "error", "complaint"),
    [
        ("rate", UnsupportedBounce, "1 channels at 16,000 Hz"),
        ("channels", UnsupportedBounce, "2 channels at 8,000 Hz"),
        ("length", BounceError, "23,999 frames"),
        ("cut off", BounceError, "vocals.wav"),
        ("NaN", BounceError, "vocals.wav: NaN or Inf"),
        ("no audio", BounceError, "vocals.wav"),
    ],
)
def test_stems_that_cannot_be_used_are_named(
    tmp_path: Path, spoil: str, error: type[StembridgeError], complaint: str
) -> None:
    song = track(TWO)
    write(tmp_path, song.stems)
    file = tmp_path / "vocals.wav"
    audio = song.stems["vocals"].T.copy()
    if spoil == "rate":
        soundfile.write(file, audio, 16_000)
    elif spoil == "channels":
        soundfile.write(file, np.repeat(audio, 2, axis=1), RATE_HZ)
    elif spoil == "length":
        soundfile.write(file, audio[:-1], RATE_HZ)
    elif spoil == "cut off":
        file.write_bytes(file.read_bytes()[:-1000])
    elif spoil == "NaN":
        audio[5000] = np.nan
        soundfile.write(file, audio, RATE_HZ, subtype="FLOAT")
    else:
        file.write_text("not audio at all")
    with pytest.raises(error, match=complaint) as raised:
        find_tracks(tmp_path)[0].load()
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_where_there_is_no_track(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        find_tracks(tmp_path / "gone")
    with pytest.raises(UsageError, match="no track with true stems"):
        find_tracks(tmp_path)
    (tmp_path / "song.wav").write_bytes(b"")
    with pytest.raises(UsageError, match=r"not a \.stem\.mp4"):
        find_tracks(tmp_path / "song.wav")


def test_a_stem_file_is_read_by_its_own_names() -> None:
    file = open_stem_file(excerpt_path())
    assert file.names == ("Drums", "Bass", "Other", "Vox")
    assert (file.rate_hz, file.channels) == (44_100, 2)
    song = excerpt()
    assert song.name == "The Easton Ellises - Falcon 69"
    assert tuple(song.stems) == ("drums", "bass", "other", "vocals")
    assert song.mixture.shape == (2, 268_288)
    np.testing.assert_allclose(
        song.mixture, np.sum(list(song.stems.values()), axis=0, dtype=np.float32), atol=1e-6
    )
    # Whether each name is on its own stream: measured shares are 87, 65, 16 and 4 %.
    low = [_share_below_300_hz(stem) for stem in song.stems.values()]
    assert low == sorted(low, reverse=True)
    assert low[3] < 0.05


def _share_below_300_hz(stem: Array) -> float:
    power = np.square(np.abs(np.fft.rfft(stem.mean(axis=0))))
    return float(power[: 300 * stem.shape[1] // 44_100].sum() / power.sum())


def test_a_stem_file_without_names_has_those_of_musdb(tmp_path: Path) -> None:
    ffmpeg = require.program("ffmpeg", "ffmpeg")
    for count in (4, 5):
        path = tmp_path / f"{count}.stem.mp4"
        source = ("-f", "lavfi", "-i", "sine=440:duration=0.3:sample_rate=44100", "-ac", "2")
        streams = [word for _ in range(count) for word in ("-map", "0:a")]
        subprocess.run([ffmpeg, "-v", "error", *source, *streams, path], check=True)
    found = open_stem_file(tmp_path / "5.stem.mp4")
    assert found.names == ("drums", "bass", "other", "vocals")
    assert {stem.shape[0] for stem in found.read()} == {2}
    with pytest.raises(UnsupportedBounce, match="4 audio streams; a stem file has a mix and 4"):
        open_stem_file(tmp_path / "4.stem.mp4")


@pytest.mark.parametrize("name", ["-i.stem.mp4", "http:x.stem.mp4", "a\nb.stem.mp4"])
def test_stem_files_with_difficult_names(tmp_path: Path, name: str) -> None:
    shutil.copy(excerpt_path(), tmp_path / name)
    (found,) = find_tracks(tmp_path)
    assert found.load().mixture.shape == (2, 268_288)


def test_two_stems_of_one_name_are_one(tmp_path: Path) -> None:
    content = excerpt_path().read_bytes()
    path = tmp_path / "x.stem.mp4"
    path.write_bytes(content.replace(b'"Drums"', b'"Other"'))
    (found,) = find_tracks(path)
    loaded = found.load()
    assert tuple(loaded.stems) == ("other", "bass", "vocals")
    both = excerpt().stems["drums"] + excerpt().stems["other"]
    np.testing.assert_allclose(loaded.stems["other"], both, atol=1e-6)


def test_a_stem_file_that_is_damaged(tmp_path: Path) -> None:
    whole = excerpt_path().read_bytes()
    path = tmp_path / "x.stem.mp4"
    for content in (
        b"",
        whole[:400_000],  # all the headers, half the audio
        whole[:5000],
        b"RIFF" + whole[:100],
        whole.replace(b'"stems"', b'"stemz"'),
    ):
        path.write_bytes(content)
        with pytest.raises(BounceError, match=r"x\.stem\.mp4: .+") as raised:
            open_stem_file(path).read()
        assert "\n" not in str(raised.value)


def test_a_playlist_in_disguise_reads_no_address(tmp_path: Path) -> None:
    path = tmp_path / "x.stem.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n")
    with pytest.raises(BounceError, match="cannot be decoded"):
        open_stem_file(path)


def test_every_system_meets_every_track(tmp_path: Path) -> None:
    song = track(TWO)
    for name in ("a", "b"):
        write(tmp_path / name, song.stems)
    prepared: list[str] = []

    def system(name: str, gain: float) -> System:
        def prepare() -> run.Separate:
            prepared.append(name)
            return lambda it: {stem: gain * audio for stem, audio in it.stems.items()}

        return System(name, prepare)

    heard: list[str] = []
    tracks = find_tracks(tmp_path)
    done = evaluate(tracks, [system("good", 0.9), system("bad", 0.5)], heard.append)
    assert prepared == ["good", "bad"]  # each made ready once, one after the other
    assert heard == ["1/4 good: a", "2/4 good: b", "3/4 bad: a", "4/4 bad: b"]
    places = list(dict.fromkeys((row.track, row.system) for row in done.rows))
    assert places == [("a", "good"), ("a", "bad"), ("b", "good"), ("b", "bad")]
    for row in done.rows:
        assert row.scores.sdr_db == pytest.approx(20 if row.system == "good" else 6.02, abs=0.01)


def test_a_silent_track_and_one_of_one_frame_are_measured_like_others(tmp_path: Path) -> None:
    song = track(TWO)
    for name, frames, gain in (("silent", 900, 0.0), ("click", 1, 1.0), ("song", 9000, 1.0)):
        stems = {stem: gain * audio[:, :frames] for stem, audio in song.stems.items()}
        write(tmp_path / name, stems)
    mix = run.System("mixture", lambda: lambda found: dict.fromkeys(TWO, found.mixture))
    done = run.evaluate(find_tracks(tmp_path), [run.oracle(), mix], lambda _: None)
    scored = {(row.track, row.system) for row in done.rows}
    assert scored == {(t, s) for t in ("click", "song") for s in (run.ORACLE, "mixture")}
    assert {f"silent: the true {stem} is silent" for stem in TWO} <= {*done.notes}


def test_the_oracle_sees_the_true_stems() -> None:
    song = track(FOUR)
    estimates = run.oracle().prepare()(song)
    assert tuple(estimates) == tuple(song.stems)
    rows, _ = score("oracle", song, estimates)
    doing_nothing, _ = score("mixture", song, dict.fromkeys(song.stems, song.mixture))
    for best, floor in zip(rows, doing_nothing, strict=True):
        assert best.scores.sdr_db > floor.scores.sdr_db + 5


def test_csv_and_json_hold_the_same_and_no_nan(tmp_path: Path) -> None:
    scores = Scores(1.23456789, -math.inf, math.inf, math.nan, 4.0, 5.0)
    rows = (Row("a, b", "m", "vocals", scores), Row("ü", "m", "bass", scores))
    done = Evaluation(rows, ("a note",))
    tables.write_csv(tmp_path / "x.csv", rows)
    tables.write_json(tmp_path / "x.json", done)
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    written = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert written["notes"] == ["a note"]
    assert [one["stem"] for one in written["medians"]] == ["vocals", "bass"]
    for line, entry in zip(lines, written["scores"], strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in entry.items()}
    first = written["scores"][0]
    assert (first["track"], first["sdr_db"], first["bss_sir_db"]) == ("a, b", 1.2346, 4.0)
    assert [name for name, value in first.items() if value is None] == [
        "si_sdr_db",
        "bss_sdr_db",
        "bss_isr_db",
    ]


def test_the_name_of_a_track_need_be_no_text(tmp_path: Path) -> None:
    row = Row("caf\udce9", "m", "vocals", Scores(*[1.0] * 6))
    tables.write_csv(tmp_path / "x.csv", [row])
    tables.write_json(tmp_path / "x.json", Evaluation((row,), ()))
    assert b"caf\xe9,m,vocals" in (tmp_path / "x.csv").read_bytes()
    written = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert written["scores"][0]["track"] == "caf\udce9"


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        tables.check_writable(tmp_path)
    with pytest.raises(UsageError, match="create it first"):
        tables.check_writable(tmp_path / "gone" / "x.csv")
    tables.check_writable(tmp_path / "x.csv")
    with pytest.raises(OutputError, match="cannot be written"):
        tables.write_csv(tmp_path / "gone" / "x.csv", ())
    with pytest.raises(OutputError, match="cannot be written"):
        tables.write_json(tmp_path, Evaluation((), ()))
