"""The worker of a service under test: its steps are numbered, and its model needs no torch."""

from __future__ import annotations

import contextlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import separator
from bridge.dsp import filters, true_peak
from bridge.worker import serve
from tests.crash import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

REAL = "CRASH_REAL_MODEL"  # in the environment: take the model that was asked for
# Powers of two, so that the stems add up without any rounding.
SHARES = {"vocals": 0.25, "accompaniment": 0.75}
BLOCK_FRAMES = 16_384


class Shares:
    """Stands in for `separator.Separator`: each stem is a fixed share of the mixture."""

    name = "shares"
    outputs = tuple(SHARES)
    device = "cpu"
    precision = "float32"
    hop_s = 1.0
    notes: tuple[str, ...] = ()

    def stream(
        self, blocks: Iterable[NDArray[np.float32]], _rate_hz: int
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        for block in blocks:
            for start in range(0, block.shape[1], BLOCK_FRAMES):
                part = block[:, start : start + BLOCK_FRAMES]
                yield {name: part * part.dtype.type(share) for name, share in SHARES.items()}


def main() -> NoReturn:
    """As `serve.main`."""
    if not os.environ.get(REAL):
        sys.modules["torch"] = None  # type: ignore[assignment] # seconds for each service
        sys.modules["separator.parallel"] = _without_threads()
        separator.load = _load
        filters.matmul = true_peak.matmul = _product
        true_peak.row_max = lambda values: values.max(axis=1)
    steps.install(steps.WORKER)
    serve.main()


def _product(
    left: NDArray[np.float32], right: NDArray[np.float32], plus: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    made: NDArray[np.float32] = left @ right
    return made if plus is None else made + plus


def _without_threads() -> ModuleType:
    """Stands in for `separator.parallel`, whose threads are torch's."""
    module = ModuleType("separator.parallel")
    module.single_threaded = contextlib.nullcontext  # type: ignore[attr-defined]
    module.set_threads = lambda _count: None  # type: ignore[attr-defined]
    return module


def _load(*_: Any, **__: Any) -> Any:
    return Shares()
