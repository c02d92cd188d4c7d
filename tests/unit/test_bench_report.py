"""The bench: figures from runs, tables from figures, and its instruments on known quantities."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from separator.weights.formats import read_spleeter, read_tensorflow
from tests.bench import measure, music, peers, report, results, targets
from tests.bench.__main__ import main
from tests.bench.compare import NotAlike, snr_db
from tests.bench.measure import CommandFailed, Usage
from tests.bench.peers import Command, NotMeasured, Peer
from tests.bench.results import Entry, Length, Limits, Race, Spread
from tests.bench.weights import tensorflow_variables
from tests.support import GOLDEN, ROOT

MB = 1_000_000


def usage(wall_s: float, tree_mb: int = 0, process_mb: int = 0) -> Usage:
    return Usage(wall_s, 2 * wall_s, process_mb * MB or None, tree_mb * MB or None)


def entry(name: str, *walls: float, peer: bool = False, **more: object) -> Entry:
    return Entry(name, peer=peer, runs=[usage(wall) for wall in walls], **more)  # type: ignore[arg-type]


def cells(text: str) -> list[list[str]]:
    """A Markdown table without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


# Figures from runs


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=30))
def test_a_spread_is_in_order_and_agrees_with_numpy(walls: list[float]) -> None:
    spread = Spread.of(walls)
    found = (spread.least, spread.quarter, spread.median, spread.three_quarters)
    assert found == pytest.approx(np.quantile(walls, [0, 0.25, 0.5, 0.75]), rel=1e-9)


def test_ratios_are_of_medians_and_of_minima() -> None:
    peer, ours = entry("peer", 30, 33, 60, peer=True), entry("ours", 10, 11, 12)
    assert results.ratios(peer, ours) == (3.0, 3.0)
    assert results.ratios(peer, Entry("ours")) is None


def test_the_larger_of_both_memories_counts() -> None:
    one = Entry("a", runs=[usage(1, process_mb=800), usage(1, process_mb=900)])
    assert one.peak_bytes == 900 * MB
    one.memory = usage(1, tree_mb=1000, process_mb=700)
    assert one.peak_bytes == 1000 * MB
    assert one.process_peak_bytes == 900 * MB
    assert Entry("b").peak_bytes is None


def test_stages_add_up_to_the_process() -> None:
    one = entry("a", 10, 12, 11)
    one.stages = [{"separate": wall - 3, "encode": 1.0} for wall in (10, 12, 11)]
    assert one.stage_s() == {"separate": 8, "encode": 1, "start and end": 2}


@pytest.mark.parametrize(
    ("sums", "expected"),
    [([], None), ([("a",)], None), ([("a",), ("a",)], True), ([("a",), ("a",), ("b",)], False)],
)
def test_repeatable(sums: list[tuple[str, ...]], expected: bool | None) -> None:
    assert Entry("a", sums=sums).repeatable is expected


def test_segments_of_a_minute_are_those_that_demucs_shows() -> None:
    assert results.segments(60) == 11  # its progress bar ends at 11 x 5.85 s = 64.35 s
    assert results.segment_limit_s(224) == 1


# Tables from figures


def race(*entries: Entry) -> Race:
    return Race("htdemucs", 60, entries)


def test_a_race_compares_with_its_first_peer_that_ran() -> None:
    broken = Entry("peer 1", peer=True, missing="no network")
    peer, ours = entry("peer 2", 20, peer=True), entry("ours", 5, snr_db={"a": 90.0, "b": 80.0})
    text = report.race(race(broken, peer, ours))
    _, second, third = cells(text)
    assert second[0] == "peer 2"
    assert second[4] == report.NONE
    assert (third[0], third[1], third[4], third[9]) == ("ours", "5.00", "4.00", "80.0")
    assert "- peer 1: not measured: no network" in text


def test_a_race_without_any_peer_has_no_ratio() -> None:
    text = report.race(race(Entry("peer", peer=True, missing="no Python"), entry("ours", 5)))
    assert cells(text)[1][4] == report.NONE
    assert "no Python" in text


