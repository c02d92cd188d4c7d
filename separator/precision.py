"""Number format of a model's multiplications: float32, or bfloat16 if the loss is negligible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from separator.errors import InputError

if TYPE_CHECKING:
    import torch

    from separator.strategy import Model

PRECISIONS = ("auto", "float32", "bfloat16")

LEAST_SNR_DB = 33.0  # "auto" needs this against float32, on music, in every stem


def check_precision(precision: str) -> None:
    """Raise InputError unless `precision` is one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")


def set_precision(
    model: Model, precision: str, device: torch.device, measured_snr_db: float | None
) -> str:
    """Cast the model's weights to the chosen number format.

    Args:
        model: the network, already filled with its weights.
        precision: one of `PRECISIONS`. "auto" chooses bfloat16 only on a CPU with instructions for
            it (AVX512-BF16, AMX), and only for weights with a measured, negligible loss.
        device: where the model will run.
        measured_snr_db: SNR of the worst stem in bfloat16 against float32; None if not measured.
            The catalog has it as `bfloat16_snr_db`.

    Returns:
        "float32" or "bfloat16".

    Raises:
        InputError: the model does not support bfloat16.
    """
    if precision == "auto":
        precision = automatic_precision(device, measured_snr_db)
    if precision == "bfloat16":
        if not model.takes_bfloat16:
            raise InputError(
                "this model computes in float32 only: leave out the precision, or choose HTDemucs "
                "or Spleeter"
            )
        model.to_bfloat16()
    return precision


def automatic_precision(device: torch.device, measured_snr_db: float | None) -> str:
    """The precision that "auto" chooses on a device; measured_snr_db: see `set_precision`."""
    harmless = measured_snr_db is not None and measured_snr_db >= LEAST_SNR_DB
    wanted = harmless and device.type == "cpu" and _cpu_multiplies_bfloat16()
    return "bfloat16" if wanted else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has bfloat16 instructions; without them it is slower than float32.

    torch's detection has no public name yet, and older versions lack it.
    """
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
