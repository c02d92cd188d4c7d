"""Recursive filters computed as matrix products, tile by tile, without a loop over frames.

A filter of low order is x -> y with a short state s: s' = A s + B x, y = C s + D x. A tile of
frames takes one product for its own output, one for the contribution of its initial state, and one
for its final state (Burrus, "Block realization of digital filters", IEEE Trans.
Audio Electroacoust. 20 (4), 1972). The states of many tiles follow from each other in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.single_thread import matmul

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Audio

    Matrix = npt.NDArray[np.float64]
    Biquad = tuple[float, float, float, float, float]

# Frames in a tile, tiles in a group. Larger: more arithmetic. Smaller: more steps in Python.
TILE_FRAMES = 64
_GROUP_TILES = 64


class StateSpace:
    """A cascade of biquads as one filter: s' = a s + b x, y = c s + d x. float64.

    sections: (b0, b1, b2, a1, a2) of each biquad, a0 is 1.
    """

    def __init__(self, sections: Sequence[Biquad]) -> None:
        self.a: Matrix = np.zeros((0, 0))
        self.b: Matrix = np.zeros((0, 1))
        self.c: Matrix = np.zeros((1, 0))
        self.d = 1.0
        for section in sections:
            self._append(*section)

    def _append(self, b0: float, b1: float, b2: float, a1: float, a2: float) -> None:
        """Append a section in transposed direct form II."""
        a = np.array([[-a1, 1.0], [-a2, 0.0]])
        b = np.array([[b1 - a1 * b0], [b2 - a2 * b0]])
        self.a = np.block([[self.a, np.zeros((len(self.a), 2))], [b @ self.c, a]])
        self.b = np.concatenate([self.b, b * self.d])
        self.c = np.concatenate([b0 * self.c, [[1.0, 0.0]]], axis=1)
        self.d *= b0

    def balance(self) -> None:
        """Change the state basis so that the norm of a state is the energy of its free response.

        The basis is the Cholesky factor of the observability Gramian; rounding errors of all
        states then have the same level in the output. States of direct forms hold large
        differences at frequencies far below the rate.
        """
        energy, decay = self.c.T @ self.c, self.a
        while np.abs(decay).max() > np.finfo(np.float64).eps:
            energy = energy + decay.T @ energy @ decay  # doubles the number of frames
            decay = decay @ decay
        root = np.linalg.cholesky(energy).T
        inverse = np.linalg.inv(root)
        self.a, self.b, self.c = root @ self.a @ inverse, root @ self.b, self.c @ inverse


class _Tables:
    """Matrices that tiles are multiplied by: rows are inputs, columns are outputs."""

    def __init__(self, space: StateSpace) -> None:
        powers = _powers(space.a, TILE_FRAMES + 1)
        observed = space.c @ powers[:-1]
        response = [space.d, *(observed @ space.b).ravel()[:-1]]
        self.from_frames = _toeplitz(np.reshape(response, (-1, 1, 1))).astype(np.float32)
        self.from_state = np.ascontiguousarray(observed[:, 0].T, np.float32)
        self.to_state = (powers[-2::-1] @ space.b)[:, :, 0].astype(np.float32)
        # From tile to tile: the final state of each contributes to all later states.
        tiles = _powers(powers[-1], _GROUP_TILES + 1)
        self.between = _toeplitz(tiles[:-1]).astype(np.float32)
        self.aged: Matrix = np.concatenate([each.T for each in tiles[1:]], axis=1)


def _powers(a: Matrix, count: int) -> Matrix:
    """Powers a ** 0 to a ** (count - 1), shape (count, order, order)."""
    found = [np.eye(len(a))]
    for _ in range(count - 1):
        found.append(a @ found[-1])
    return np.stack(found)


def _toeplitz(kernels: Matrix) -> Matrix:
    """Block Toeplitz matrix for convolution: row i sums kernels[i - j] @ vectors[j]."""
    count, size, _ = kernels.shape
    table = np.zeros((count, size, count, size))
    for start in range(count):
        table[start, :, start:] = np.moveaxis(kernels[: count - start], 2, 0)
    return table.reshape(count * size, count * size)


class RecursiveFilter:
    """A recursive filter with a state per channel; products in float32, group states in float64.

    sections: see `StateSpace`.
    """

    def __init__(self, sections: Sequence[Biquad], channels: int) -> None:
        space = StateSpace(sections)
        space.balance()
        self._tables = _Tables(space)
        self._state: Matrix = np.zeros((channels, len(space.a)))

    def process(self, audio: Audio) -> Audio:
        """Filter the next frames: (channels, n) float32 in and out, n a multiple of TILE_FRAMES."""
        if not audio.shape[1]:
            return audio
        tables = self._tables
        tiles = np.ascontiguousarray(audio).reshape(-1, TILE_FRAMES)
        left = matmul(tiles, tables.to_state)
        states = self._states(left.reshape(len(audio), -1, self._state.shape[1]))
        later = matmul(states.reshape(len(tiles), -1), tables.from_state)
        return matmul(tiles, tables.from_frames, later).reshape(audio.shape)

    def _states(self, left: Audio) -> Audio:
        """States before each tile; the state after the last one is stored.

        left: the final state of each tile for a zero initial state, (channels, tiles, order).
        """
        channels, count, order = left.shape
        groups = -(-count // _GROUP_TILES)
        filled = np.zeros((channels, groups * _GROUP_TILES, order), np.float32)
        filled[:, :count] = left
        width = _GROUP_TILES * order
        reached = matmul(filled.reshape(-1, width), self._tables.between)
        reached = reached.reshape(channels, groups, width)
        found = np.empty((channels, groups * _GROUP_TILES + 1, order))
        found[:, 0] = self._state
        for group in range(groups):
            first = group * _GROUP_TILES
            after = found[:, first] @ self._tables.aged + reached[:, group]
            found[:, first + 1 : first + 1 + _GROUP_TILES] = after.reshape(channels, -1, order)
        self._state = found[:, count].copy()
        return found[:, :count].astype(np.float32)
