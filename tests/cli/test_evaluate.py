"""`stembridge evaluate`: what it prints where, what it writes, and the scores of real weights."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.cli.tracks import STEMS, write_track
from tests.excerpt import excerpt_path
from tests.support import require

if TYPE_CHECKING:
    from tests.cli.command import Desk, Inside

# What the released weights give on the excerpt, SDR over the whole of it in dB: the least that is
# promised, and what was measured. A tenth of a decibel is for other machines' arithmetic.
SDR_DB = {
    "spleeter:2stems": {"vocals": (5.1, 5.18), "accompaniment": (12.0, 12.13)},
    "htdemucs": {
        "drums": (10.3, 10.42),
        "bass": (3.3, 3.37),
        "other": (0.6, 0.65),
        "vocals": (5.3, 5.41),
        "accompaniment": (12.4, 12.55),
    },
}
TOLERANCE_DB = 0.1


def test_a_model_and_the_ceiling_over_two_tracks(inside: Inside, desk: Desk) -> None:
    for seed, name in enumerate(("one", "two")):
        write_track(desk.home / "songs" / name, seed)
    result = inside(
        *("evaluate", "songs", "-m", desk.model, "--oracle"), "--json", "x.json", "--csv", "x.csv"
    )
    assert result.code == 0, result
    systems = (desk.model, "oracle:irm")
    assert result.err.splitlines() == [
        f"{2 * i + j + 1}/4 {system}: {name}"
        for i, system in enumerate(systems)
        for j, name in enumerate(("one", "two"))
    ]
    titles = [line.strip() for line in result.out.splitlines() if line and line[0] not in " ─"]
    assert [title for title in titles if title in ("one", "two", "Median over 2 tracks")] == [
        "one",
        "two",
        "Median over 2 tracks",
    ]
    assert f"{desk.model}: accompaniment against bass + drums + other" in result.out
    assert "\x1b" not in result.out
    written = json.loads((desk.home / "x.json").read_text())
    stems = {(s["system"], s["stem"]) for s in written["scores"]}
    assert stems == {
        *((desk.model, stem) for stem in ("vocals", "accompaniment")),
        *(("oracle:irm", stem) for stem in (*STEMS, "accompaniment")),
    }
    with (desk.home / "x.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(written["scores"]) == 1 + 2 * 7
    for entry in written["medians"]:
        values = [s["sdr_db"] for s in written["scores"] if _key(s) == _key(entry)]
        assert entry["tracks"] == len(values) == 2
        assert entry["sdr_db"] == pytest.approx(np.median(values), abs=1e-4)
        assert f"{entry['sdr_db']:.2f}"[:-1] in result.out


def _key(entry: dict[str, str]) -> tuple[str, str]:
    return entry["system"], entry["stem"]


def test_a_table_fits_eighty_columns(inside: Inside, desk: Desk) -> None:
    write_track(desk.home / "song", 1)
    lines = inside("evaluate", "song", "--oracle").out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    (head,) = [line for line in lines if "SI-SDR" in line and not line.startswith("In dB")]
    assert head.split() == ["SDR", "SI-SDR", "SDR", "v4", "ISR", "SIR", "SAR"]


@pytest.mark.parametrize("name", ["hpss", "centre"])
def test_baselines_need_no_weights(inside: Inside, desk: Desk, name: str) -> None:
    write_track(desk.home / "song", 1)
    desk.extra["STEMBRIDGE_CACHE_DIR"] = str(desk.home / "empty")
    result = inside("evaluate", "song", "--baseline", name)
    assert result.code == 0, result
    stem = {"hpss": "percussive against drums", "centre": "centre against vocals"}[name]
    assert f"classical:{name}: {stem}" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("gone",), 2, "gone: there is no such file or folder; check the path"),
        (("empty",), 2, "no track with true stems"),
        (("song", "--baseline", "magic"), 2, "choose one of hpss, centre"),
        (("song", "-m", "spleeter:9stems"), 2, "spleeter:9stems"),
        (("song", "--oracle", "--csv", "no/x.csv"), 2, "create it first"),
        (("damaged", "--oracle"), 1, "damaged/vocals.wav: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_errors_are_one_line(
    inside: Inside, desk: Desk, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    (desk.home / "empty").mkdir()
    write_track(desk.home / "song", 1)
    write_track(desk.home / "damaged", 1)
    (desk.home / "damaged" / "vocals.wav").write_bytes(b"RIFF")
    result = inside("evaluate", *arguments)
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith("stembridge: ")
    assert complaint in line


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "weights"), [("spleeter:2stems", "spleeter-2stems"), ("htdemucs", "demucs-955717e8")]
)
def test_released_weights_on_real_music(
    inside: Inside, desk: Desk, model: str, weights: str
) -> None:
    require.weights(weights)
    result = inside("evaluate", str(excerpt_path()), "-m", model, "--json", "x.json")
    assert result.code == 0, result
    scores = json.loads((desk.home / "x.json").read_text())["scores"]
    found = {entry["stem"]: entry["sdr_db"] for entry in scores if entry["system"] == model}
    assert found.keys() == SDR_DB[model].keys()
    for stem, (least, measured) in SDR_DB[model].items():
        assert found[stem] >= least, stem
        assert abs(found[stem] - measured) <= TOLERANCE_DB, stem
