"""How long a job stays with a service that is not heard of. Pure.

A service says every few seconds that it lives. Another one takes its jobs over when it has seen
nothing of that for the length of a lease, by its own clock and while it was looking itself. So no
two clocks are ever compared: setting one, a suspended computer or a frozen looker cost no job.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEARTBEAT_S = 5.0
# Six beats: a disk that spins up, or a machine that swaps, holds up one or two. A service that died
# on this computer is known at once, so this is waited for only when one hangs or is elsewhere.
LEASE_S = 30.0

Key = tuple[int, str | None]  # a job and its owner
Beat = float | None  # changes whenever the owner says that it lives


class LeaseMonitor:
    """Looks at leases again and again. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_s = clock()
        self._seen: dict[Key, tuple[Beat, float]] = {}

    def expired(self, beats: Mapping[Key, Beat]) -> set[Key]:
        """Those whose beat has not changed for LEASE_S, given the beats of this moment.

        To be called about every BEAT_S. A longer pause says that the looker slept, perhaps with the
        whole computer, and counts for no more than that.
        """
        now_s = self._clock()
        looked_for_s = min(max(now_s - self._looked_s, 0.0), 2 * HEARTBEAT_S)
        self._looked_s = now_s
        seen, self._seen = self._seen, {}
        for key, beat in beats.items():
            before, unchanged_s = seen.get(key, (None, 0.0))
            same = key in seen and before == beat
            self._seen[key] = (beat, unchanged_s + looked_for_s if same else 0.0)
        return {key for key, (_, unchanged_s) in self._seen.items() if unchanged_s >= LEASE_S}
