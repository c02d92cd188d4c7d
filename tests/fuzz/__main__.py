"""`python -m tests.fuzz`: every target in turn, or one; see the package."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import MAX_BYTES, SEEDS
from tests.support import ROOT

FOUND = ROOT / "tests" / "fuzz" / "found"
TIMEOUT_S = 20  # for one input
MEMORY_MB = 2048


def main() -> int:
    """Fuzzes; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", default=list(SEEDS), metavar="TARGET")
    parser.add_argument("-s", "--seconds", type=float, default=600, help="in all (600)")
    given = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ModuleNotFoundError:
        print("fuzzing needs atheris: pip install 'stembridge[fuzz]'", file=sys.stderr)
        return 1
    share_s = max(1, round(given.seconds / len(given.targets)))
    codes = {target: _fuzz(target, share_s) for target in given.targets}
    for target, code in codes.items():
        print(f"{target}: {'something was found' if code else 'nothing found'} in {share_s} s")
    return int(any(codes.values()))


def _fuzz(target: str, seconds: int) -> int:
    """One target in a process of its own."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        grown = Path(scratch) / "grown"
        grown.mkdir()
        for seed in SEEDS[target]():
            (grown / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        command = [
            *(sys.executable, "-m", "tests.fuzz.run", target, str(grown), str(found)),
            *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}"),
            *(
                f"-max_len={MAX_BYTES[target]}",
                f"-artifact_prefix={found}/",
                "-print_final_stats=1",
            ),
        ]
        code = subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False).returncode
    if not any(found.iterdir()):
        found.rmdir()
    return code


if __name__ == "__main__":
    sys.exit(main())
