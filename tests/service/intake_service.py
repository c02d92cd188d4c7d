"""An intake in a thread of its own, and files for it."""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bridge.intake import settle
from bridge.intake.intake import Intake, Settled
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


# Shorter than the product's, so that the tests are; the order between them is the same.
FAST = settle.SettleTimes(riff_quiet_s=0.1, quiet_s=0.3)


@dataclass
class Service:
    """An intake in its own thread, and what it handed on."""

    folder: Path
    settled: list[Settled] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    intake: Intake | None = None
    thread: threading.Thread | None = None

    def start(self, **options: object) -> Service:
        given: dict[str, object] = {"times": FAST, "polling_times": FAST, "rescan_s": 60.0}
        given |= {"known": lambda *_: False, "output_dirs": [self.folder / "Stems"]} | options
        self.intake = Intake(
            self.folder,
            on_settled=self._take,
            warn=self.warnings.append,
            **given,  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self.intake.run, args=(self.stop,))
        self.thread.start()
        assert self.intake.wait_idle(10)
        return self

    def _take(self, settled: Settled) -> None:
        self.arrived_s.append(time.monotonic())
        self.settled.append(settled)

    def names(self) -> list[str]:
        return [settled.path.relative_to(self.folder).as_posix() for settled in self.settled]

    def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        wait_until(lambda: len(self.settled) >= count, "settled bounces", timeout_s)

    def end(self) -> None:
        self.stop.set()
        if self.thread is not None:
            self.thread.join(10)
            assert not self.thread.is_alive()


def write_wav(path: Path, frames: int = 480) -> Path:
    """A mono WAV of 24 bits at 48 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(frames, 0.25, np.float32), 48000, subtype="PCM_24")
    return path


def unpatched_header() -> bytes:
    """Head of a WAV whose writer has not stated its size yet."""
    return b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28)
