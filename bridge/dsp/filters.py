"""Recursive filters without a loop over the frames: as products of matrices, tile by tile.

A filter of low order is x -> y with a short state s: s' = A s + B x, y = C s + D x. Over a tile of
frames that is one product for what the tile itself gives, one for what the state at its beginning
adds, and one for the state at its end (Burrus, "Block realization of digital filters", IEEE Trans.
Audio Electroacoust. 20 (4), 1972). The states of many tiles follow from each other in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.single_thread import product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Audio

    Matrix = npt.NDArray[np.float64]
    Biquad = tuple[float, float, float, float, float]

# Frames in a tile, and tiles in a group. Longer: more arithmetic. Shorter: more steps in Python.
TILE_FRAMES = 64
_GROUP_TILES = 64


class StateSpace:
    """Biquads in a row as one filter: s' = a s + b x, y = c s + d x. float64.

    sections: (b0, b1, b2, a1, a2) each, a0 is 1.
    """

    def __init__(self, sections: Sequence[Biquad]) -> None:
        self.a: Matrix = np.zeros((0, 0))
        self.b: Matrix = np.zeros((0, 1))
        self.c: Matrix = np.zeros((1, 0))
        self.d = 1.0
        for section in sections:
            self._append(*section)

    def _append(self, b0: float, b1: float, b2: float, a1: float, a2: float) -> None:
        """One more section, in transposed direct form II, fed by what comes out so far."""
        a = np.array([[-a1, 1.0], [-a2, 0.0]])
        b = np.array([[b1 - a1 * b0], [b2 - a2 * b0]])
        self.a = np.block([[self.a, np.zeros((len(self.a), 2))], [b @ self.c, a]])
        self.b = np.concatenate([self.b, b * self.d])
        self.c = np.concatenate([b0 * self.c, [[1.0, 0.0]]], axis=1)
        self.d *= b0

    def scaled(self) -> None:
        """Another state for the same filter: its length is what would still come out of it.

        That is, the root of the energy of the output if silence followed (the observability
        Gramian's), so that no rounding of a state is heard louder than any other. The states of
        direct forms hold large differences of what lies far below the rate.
        """
        energy, decay = self.c.T @ self.c, self.a
        while np.abs(decay).max() > np.finfo(np.float64).eps:
            energy = energy + decay.T @ energy @ decay  # twice as many frames each time
            decay = decay @ decay
        root = np.linalg.cholesky(energy).T
        inverse = np.linalg.inv(root)
        self.a, self.b, self.c = root @ self.a @ inverse, root @ self.b, self.c @ inverse


class _Tables:
    """What whole tiles are multiplied by: rows are what goes in, columns what comes out."""

    def __init__(self, space: StateSpace) -> None:
        powers = _powers(space.a, TILE_FRAMES + 1)
        heard = space.c @ powers[:-1]
        response = [space.d, *(heard @ space.b).ravel()[:-1]]
        self.from_frames = _toeplitz(np.reshape(response, (-1, 1, 1))).astype(np.float32)
        self.from_state = np.ascontiguousarray(heard[:, 0].T, np.float32)
        self.to_state = (powers[-2::-1] @ space.b)[:, :, 0].astype(np.float32)
        # The same from tile to tile: what each left at its end adds to all later states.
        tiles = _powers(powers[-1], _GROUP_TILES + 1)
        self.between = _toeplitz(tiles[:-1]).astype(np.float32)
        self.aged: Matrix = np.concatenate([each.T for each in tiles[1:]], axis=1)


def _powers(a: Matrix, count: int) -> Matrix:
    """a ** 0 to a ** (count - 1), (count, order, order)."""
    found = [np.eye(len(a))]
    for _ in range(count - 1):
        found.append(a @ found[-1])
    return np.stack(found)


def _toeplitz(kernels: Matrix) -> Matrix:
    """What takes a row of vectors to the row of their sums, of kernels[i - j] @ vectors[j]."""
    count, size, _ = kernels.shape
    table = np.zeros((count, size, count, size))
    for start in range(count):
        table[start, :, start:] = np.moveaxis(kernels[: count - start], 2, 0)
    return table.reshape(count * size, count * size)


class Recursive:
    """A filter with a state for each channel. Sums are float32, states float64 from group to group.

    sections: see `StateSpace`.
    """

    def __init__(self, sections: Sequence[Biquad], channels: int) -> None:
        space = StateSpace(sections)
        space.scaled()
        self._tables = _Tables(space)
        self._state: Matrix = np.zeros((channels, len(space.a)))

    def process(self, audio: Audio) -> Audio:
        """(channels, n) float32 in and out; n is a multiple of TILE_FRAMES."""
        if not audio.shape[1]:
            return audio
        tables = self._tables
        tiles = np.ascontiguousarray(audio).reshape(-1, TILE_FRAMES)
        left = product(tiles, tables.to_state)
        states = self._states(left.reshape(len(audio), -1, self._state.shape[1]))
        later = product(states.reshape(len(tiles), -1), tables.from_state)
        return product(tiles, tables.from_frames, later).reshape(audio.shape)

    def _states(self, left: Audio) -> Audio:
        """The state before each tile; keeps the one after the last.

        left: what each tile alone leaves, (channels, tiles, order).
        """
        channels, count, order = left.shape
        groups = -(-count // _GROUP_TILES)
        filled = np.zeros((channels, groups * _GROUP_TILES, order), np.float32)
        filled[:, :count] = left
        width = _GROUP_TILES * order
        reached = product(filled.reshape(-1, width), self._tables.between)
        reached = reached.reshape(channels, groups, width)
        found = np.empty((channels, groups * _GROUP_TILES + 1, order))
        found[:, 0] = self._state
        for group in range(groups):
            first = group * _GROUP_TILES
            after = found[:, first] @ self._tables.aged + reached[:, group]
            found[:, first + 1 : first + 1 + _GROUP_TILES] = after.reshape(channels, -1, order)
        self._state = found[:, count].copy()
        return found[:, :count].astype(np.float32)