def test_a_program_that_fails_halfway_shows_its_runs_and_the_reason() -> None:
    text = report.race(race(entry("ours", 5, missing="killed")))
    assert cells(text)[1][0] == "ours"
    assert "not measured: killed" in text


def test_limits_take_the_entry_of_their_precision() -> None:
    ours = entry("stembridge, bfloat16", 14)
    ours.stages = [{"separate": 11.0}]  # 1 s for each of 11 segments
    limit = Limits(2, {"float32": 112.0, "bfloat16": 448.0}, {"float32": 4.0})
    found = report.limits(race(entry("peer", 30, peer=True), ours), limit)
    assert cells(found)[1:] == [
        ["float32", "112", "2.000", "4.00", "2.00", report.NONE, report.NONE],
        ["bfloat16", "448", "0.500", report.NONE, report.NONE, "1.00", "2.00"],
    ]


def test_a_precision_that_nobody_asked_for_is_not_guessed() -> None:
    ours = entry("stembridge", 14)
    ours.stages = [{"separate": 11.0}]
    assert report.within_separation_s(race(ours), "float32") is None


def test_the_best_of_two_looks_at_the_limits_counts() -> None:
    first = Limits(2, {"float32": 100.0, "bfloat16": 400.0}, {"float32": 4.0})
    second = Limits(2, {"float32": 120.0, "bfloat16": 300.0}, {"float32": 5.0, "bfloat16": 2.0})
    best = first.best_with(second)
    assert best.gflop_per_s == {"float32": 120.0, "bfloat16": 400.0}
    assert best.segment_s == {"float32": 4.0, "bfloat16": 2.0}


def test_growth_is_against_the_first_length_of_the_same_model() -> None:
    def length(model: str, minutes: float, separate_s: float, tree_mb: int) -> Length:
        one = Entry("x", runs=[usage(separate_s + 1)], memory=usage(1, tree_mb))
        one.stages = [{"separate": separate_s}]
        return Length(model, minutes, one)

    lengths = [
        length("htdemucs", 1, 11, 1000),
        length("htdemucs", 10, 103, 1100),
        length("spleeter:2stems", 1, 2, 600),
        length("spleeter:2stems", 10, 22, 690),
    ]
    rows = cells(report.growth(lengths))[1:]
    assert [row[4] for row in rows] == ["1.000", "1.000", "1.000", "1.100"]
    assert [row[6] for row in rows] == ["1.000", "1.100", "1.000", "1.150"]
    kept = [target.kept for target in targets.of_growth(lengths)]
    assert kept == [True, True, False, False]


def preset(name: str, **stages: float) -> Entry:
    return entry(name, 10, stages=[stages])


def test_the_cost_of_a_chain_is_over_the_separation() -> None:
    plain = preset("stems", separate=4.0, encode=0.2)
    dear = preset("dear", separate=4.0, chain=0.3, encode=0.3)  # its order is the table's
    cheap = preset("cheap", separate=4.0, encode=0.1)
    shares = [report.chain_share(plain, one) for one in (plain, dear, cheap)]
    assert shares == pytest.approx([0, 0.1, 0])
    rows = cells(report.stages("spleeter", [plain, dear, cheap]))
    assert [name.split()[0] for name in rows[0][1:4]] == ["separate", "chain", "encode"]
    assert [row[-1] for row in rows[1:]] == ["0.0 %", "10.0 %", "0.0 %"]
    assert [t.kept for t in targets.of_presets("m", [plain, dear, cheap])] == [True, False, True]


def test_targets_of_a_race() -> None:
    peer, ours = entry("peer", 30, peer=True), entry("stembridge", 10)
    ours.memory = usage(10, tree_mb=1300)
    limit = Limits(2, {"float32": 1.0, "bfloat16": 1.0}, {})
    rows = [target.row() for target in targets.of_race(race(peer, ours), limit)]
    assert [row[1:] for row in rows] == [
        ["at least 3.00", "3.00", "yes"],
        ["at most 1200", "1300", "no"],
    ]
    assert not list(targets.of_race(race(Entry("peer", peer=True, missing="no")), None))


