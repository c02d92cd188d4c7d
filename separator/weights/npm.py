"""Download of a package with the user's own npm, or from the registry in npm's settings.

No code of the package is run and nothing is installed: it is an archive like others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from separator.weights.download import Download, SourceFailed, one_line_reason

if TYPE_CHECKING:
    from separator.weights.download import Progress
    from separator.weights.entries import NpmArchive

PACK = ("pack", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
# By default npm retries for minutes without a network.
RETRIES = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=3000")
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH")
MESSAGE = re.compile(r"npm (?:error|ERR!) (?!code|A complete log|errno|syscall)(\S.*)")
REGISTRY = re.compile(r"\s*registry\s*=\s*[\"']?(\S+?)[\"']?\s*")
MAX_DESCRIPTION_BYTES = 4 << 20


def fetch_package(archive: NpmArchive, folder: Path, progress: Progress | None) -> Path:
    """Download a package into an empty folder.

    Args:
        archive: the package and its version.
        folder: an existing, empty folder.
        progress: called during the download with (bytes done, total bytes or None, label).

    Returns:
        Path of the .tgz, not verified yet.

    Raises:
        SourceFailed: neither npm nor a registry in its settings exists, or the download failed.
    """
    program = shutil.which("npm")
    if program is None:
        return _from_registry(archive, folder, progress)
    if progress is not None:
        progress(0, archive.size_bytes, archive.label)
    spec = f"{archive.package}@{archive.version}"
    try:
        ended = subprocess.run(
            [program, *PACK, *RETRIES, "--pack-destination", str(folder), spec],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise SourceFailed(f"npm does not run ({one_line_reason(error)})") from None
    if ended.returncode:
        raise SourceFailed(_why(ended.stderr, ended.returncode))
    packages = sorted(folder.glob("*.tgz"))
    if len(packages) != 1:
        raise SourceFailed("npm downloaded no package")
    size_bytes = packages[0].stat().st_size
    if progress is not None:
        progress(size_bytes, size_bytes, archive.label)
    return packages[0]


def _why(output: str, code: int) -> str:
    if any(f"code {name}" in output for name in OFFLINE):
        return "the package registry cannot be reached"
    found = MESSAGE.search(output)
    return one_line_reason(found[1]) if found else f"npm ended with code {code}"


def _from_registry(archive: NpmArchive, folder: Path, progress: Progress | None) -> Path:
    registry = configured_registry()
    if registry is None:
        raise SourceFailed("npm is not installed, and its settings have no registry")
    described = folder / "package.json"
    Download(f"{registry}/{archive.package}/{archive.version}", described).run(None, archive.label)
    try:
        if described.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise ValueError
        url = str(json.loads(described.read_bytes())["dist"]["tarball"])
    except (ValueError, KeyError, TypeError):
        raise SourceFailed("the package registry's answer lacks the package's address") from None
    if not url.startswith(("https://", "http://")):
        raise SourceFailed("the package registry's address of the package is not https or http")
    packed = folder / "package.tgz"
    Download(url, packed, archive.size_bytes).run(progress, archive.label)
    return packed


def configured_registry() -> str | None:
    """Registry address in npm's settings (environment, then the user's .npmrc), or None."""
    environment = {name.lower(): value for name, value in os.environ.items() if value}
    named = environment.get("npm_config_registry")
    if named:
        return named.rstrip("/")
    settings = environment.get("npm_config_userconfig")
    try:
        text = Path(settings or Path.home() / ".npmrc").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None
    found = [match for line in text.splitlines() if (match := REGISTRY.fullmatch(line))]
    return found[-1][1].rstrip("/") if found else None
