"""Cue points, labels and sampler loops of a trimmed file.

Points outside fall away with their labels; regions are cut to the file. A loop stays only if all of
it is inside: cut, it would sound different.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bridge.audio.metadata import cues
from bridge.audio.metadata.model import Mark, shift_marks

if TYPE_CHECKING:
    from collections.abc import Sequence


class Moves:
    """Positions of a file's cue points in a file of `frames` that begins at `start_frame`."""

    def __init__(
        self, cue: bytes, adtl: Sequence[bytes], smpl: bytes, start_frame: int, frames: int
    ) -> None:
        self._start_frame = start_frame
        self._frames = frames
        self._before = dict(cues.points(cue))
        lengths = cues.lengths(cue, adtl, smpl)
        self._now: dict[int, Mark] = {}
        for name, at in self._before.items():
            for mark in shift_marks((Mark(at, "", lengths.get(name, 0)),), start_frame, frames):
                self._now[name] = mark

    def cue(self, cue: bytes) -> bytes:
        """Return the points that are inside; empty if there are none."""
        kept = []
        for at in cues.entries(cue, 4, cues.POINT_BYTES, int.from_bytes(cue[:4], "little")):
            name, _, chunk, begin, block, _ = struct.unpack(
                "<II4sIII", cue[at : at + cues.POINT_BYTES]
            )
            if name in self._now:
                now = self._now[name].position_frames
                kept.append(struct.pack("<II4sIII", name, now, chunk, begin, block, now))
        return struct.pack("<I", len(kept)) + b"".join(kept) if kept else b""

    def adtl(self, body: bytes) -> bytes:
        """Return the labels of points that are inside or unknown; empty if none remain."""
        kept = []
        for kind, data in cues.parts(body):
            name = cues.cue_id(data)
            if name in self._before and name not in self._now:
                continue
            if kind == b"ltxt" and len(data) >= 8 and name in self._now:
                length = struct.pack("<I", self._now[name].length_frames)
                kept.append(cues.part(kind, data[:4] + length + data[8:]))
            else:
                kept.append(cues.part(kind, data))
        return b"".join(kept)

    def smpl(self, smpl: bytes) -> bytes:
        """Return the loops that are inside."""
        if len(smpl) < cues.SMPL_HEAD_BYTES:
            return smpl
        count = int.from_bytes(smpl[28:32], "little")
        entries = cues.entries(smpl, cues.SMPL_HEAD_BYTES, cues.LOOP_BYTES, count)
        moved = (self._loop(smpl[at : at + cues.LOOP_BYTES]) for at in entries)
        kept = [loop for loop in moved if loop]
        head = smpl[:28] + struct.pack("<I", len(kept)) + smpl[32 : cues.SMPL_HEAD_BYTES]
        return head + b"".join(kept) + smpl[entries.stop :]

    def _loop(self, data: bytes) -> bytes | None:
        name, kind, start, last, rest = struct.unpack("<IIII8s", data)
        if self._before.get(name) == start:  # a region as REAPER writes it
            region = self._now.get(name)
            if region is None or not region.length_frames:
                return None
            start, last = region.position_frames, region.position_frames + region.length_frames
        elif self._start_frame <= start <= last < self._start_frame + self._frames:
            start, last = start - self._start_frame, last - self._start_frame
        else:
            return None
        return struct.pack("<IIII8s", name, kind, start, last, rest)
