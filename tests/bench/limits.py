"""What the machine could do at best: the rate of its matrix products, and one segment of HTDemucs.

Runs in a process of its own and prints JSON, as it imports torch: python -m tests.bench.limits
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 3072  # square matrices: large enough that the work is arithmetic, 38 MB each in float32
PRODUCTS = 8
SEGMENTS = 3
RATE_HZ = 44_100
SEGMENT_FRAMES = 343_980  # 39/5 s, of the released model


def main() -> None:
    """The best of several, as a limit is not a median."""
    import torch

    with torch.inference_mode():
        found: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "gflop_per_s": {
                kind: _product_rate(getattr(torch, kind)) for kind in ("float32", "bfloat16")
            },
            "segment_s": _segments(),
        }
    print(json.dumps(found))


def _product_rate(dtype: Any) -> float:
    """GFLOP/s of square matrix products on all threads."""
    import torch

    left, right = (torch.randn(SIZE, SIZE).to(dtype) for _ in range(2))
    best_s = _best_s(lambda: torch.mm(left, right), PRODUCTS)
    return float(2 * SIZE**3 / best_s / 1e9)


def _segments() -> dict[str, float]:
    """Seconds for one segment alone, with all threads, as the model module is called."""
    import torch

    import separator
    from separator.errors import SeparatorError

    mixture = 0.1 * torch.randn(1, 2, SEGMENT_FRAMES, generator=torch.Generator().manual_seed(0))
    found: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        try:
            model = separator.load("htdemucs", "cpu", precision).model
        except SeparatorError:  # not of this version, or not on this processor
            continue
        found[precision] = _best_s(lambda model=model: model(mixture), SEGMENTS)
    return found


def _best_s(work: Callable[[], object], times: int) -> float:
    work()  # packs weights and makes threads
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
