"""Every file that other projects test with, through `split` and through `watch`, as processes.

Each ends as stems of exact length or as one reason. What is expected follows from what decoding
makes of it (tests/golden/corpus_outcomes.json, see tests/unit/test_decode); SILENT has a warning.
`pytest -s` shows the table; it is in the report of a failing run as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import soundfile

from bridge.intake.scan import is_bounce_name
from bridge.ledger.states import State
from tests.support import GOLDEN, ROOT, require, sha256

if TYPE_CHECKING:
    from tests.watch_service import Studio

LONGEST_S = 20.0  # for one file
MOST_BYTES = 2 << 30  # of the service and its worker together
WHOLE_RUN_S = 280.0

# Decodes well, and holds nothing but zeros.
SILENT = {
    *(f"iluvcapra__wavinfo/wavinfo Test Project - Audio - {name}.wav" for name in (
        *("1OA", "5.1", "Atmos 7.1.4", "Atmos 9.1.6", "LRC", "Mono", "Stereo"),
    )),
    "iluvcapra__wavinfo/umid.wav",
    "rochars__wavefile/16bit-8kHz-1c-reaper-region.wav",
    "rochars__wavefile/16bit-8kHz-1c-reaper-utf8cue-issue13.wav",
    "rochars__wavefile/16bit-8kHz-1c-reaper-utf8cue.wav",
    "ruuda__hound/nonstandard-01.wav",
}  # fmt: skip


def expected() -> dict[str, str]:
    """For each file "frames x channels" of its stems, or the code of its error."""
    outcomes = json.loads((GOLDEN / "corpus_outcomes.json").read_text())
    return {
        name: outcome.get("error") or f"{outcome['frames']} x {outcome['channels']}"
        for name, outcome in outcomes.items()
    }


@dataclass
class Run:
    """A command that works off many files: its memory, and its longest silence about them."""

    command: list[str]
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    peak_bytes: int = 0
    errors: str = ""

    def wait(self) -> Run:
        process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        readers = [
            threading.Thread(target=self._read_lines, args=(process.stdout,)),
            threading.Thread(target=self._read_errors, args=(process.stderr,)),
        ]
        for reader in readers:
            reader.start()
        deadline_s = time.monotonic() + WHOLE_RUN_S
        while process.poll() is None and time.monotonic() < deadline_s:
            self.peak_bytes = max(self.peak_bytes, memory_bytes(process.pid))
            time.sleep(0.05)
        process.kill()
        for reader in readers:
            reader.join()
        assert process.wait() == 1, self.errors  # some fail, as they should
        assert "Traceback" not in self.errors
        assert "internal error" not in "".join(self.lines) + self.errors
        return self

    def _read_lines(self, pipe: Any) -> None:
        last_s = None  # what comes before the first line is loading
        for line in pipe:
            now_s = time.monotonic()
            if last_s is not None:
                self.longest_s = max(self.longest_s, now_s - last_s)
            last_s = now_s
            self.lines.append(line)

    def _read_errors(self, pipe: Any) -> None:
        self.errors = pipe.read()


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and everything below it."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.NoSuchProcess:
        return 0


def stems_of(manifest: Path) -> str:
    """Frames and channels of a published set, which all its files agree on."""
    data = json.loads(manifest.read_text())
    shapes = set()
    for stem in data["stems"]:
        info = soundfile.info(manifest.parent / stem["path"])
        assert info.samplerate == data["source"]["rate_hz"]
        shapes.add(f"{info.frames} x {info.channels}")
    (shape,) = shapes
    return shape


def show(found: dict[str, str], run: Run) -> None:
    """The table: what became of each file."""
    width = max(map(len, found))
    for name, outcome in sorted(found.items()):
        print(f"{name:{width}}  {outcome}")
    done = sum(" x " in outcome for outcome in found.values())
    print(
        f"{done} done, {len(found) - done} refused; at most {run.longest_s:.1f} s for one, "
        f"{run.peak_bytes / 1e6:.0f} MB"
    )


@pytest.fixture
def corpus(studio: Studio) -> Path:
    """A copy, so that what the commands do to it can be seen."""
    source = require.corpus()
    copy = studio.folder / "corpus"
    shutil.copytree(source, copy)
    return copy


def check_untouched(corpus: Path) -> None:
    for name in expected():
        assert sha256(corpus / name) == sha256(require.corpus() / name), name


@pytest.mark.thorough
def test_split_ends_each_as_stems_or_as_one_reason(studio: Studio, corpus: Path) -> None:
    names = list(expected())
    files = [str(corpus / name) for name in names]
    out = studio.root / "out"
    command = [sys.executable, "-m", "bridge", "split", *files, "--out", str(out)]
    run = Run([*command, "--model", str(studio.model), "--json"], studio.environment).wait()
    found = {}
    for name, outcome in zip(names, json.loads("".join(run.lines)), strict=True):
        if "error" in outcome:
            found[name] = outcome["error"]["code"]
            reason = outcome["error"]["reason"]
            assert reason.isprintable()
            assert run.errors.count(f"{corpus / name}: {reason}\n") == 1
        else:
            found[name] = stems_of(Path(outcome["manifest"]))
            silent = {text for text in outcome["warnings"] if text.startswith("silent: ")}
            assert len(silent) == (name in SILENT), name
    run.longest_s = max(sum(o.get("seconds", {}).values()) for o in json.loads("".join(run.lines)))
    show(found, run)
    assert found == expected()
    assert len(run.errors.splitlines()) == sum(" x " not in outcome for outcome in found.values())
    assert run.longest_s < LONGEST_S
    assert run.peak_bytes < MOST_BYTES
    check_untouched(corpus)


def test_watch_ends_each_as_stems_or_as_one_reason(studio: Studio, corpus: Path) -> None:
    command = [sys.executable, "-m", "bridge", "watch", str(studio.folder), "--once"]
    run = Run([*command, "--model", str(studio.model)], studio.environment).wait()
    found = {}
    for job in studio.jobs():
        name = job.source_path.relative_to(corpus.name).as_posix()
        assert name not in found, "done twice"
        if job.state is State.DONE:
            assert job.manifest_path
            found[name] = stems_of(job.manifest_path)
        else:
            assert job.state is State.FAILED
            assert job.reason
            assert job.reason.isprintable()
            found[name] = job.code or ""
    show(found, run)
    # Other suffixes than those of bounces (.au) are no business of a watched folder.
    assert found == {name: end for name, end in expected().items() if is_bounce_name(name)}
    assert run.longest_s < LONGEST_S
    assert run.peak_bytes < MOST_BYTES
    check_untouched(corpus)
    studio.check_complete()
