"""In which number format a model multiplies: float32, or bfloat16 where that is nearly as good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from separator.errors import InputError

if TYPE_CHECKING:
    import torch

    from separator.strategy import Model

PRECISIONS = ("auto", "float32", "bfloat16")

LEAST_SNR_DB = 33.0  # of what "auto" may choose, against float32 on music, in every stem


def check_precision(precision: str) -> None:
    """InputError for anything but one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")


def set_precision(
    model: Model, precision: str, device: torch.device, measured_snr_db: float | None
) -> str:
    """Casts the model's weights, once, where it has to; returns "float32" or "bfloat16".

    "auto" takes bfloat16 only on a CPU that multiplies it itself (AVX512-BF16, AMX), and only for
    weights whose loss was measured and is next to nothing.

    Args:
        measured_snr_db: of the model's worst stem in bfloat16 against float32; None if nobody has
            measured it. For the catalog's models it stands there as `bfloat16_snr_db`.

    Raises:
        InputError: bfloat16 for a model that is not made for it.
    """
    if precision == "auto":
        precision = automatic_precision(device, measured_snr_db)
    if precision == "bfloat16":
        if not model.takes_bfloat16:
            raise InputError(
                "this model computes in float32 only: leave precision out, or take HTDemucs or "
                "Spleeter"
            )
        model.to_bfloat16()
    return precision


def automatic_precision(device: torch.device, measured_snr_db: float | None) -> str:
    """What "auto" stands for on a device; measured_snr_db as in `set_precision`."""
    harmless = measured_snr_db is not None and measured_snr_db >= LEAST_SNR_DB
    wanted = harmless and device.type == "cpu" and _cpu_multiplies_bfloat16()
    return "bfloat16" if wanted else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it; without them it would be slower than float32.

    torch's own look at the processor: it has no public name yet, and an older torch lacks it.
    """
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