@given(st.lists(st.lists(st.text("ab |µ", max_size=8), min_size=3, max_size=3), max_size=5))
def test_tables_line_up(rows: list[list[str]]) -> None:
    lines = report.table(("one", "two", "three"), rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({len(line) for line in lines}) == 1


def test_sections_are_replaced_and_the_rest_is_kept() -> None:
    old = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n<!-- y -->\n<!-- end of y -->\n"
    new = report.replaced(old, {"x": r"new \1"})
    assert (
        new == "a\n<!-- x -->\n\nnew \\1\n\n<!-- end of x -->\nb\n<!-- y -->\n<!-- end of y -->\n"
    )
    assert report.replaced(new, {"x": r"new \1"}) == new
    with pytest.raises(ValueError, match="<!-- z -->"):
        report.replaced(old, {"z": ""})


def test_the_document_has_a_place_for_every_section() -> None:
    document = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    names = ("machine", "targets", "htdemucs", "spleeter", "growth", "stages")
    report.replaced(document, dict.fromkeys(names, ""))


# Instruments


def python(code: str, **environment: str) -> Command:
    return Command((sys.executable, "-c", code), environment)


def test_a_run_has_its_time_and_its_environment(tmp_path: Path) -> None:
    code = "import os, time; time.sleep(0.3); print(os.environ['ASKED'])"
    found = measure.run(python(code, ASKED="yes"), tmp_path / "log")
    assert found.wall_s >= 0.3
    assert found.tree_peak_bytes is None
    assert (tmp_path / "log").read_text().strip() == "yes"


@pytest.mark.skipif(sys.platform == "win32", reason="no wait4 there")
def test_time_of_the_processor_is_that_of_the_children_too(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    found = measure.run(python(code), tmp_path / "log")
    assert found.cpu_s is not None
    assert found.cpu_s >= 0.5


def test_memory_is_summed_over_processes(tmp_path: Path) -> None:
    """Parent and child hold 60 MB each, until the parent's second has passed.

    Measured by a small process: the kernel's peak counts what a process was forked from.
    """
    hold = "held = bytearray(b'x') * 60_000_000; import time; time.sleep(1)"
    code = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {hold!r}]);{hold};"
    program = (
        "import json, sys, pathlib; from tests.bench import measure, peers\n"
        "command = peers.Command((sys.executable, '-c', sys.argv[1]))\n"
        "found = measure.run(command, pathlib.Path(sys.argv[2]), sampled=True)\n"
        "print(json.dumps([found.tree_peak_bytes, found.process_peak_bytes]))"
    )
    words = [sys.executable, "-c", program, f"{code} c.wait()", str(tmp_path / "log")]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tree_bytes, process_bytes = json.loads(told)
    assert tree_bytes > 118 * MB
    if process_bytes is not None:
        assert 60 * MB < process_bytes < 118 * MB


def test_a_failed_command_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"ended with 1: .*no such luck"):
        measure.run(python("raise SystemExit('no such luck')"), tmp_path / "log")
    boxed = "import sys; print('╭─╮\\none\\n\\n│ two | three │'); sys.exit(2)"
    with pytest.raises(CommandFailed, match=r"ended with 2: one; two three$"):
        measure.run(python(boxed, PYTHONUTF8="1"), tmp_path / "log")
    with pytest.raises(CommandFailed, match=r"did not start: .*no-such-program"):
        measure.run(Command(("no-such-program",)), tmp_path / "log")


def test_a_command_prints_as_a_shell_takes_it() -> None:
    command = Command(("a b", "--out", "c"), {"MODEL_PATH": "/x y"})
    assert str(command) == "'MODEL_PATH=/x y' 'a b' --out c"


def wav(path: Path, audio: np.ndarray, rate_hz: int = 44_100) -> Path:
    soundfile.write(path, audio, rate_hz, "DOUBLE")
    return path


