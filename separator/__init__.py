"""Mixture in, stems out. This package knows nothing of files of audio, folders or DAWs.

    import separator
    spleeter = separator.load("spleeter:2stems")
    stems = spleeter.separate(mixture, 48_000)      # {"vocals": ..., "accompaniment": ...}

torch is imported by the first `load`, not by `import separator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from separator.separator import Residual, Separator
    from separator.weights.download import Progress
    from separator.weights.store import Announce, Store

__all__ = ["available", "load"]


def available() -> tuple[str, ...]:
    """The names of the catalog that `load` takes, in the catalog's order."""
    from separator.weights import catalog

    return tuple(entry.name for entry in catalog.models())


def load(
    name_or_path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    residual: Residual = "stem",
    wiener: bool = False,
    store: Store | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Separator:
    """A ready separator for a model of the catalog or a checkpoint on disk.

    Args:
        name_or_path: a name of `available()`, or the path of an official Spleeter configuration
            (`.json`), whose `model_dir` names the checkpoint's folder beside it.
        device: "auto" (cuda, then mps, then cpu), or a torch device string.
        precision: "auto" or "float32". Both compute in float32, the official result.
        residual: where that goes which no stem holds; see `Separator`.
        wiener: refine the masks by a multichannel Wiener filter (Spleeter only; reads twice).
        store: where weights are cached; the user's cache folder by default.
        progress: hears of weights on their way (bytes done, bytes in all or None, label).
        announce: gets the licence of weights that come into the cache.

    Raises:
        UnknownModel: no such name and no such file.
        WeightsUnavailable: not cached, and no source could be reached.
        WrongChecksum, BadCheckpoint: the file is not what it should be.
        InputError: an option that this model or machine does not have.
    """
    from separator.loading import load as load_model

    return load_model(
        name_or_path,
        device=device,
        precision=precision,
        residual=residual,
        wiener=wiener,
        store=store,
        progress=progress,
        announce=announce,
    )
