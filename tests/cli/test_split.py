"""`stembridge split` and `watch --once`: files named by the user, and what comes of them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from tests.bounces import BAD, RATE_HZ, render, time_reference_of
from tests.cli.command import check_one_line_error
from tests.support import GOLDEN, names

if TYPE_CHECKING:
    from tests.cli.command import Desk, Inside


def test_stems_lie_beside_the_file(desk: Desk) -> None:
    """In a process of its own, with a relative path, as a user types it."""
    bounce = render(desk.home / "My Song.wav", time_reference=48_000)
    result = desk.run("split", "My Song.wav", "--model", desk.model)
    assert (result.code, result.err) == (0, "")
    place = desk.home / "Stems" / "My Song"
    assert re.fullmatch(
        rf"My Song\.wav: vocals, accompaniment → {re.escape(str(place))} \(\d+\.\d× real time\)\n",
        result.out,
    )
    stems = ["My Song - accompaniment.wav", "My Song - vocals.wav"]
    assert names(place) == [*stems, "manifest.json"]
    for stem in stems:
        info, original = soundfile.info(place / stem), soundfile.info(bounce)
        assert (info.frames, info.samplerate) == (original.frames, original.samplerate)
        assert (info.channels, info.subtype) == (original.channels, original.subtype)
        assert time_reference_of(place / stem) == 48_000
    assert names(desk.home) == ["My Song.wav", "Stems"]  # no staging, no ledger


def test_files_of_one_name_from_two_folders_do_not_meet(inside: Inside, desk: Desk) -> None:
    one = render(desk.home / "a" / "mix.wav", seed=1)
    two = render(desk.home / "b" / "mix.wav", seed=2)
    arguments = ("split", str(one), str(two), "--out", "all", "-m", desk.model, "--json")
    first, again = inside(*arguments), inside(*arguments)
    assert (first.code, again.code) == (0, 0)
    places = [Path(entry["manifest"]).parent for entry in json.loads(first.out)]
    assert places == [Path(entry["manifest"]).parent for entry in json.loads(again.out)]
    assert len(set(places)) == 2
    assert names(desk.home / "all") == sorted(place.name for place in places)
    sources = [json.loads((p / "manifest.json").read_text())["source"]["path"] for p in places]
    assert sources == [str(one), str(two)]
    assert not (desk.home / "a" / "Stems").exists()


DEMUCS = str(GOLDEN / "demucs_v1" / "demucs_v1.th")  # a tiny network with four stems


@pytest.mark.parametrize(
    ("options", "stems"),
    [
        ((), ["drums", "bass", "other", "vocals"]),
        (("--stems", "vocals, bass"), ["vocals", "bass"]),
        (("--two-stems", "vocals"), ["vocals", "no_vocals"]),
        (("--two-stems", "bass", "--other-method", "add"), ["bass", "no_bass"]),
        (("--shifts", "2", "--overlap", "0.5", "--segment", "1.5", "--stems", "drums"), ["drums"]),
    ],
)
def test_a_checkpoint_of_ones_own_and_what_to_make_of_it(
    inside: Inside, desk: Desk, options: tuple[str, ...], stems: list[str]
) -> None:
    bounce = render(desk.home / "mix.wav")
    result = inside("split", str(bounce), "--model", DEMUCS, "--json", *options)
    assert result.code == 0, result.err
    manifest = json.loads(result.out)[0]
    assert [stem["name"] for stem in manifest["stems"]] == stems
    adds_up = options[:1] in ((), ("--two-stems",))
    assert (manifest["null_residual_dbfs"] is not None) == adds_up
    if adds_up:
        assert float(manifest["null_residual_dbfs"]) < -90  # 1 LSB of 16 bit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--two-stems", "kazoo"), "no stem 'kazoo': choose from drums, bass, other, vocals"),
        (("--stems", "vocals,kazoo"), "--stems: this model has no stem 'kazoo'"),
        (("--overlap", "1.5"), "overlap is a number from 0 to 0.99, not 1.5"),
        (("--shifts", "-1"), "--shifts is a number from 0 to 100, not -1"),
        (("--other-method", "half"), "--other-method is one of minus, add, not 'half'"),
    ],
)
def test_impossible_options_are_one_line(
    inside: Inside, desk: Desk, options: tuple[str, ...], message: str
) -> None:
    bounce = render(desk.home / "mix.wav")
    text = check_one_line_error(inside("split", str(bounce), "--model", DEMUCS, *options), 2)
    assert message in text
    assert names(desk.home) == ["mix.wav"]


def test_spleeter_has_no_overlap_to_choose(inside: Inside, desk: Desk) -> None:
    bounce = render(desk.home / "mix.wav")
    arguments = ("split", str(bounce), "--model", desk.model, "--overlap", "0.5")
    text = check_one_line_error(inside(*arguments), 2)
    assert "overlap is not for this model: its segments are fixed" in text


def test_json_is_all_there_is_on_standard_output(inside: Inside, desk: Desk) -> None:
    good, bad = render(desk.home / "good.wav"), desk.home / "nan.wav"
    bad.write_bytes(BAD["nan.wav"][0])
    result = inside("split", str(good), str(bad), "--model", desk.model, "--json")
    assert result.code == 1
    done, failed = json.loads(result.out)
    assert done["source"]["path"] == str(good)
    assert done == {
        "manifest": done["manifest"],
        **json.loads(Path(done["manifest"]).read_text()),
    } | {
        "seconds": done["seconds"]  # here with the publishing
    }
    assert {"stems", "gain_db", "null_residual_dbfs", "model", "preset", "versions"} <= done.keys()
    assert failed["source"] == {"path": str(bad)}
    assert failed["error"]["code"] == "non-finite"
    assert result.err == f"{bad}: {failed['error']['reason']}\n"


def test_a_failing_file_does_not_stop_the_others(inside: Inside, desk: Desk) -> None:
    files = []
    for name, (data, _) in BAD.items():
        (desk.home / name).write_bytes(data)
        files.append(name)
    render(desk.home / "good.wav")
    (desk.home / "folder.wav").mkdir()
    result = inside("split", *files, "nowhere.wav", "folder.wav", "good.wav", "-m", desk.model)
    assert result.code == 1
    assert result.out.startswith("good.wav: ")
    assert len(result.out.splitlines()) == 1
    lines = result.err.splitlines()
    assert [line.split(":")[0] for line in lines] == [*files, "nowhere.wav", "folder.wav"]
    assert lines[-2] == "nowhere.wav: there is no such file; check the path"
    assert lines[-1].startswith("folder.wav: a folder; name its files")
    assert names(desk.home / "Stems") == ["good"]
    assert names(desk.home / "Stems" / "good")[-1] == "manifest.json"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--preset", "karaok"), "no preset is named 'karaok'; did you mean 'karaoke'?"),
        (("--preset", "mine.yaml"), "mine.yaml: there is no such file"),
        (("--model", "spleeter:2stem"), "no model named 'spleeter:2stem'"),
        (("--model", "nowhere.json"), "{home}/nowhere.json: no such file"),
    ],
)
def test_a_preset_or_model_that_is_not_there_is_2(
    inside: Inside, desk: Desk, arguments: tuple[str, str], complaint: str
) -> None:
    render(desk.home / "mix.wav")
    text = check_one_line_error(inside("split", "mix.wav", *arguments), 2)
    assert text.startswith(complaint.format(home=desk.home))
    assert names(desk.home) == ["mix.wav"]


def test_without_weights_and_without_a_network_it_says_what_to_do(desk: Desk) -> None:
    """The network is a port where nobody listens, for pip as for our own requests."""
    nobody = "http://127.0.0.1:9"
    desk.extra |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), nobody)
    desk.extra |= {"PIP_PROXY": nobody, "PIP_RETRIES": "0", "no_proxy": ""}
    desk.extra["STEMBRIDGE_CACHE_DIR"] = str(desk.home / "empty cache")
    render(desk.home / "mix.wav")
    result = desk.run("split", "mix.wav")
    *fetching, text = result.err.splitlines()
    assert result.code == 1
    assert all(line.startswith("fetching ") for line in fetching)
    assert text.startswith("stembridge: spleeter-2stems is not in the cache")
    assert "refused" in text
    assert "run `stembridge models pull spleeter:2stems`" in text
    assert "run `stembridge models import spleeter:2stems FILE`" in text
    assert not (desk.home / "Stems").exists()


def test_a_preset_file_of_ones_own_is_used(inside: Inside, desk: Desk) -> None:
    render(desk.home / "mix.wav")
    (desk.home / "mine.yaml").write_text(
        "schema: 1\nsummary: only the singer\nresidual: stem\nstems: [vocals]\n"
    )
    result = inside("split", "mix.wav", "-p", "mine.yaml", "-m", desk.model)
    assert (result.code, result.err) == (0, "")
    assert names(desk.home / "Stems" / "mix") == ["manifest.json", "mix - vocals.wav"]


def test_names_that_are_no_text_can_be_split(inside: Inside, desk: Desk) -> None:
    try:
        bounce = render(desk.home / os.fsdecode(b"caf\xe9.wav"))
    except OSError:
        pytest.skip("this file system keeps names as Unicode")
    for extra in ((), ("--json",)):
        result = inside("split", str(bounce), "-m", desk.model, *extra)
        assert (result.code, result.err) == (0, "")
        result.out.encode()
    (entry,) = json.loads(result.out)
    assert entry["source"]["path"] == str(bounce)
    assert len(names(desk.home / "Stems")) == 1  # known again by its manifest


def test_watch_once_says_how_it_went(inside: Inside, desk: Desk) -> None:
    folder = desk.home / "Bounces"
    render(folder / "good.wav")
    assert inside("watch", "Bounces", "--once", "--model", desk.model).code == 0
    (folder / "bad.wav").write_bytes(BAD["nan.wav"][0])
    result = inside("watch", "Bounces", "--once", "--model", desk.model)
    assert (result.code, result.err) == (1, "")
    lines = [line.split(maxsplit=1)[1] for line in result.out.splitlines()]  # without the time
    assert lines[1].split() == ["start", "bad.wav"]
    assert lines[2].startswith("FAILED bad.wav: NaN or Inf at frame ")
    assert lines[3].endswith("0 done, 0 unchanged, 1 failed")
    assert inside("watch", "Bounces", "--once", "--model", desk.model).code == 0  # nothing new


def test_a_bar_on_a_terminal_is_cleared_away_when_the_user_stops(desk: Desk) -> None:
    """The cursor that the bar hid is back, and what was half done is gone."""
    render(desk.home / "long.wav", frames=90 * RATE_HZ, channels=1)
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "bridge", "split", "long.wav", "--model", desk.model],
        cwd=desk.home,
        env=desk.environment | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"separate" not in shown:
            shown += os.read(ours, 4096)
        child.send_signal(signal.SIGINT)
        deadline_s = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < deadline_s:
            shown += read_some(ours)
        shown += read_some(ours)
    finally:
        child.kill()
        os.close(ours)
    assert child.wait() == 130
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") >= 1
    assert b"Traceback" not in shown
    assert not list(desk.home.rglob("*.wav"))[1:]
    assert not list(desk.home.rglob("manifest.json"))


def read_some(terminal: int) -> bytes:
    """What the other side wrote; nothing once it has closed (EIO on Linux)."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
