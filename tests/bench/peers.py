"""The peers, each in an environment of its own outside the repository, with our weights.

FOLDER/venvs/<peer>/    made once; made anew when what is to be installed has changed
FOLDER/weights/<peer>/  our weights in the peer's format, written by a script that runs there
FOLDER/HOWTO            the commands, for use by hand

FOLDER is STEMBRIDGE_BENCH_DIR, or "bench" in the system's place for caches.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = Path(__file__).parent / "in_peer"
EXPORT = Path(__file__).parent / "weights.py"
FOLDER_VARIABLE = "STEMBRIDGE_BENCH_DIR"
INSTALL_LIMIT_S = 3600  # TensorFlow's wheel is half a gigabyte
LAST_LINES = 3  # of what a failed installation says
Version = tuple[int, int]


class NotMeasured(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """What to install, and how its weights and its command come about.

    requirements: for pip. pinned: packages that it gets in our version, see constraints.txt.
    pythons: first and last version that it can be installed on.
    model: of our catalog, whose weights it gets. script: writes them in the peer's format, below
        weights_folder; script_arguments: for it, after the paths.
    programs: outside ones that its command calls.
    """

    name: str
    requirements: tuple[str, ...]
    pinned: tuple[str, ...]
    pythons: tuple[Version, Version]
    model: str
    script: str
    weights_folder: str
    script_arguments: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


DEMUCS = Peer(
    "demucs",
    ("demucs==4.1.0",),
    pinned=("torch", "numpy"),  # it imports numpy without asking for it
    pythons=((3, 10), (3, 13)),
    model="htdemucs",
    script="demucs_repository.py",
    weights_folder="",
    script_arguments=("htdemucs",),
)
SPLEETER = Peer(
    "spleeter",
    ("spleeter==2.4.2",),  # asks for tensorflow==2.12.1 itself
    pinned=(),
    pythons=((3, 8), (3, 11)),
    model="spleeter:2stems",
    script="tensorflow_checkpoint.py",
    weights_folder="2stems",
    programs=("ffmpeg", "ffprobe"),
)
PEERS = {peer.name: peer for peer in (DEMUCS, SPLEETER)}


@dataclass(frozen=True)
class Command:
    """A program to run, and what its environment has beside ours."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join((*settings, *self.words))


