"""What the commands print, from real runs: python -m docs.generate.screens [NAME...].

Writes docs/screens/NAME.txt (or .json). The runs use the default model and ten seconds of real
music; both are fetched once. tests/docs/test_screens.py repeats the runs with a tiny model and
compares everything but numbers.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import soundfile

from bridge.config import DEFAULT_MODEL, resolve
from docs.generate.markdown import block
from tests.audio_files import chunk, riff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "screens"
HOME = "/home/you"
RATE_HZ = 44_100
PATIENCE_S = 300
# One hour after midnight, where many sessions begin; EBU Tech 3285, version 1.
_BEXT = struct.pack("<256s32s32s10s8sQH254s", *5 * [b""], 3600 * RATE_HZ, 1, b"")

MISTAKES = "schema: 1\nsummary: x\nchain:\n  - highpass: {cutoff: 80}\n  - compresor\n"


@dataclass(frozen=True)
class Studio:
    """A home folder for one screen, with music to render and a model."""

    home: Path
    music: NDArray[Any]  # (frames, channels)
    environment: Mapping[str, str] = field(default_factory=dict)

    def render(self, name: str, begin: float = 0.0, end: float = 1.0) -> None:
        """A 24-bit BWF with a part of the music (shares of its length), at half the level."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        length = len(self.music)
        wave = self.music[int(begin * length) : int(end * length)] * 0.5
        soundfile.write(path, wave, RATE_HZ, subtype="PCM_24")
        path.write_bytes(riff(path.read_bytes()[12:], chunk(b"bext", _BEXT)))

    def run(self, command: str) -> str:
        """The output of a command, as a terminal without colours would show it."""
        name, *words = self._words(command)
        if name == "cat":
            return self._shown((self.home / words[0]).read_text(encoding="utf-8"))
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words],
            cwd=self.home,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
        return self._shown(done.stdout.decode())

    def _words(self, command: str) -> list[str]:
        words = shlex.split(command)
        return [f"{self.home}{word[1:]}" if word.startswith("~/") else word for word in words]

    def _shown(self, text: str) -> str:
        for path in {str(self.home.resolve()), str(self.home)}:
            text = text.replace(path, HOME)
        lines = (line.rstrip() for line in text.splitlines())
        return "\n".join(lines).strip("\n") + "\n"

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        kept = {name: value for name, value in kept.items() if not name.startswith("STEMBRIDGE_")}
        return kept | {
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            **self.environment,
        }


@dataclass(frozen=True)
class Screen:
    """A screen: what is prepared, and the commands whose output is shown.

    quiet: commands that run first and are not shown. same_everywhere: false where the lines
    depend on the machine, so that no test can compare them.
    """

    commands: tuple[str, ...]
    prepare: Callable[[Studio], object] = lambda studio: studio.render("Mix 3.wav")
    quiet: tuple[str, ...] = ()
    same_everywhere: bool = True
    language: str = "text"

    def make(self, studio: Studio) -> str:
        """The screen's text."""
        self.prepare(studio)
        for command in self.quiet:
            studio.run(command)
        if self.language == "json":
            return _short_sums(studio.run(self.commands[0]))
        return "\n".join(f"$ {command}\n{studio.run(command)}" for command in self.commands)


def _bounces(studio: Studio) -> None:
    studio.render("Bounces/Mix 3.wav")
    (studio.home / "Bounces" / "Mix 4.wav").write_bytes(b"")


def _export(studio: Studio) -> None:
    studio.render("Export/Drums/Kit.wav", 0.0, 0.4)
    studio.render("Export/Song 1.wav", 0.3, 0.7)
    studio.render("Export/Song 2.wav", 0.5, 1.0)
    (studio.home / "Export" / "notes.txt").write_text("takes 1 to 3")


def _mistakes(studio: Studio) -> None:
    (studio.home / "p.yaml").write_text(MISTAKES)


SCREENS: Mapping[str, Screen] = {
    "watch": Screen(("stembridge watch ~/Bounces --once",), _bounces),
    "status": Screen(
        ("stembridge status",), _bounces, quiet=("stembridge watch ~/Bounces --once",)
    ),
    "status-json": Screen(
        ("stembridge status --json",), _bounces, quiet=("stembridge watch ~/Bounces --once",)
    ),
    "log": Screen(
        ("cat .local/state/stembridge/log/service.jsonl",),
        _bounces,
        quiet=("stembridge watch ~/Bounces --once",),
    ),
    "split": Screen(('stembridge split "Mix 3.wav"',)),
    "manifest": Screen(
        ('cat "Stems/Mix 3/manifest.json"',),
        quiet=('stembridge split "Mix 3.wav"',),
        language="json",
    ),
    "preview": Screen(('stembridge preview "Mix 3.wav" --at 2 --for 3 --out ~/Preview',)),
    "batch-plan": Screen(("stembridge batch ~/Export --dry-run",), _export),
    "batch": Screen(
        ("stembridge batch ~/Export --map 'Drums=karaoke' --session reaper --summary report.csv",),
        _export,
    ),
    "mistakes": Screen(("stembridge presets check p.yaml",), _mistakes),
    "doctor": Screen(("stembridge doctor",), same_everywhere=False),
    "demo": Screen(("stembridge demo",), same_everywhere=False),
}  # fmt: skip


def read(name: str) -> str:
    """The screen as a code block of a page."""
    screen = SCREENS[name]
    return block(screen.language, path_of(name).read_text(encoding="utf-8"))


def path_of(name: str) -> Path:
    """The file of a screen."""
    return FOLDER / f"{name}.{'json' if SCREENS[name].language == 'json' else 'txt'}"


def comparable(text: str, model: str = DEFAULT_MODEL) -> list[str]:
    """The lines of a screen without numbers, widths of columns and the name of the model."""
    text = text.replace(model, DEFAULT_MODEL)
    text = re.sub(r"\b[0-9a-f]{8,}(?:…|\b)", "#", text)
    text = re.sub(r"-?\d+(?:[.,:-]\d+)*(?:e-?\d+)?(?: (?:s|min)\b)?", "#", text)
    lines = (" ".join(re.sub("─+", "─", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


def _short_sums(text: str) -> str:
    """A manifest with checksums cut to eight digits."""
    shortened = re.sub(r'"([0-9a-f]{8})[0-9a-f]{56}"', r'"\1…"', text)
    json.loads(shortened)  # still JSON
    return shortened


def _music() -> NDArray[Any]:
    from separator.weights.store import Store

    file = Store(resolve().settings.cache_dir).asset("example-music")
    wave: NDArray[Any]
    wave, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    return wave


def main(names: list[str]) -> None:
    """Makes the screens of these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    music = _music()
    for name in names or SCREENS:
        home = _home()
        try:
            text = SCREENS[name].make(Studio(home, music))
        finally:
            shutil.rmtree(home)
        path_of(name).write_text(text, encoding="utf-8")
        print(path_of(name))


def _home() -> Path:
    """A folder whose name is as long as `HOME`, so that tables keep their widths."""
    home = Path(mkdtemp(prefix="", dir="/tmp"))
    short = Path("/tmp") / home.name[: len(HOME) - len("/tmp/")]
    home.rename(short)
    cache = short / ".cache"
    cache.mkdir()
    (cache / "stembridge").symlink_to(resolve().settings.cache_dir.absolute())
    return short


if __name__ == "__main__":
    main(sys.argv[1:])
