"""Leases of jobs: detect services that no longer send heartbeats. Pure.

A service renews its leases every few seconds. Another one reclaims its jobs after it has observed
an unchanged lease for `LEASE_S` by its own monotonic clock, time that it was suspended excluded.
Clocks of two computers are never compared, so setting one, or suspending a computer, costs no job.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEARTBEAT_S = 5.0
# Six beats: a disk that spins up, or a machine that swaps, delays one or two. A service that died
# on this computer is noticed at once; this is the wait for one that hangs or runs elsewhere.
LEASE_S = 30.0

Key = tuple[int, str | None]  # job number, token of its owner
Beat = float | None  # end of the lease; changes with every heartbeat of the owner


class LeaseMonitor:
    """Detects expired leases by repeated observation. clock: monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checked_s = clock()
        self._seen: dict[Key, tuple[Beat, float]] = {}

    def expired(self, beats: Mapping[Key, Beat]) -> set[Key]:
        """Leases unchanged for `LEASE_S`, given the current value of each.

        To be called about every `HEARTBEAT_S`. A longer interval, as when the computer was
        suspended, counts as at most two of them.
        """
        now_s = self._clock()
        interval_s = min(max(now_s - self._checked_s, 0.0), 2 * HEARTBEAT_S)
        self._checked_s = now_s
        seen, self._seen = self._seen, {}
        for key, beat in beats.items():
            before, unchanged_s = seen.get(key, (None, 0.0))
            same = key in seen and before == beat
            self._seen[key] = (beat, unchanged_s + interval_s if same else 0.0)
        return {key for key, (_, unchanged_s) in self._seen.items() if unchanged_s >= LEASE_S}