@dataclass(frozen=True)
class Installed:
    """A peer that is ready to run."""

    peer: Peer
    python: Path
    weights: Path

    def command(self, track: Path, out: Path, *options: str) -> Command:
        """Separates one file into a folder; see `stem_path` for what is there afterwards."""
        if self.peer is DEMUCS:
            return Command(
                (
                    *(str(self.python), "-m", "demucs"),
                    *("--repo", str(self.weights), "-n", "htdemucs", "-d", "cpu"),
                    *("--shifts", "0", "--overlap", "0.25", "--float32", "--clip-mode", "none"),
                    *(*options, "-o", str(out), str(track)),
                ),
                {"HF_HUB_OFFLINE": "1"},
            )
        return Command(
            (
                *(str(self.python), "-m", "spleeter", "separate", "-p", "spleeter:2stems"),
                *(*options, "-o", str(out), str(track)),
            ),
            {"MODEL_PATH": str(self.weights), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def stem_path(self, track: Path, out: Path, stem: str) -> Path:
        """Where its command has put a stem."""
        model = ("htdemucs",) if self.peer is DEMUCS else ()
        return out.joinpath(*model, track.stem, f"{stem}.wav")

    def versions(self) -> dict[str, str]:
        """Of the packages that do the work."""
        names = ("demucs", "torch") if self.peer is DEMUCS else ("spleeter", "tensorflow", "numpy")
        code = (
            "import sys\nfrom importlib.metadata import version\n"
            "for name in sys.argv[1:]: print(name, version(name))"
        )
        lines = _said([str(self.python), "-c", code, *names]).splitlines()
        return dict(line.split() for line in lines)


def folder() -> Path:
    """Where the peers are kept."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_cache_path("stembridge") / "bench"


def install(peer: Peer, place: Path, note: Callable[[str], None]) -> Installed:
    """The peer, ready to run; what is there from before is used again.

    Raises:
        NotMeasured: no Python, no network, nothing that fits.
    """
    for program in peer.programs:
        if shutil.which(program) is None:
            raise NotMeasured(f"{peer.name} needs the program {program}")
    venv = place / "venvs" / peer.name
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    requirements = (*peer.requirements, *_pinned(peer.pinned))
    recipe = "\n".join(requirements)
    if not _holds(venv / "recipe", recipe):
        note(f"installing {', '.join(peer.requirements)} into {venv} (once)")
        _make(peer, requirements, venv, python)
        (venv / "recipe").write_text(recipe, encoding="utf-8")
    installed = Installed(peer, python, place / "weights" / peer.name)
    _write_weights(installed, note)
    return installed


def write_howto(place: Path, ready: list[Installed]) -> Path:
    """The commands of all peers, for use by hand."""
    path = place / "HOWTO"
    track, out = Path("TRACK.wav"), Path("OUT")
    lines = [f"{one.peer.name}:\n  {one.command(track, out)}\n" for one in ready]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _make(peer: Peer, requirements: tuple[str, ...], venv: Path, python: Path) -> None:
    base = _python_for(peer)
    shutil.rmtree(venv, ignore_errors=True)
    try:
        _said([base, "-m", "venv", str(venv)])
        _said([str(python), "-m", "pip", "install", "--quiet", *requirements])
    except NotMeasured:
        shutil.rmtree(venv, ignore_errors=True)
        raise


def _write_weights(installed: Installed, note: Callable[[str], None]) -> None:
    peer = installed.peer
    script = SCRIPTS / peer.script
    recipe = hashlib.sha256(script.read_bytes() + EXPORT.read_bytes()).hexdigest()
    if _holds(installed.weights / "recipe", recipe):
        return
    note(f"writing our weights for {peer.name}")
    shutil.rmtree(installed.weights, ignore_errors=True)
    installed.weights.mkdir(parents=True)
    target = installed.weights / peer.weights_folder
    with tempfile.TemporaryDirectory() as scratch:
        arrays = Path(scratch) / "weights.npz"
        # In a process of its own: libraries that this one had loaded would be shared with what
        # it measures, and count half there.
        _said([sys.executable, "-m", "tests.bench.weights", peer.model, str(arrays)])
        _said(
            [str(installed.python), str(script), str(arrays), str(target), *peer.script_arguments]
        )
    (installed.weights / "recipe").write_text(recipe, encoding="utf-8")


def _python_for(peer: Peer) -> str:
    """A Python that the peer can be installed on, the newest first."""
    (_, first), (_, last) = peer.pythons
    names = [f"python3.{minor}" for minor in range(last, first - 1, -1)]
    for name in (sys.executable, *names):
        found = shutil.which(name)
        version = _version(found) if found else None
        if found and version and peer.pythons[0] <= version <= peer.pythons[1]:
            return found
    raise NotMeasured(f"{peer.name} needs Python 3.{first} to 3.{last}, and none was found")


def _version(python: str) -> Version | None:
    """Of a Python that can make environments; None where it cannot, or is none."""
    code = "import ensurepip, sys; print(*sys.version_info[:2])"
    try:
        major, minor = _said([python, "-c", code]).split()
    except (NotMeasured, ValueError):
        return None
    return int(major), int(minor)


def _pinned(packages: tuple[str, ...]) -> list[str]:
    """The lines of constraints.txt for these packages, as requirements."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("==")[0] in packages]


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content


def _said(command: list[str]) -> str:
    """What a command prints.

    Raises:
        NotMeasured: it failed.
    """
    short = " ".join(Path(word).name for word in command[:4])  # such as "python -m pip install"
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{short}: {error}") from None
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise NotMeasured(f"{short} failed: {said}")
    return done.stdout