def test_snr_is_of_known_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((600_000, 2)) * 0.1
    noise = rng.standard_normal(signal.shape)
    noise *= np.sqrt(np.sum(signal**2) / np.sum(noise**2)) / 100  # 40 dB below, exactly
    clean, noisy = wav(tmp_path / "a.wav", signal), wav(tmp_path / "b.wav", signal + noise)
    assert snr_db(noisy, clean) == pytest.approx(40, abs=1e-6)
    assert snr_db(clean, clean) == math.inf
    late = wav(tmp_path / "late.wav", np.roll(signal, 1, axis=0))
    assert snr_db(late, clean) < 0  # noise one frame off has nothing in common with itself
    short = wav(tmp_path / "short.wav", signal[:-1])
    with pytest.raises(NotAlike, match="599999"):
        snr_db(short, clean)
    with pytest.raises(NotAlike, match="48000"):
        snr_db(wav(tmp_path / "rate.wav", signal, 48_000), clean)


def test_the_music_is_as_long_as_asked_and_has_room(tmp_path: Path) -> None:
    music.write_bounce(tmp_path / "a.wav", 60)
    music.write_bounce(tmp_path / "b.wav", 60)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    audio, rate_hz = soundfile.read(tmp_path / "a.wav")
    assert (audio.shape, rate_hz) == ((60 * 44_100, 2), 44_100)
    assert np.abs(audio).max() <= 10 ** (-6 / 20) * 1.001
    repetition = 10 * 44_100  # nearly: no part returns as it was
    assert not np.array_equal(audio[:repetition], audio[repetition : 2 * repetition])
    seconds = audio.reshape(60, 44_100, 2)
    assert (np.sqrt(np.mean(seconds**2, axis=(1, 2))) > 0.01).all()  # no gap at the seams


# Peers


INSTRUMENTS = {
    2: ("vocals", "accompaniment"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "piano", "drums", "bass", "other"),
}


@pytest.mark.parametrize("stems", INSTRUMENTS)
def test_variables_are_named_and_laid_out_as_tensorflow_has_written_them(stems: int) -> None:
    folder = GOLDEN / "spleeter" / f"{stems}stems"
    state = read_spleeter(folder, INSTRUMENTS[stems])
    made = tensorflow_variables({k: v.numpy() for k, v in state.items()}, INSTRUMENTS[stems])
    official = read_tensorflow(folder / "model")
    # The innermost normalisation of each encoder has no part in the result: we do not keep it.
    unused = {f"batch_normalization_{5 + 12 * stem}" for stem in range(stems)}
    assert {name for name in official if "/" in name} == made.keys()
    for name, array in made.items():
        assert array.shape == official[name].shape, name
        if name.split("/")[0] not in unused:
            np.testing.assert_array_equal(array, official[name])


def impossible(**changes: object) -> Peer:
    facts = {
        "name": "nothing",
        "requirements": ("no-such-package==0",),
        "pinned": (),
        "pythons": ((3, 8), (3, 99)),
        "model": "htdemucs",
        "script": "",
        "weights_folder": "",
    }
    return Peer(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_peer_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"needs Python 3\.98 to 3\.99"):
        peers.install(impossible(pythons=((3, 98), (3, 99))), tmp_path, print)
    with pytest.raises(NotMeasured, match="needs the program no-such-program"):
        peers.install(impossible(programs=("no-such-program",)), tmp_path, print)
    assert not list(tmp_path.rglob("python*"))


@pytest.mark.thorough  # making an environment takes some seconds
def test_a_failed_installation_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NotMeasured, match="no-such-package"):
        peers.install(impossible(), tmp_path, print)
    assert not (tmp_path / "venvs" / "nothing").exists()


def test_wrong_marks_are_found_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(peers.FOLDER_VARIABLE, str(tmp_path / "place"))
    document = tmp_path / "B.md"
    shutil.copy(ROOT / "README.md", document)
    with pytest.raises(ValueError, match="machine"):
        main(["--only", "spleeter", "--write", str(document)])
