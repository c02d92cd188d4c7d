"""M4A files for tests, written as a job writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.audio.metadata.model import Metadata
from bridge.audio.targets.registry import TARGETS
from bridge.audio.targets.spec import Spec
from bridge.audio.targets.writers import open_writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

RATE_HZ = 44_100


def m4a(path: Path, audio: NDArray[np.float32], *, block_frames: int = 5_000, **spec: Any) -> Path:
    """(channels, frames) as an M4A file; further keywords are those of `Spec`."""
    form: dict[str, Any] = {"rate_hz": RATE_HZ, "metadata": Metadata(), **spec}
    target = TARGETS["m4a"]
    wanted = Spec(
        target=target,
        channels=len(audio),
        frames=audio.shape[1],
        subtype="AAC",
        channel_mask=None,
        extensible=False,
        **form,
    )
    with open_writer(path, wanted) as writer:
        for first in range(0, audio.shape[1], block_frames):
            writer.write_float(audio[:, first : first + block_frames])
    return path
