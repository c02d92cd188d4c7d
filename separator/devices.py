"""Selection of the torch device."""

from __future__ import annotations

import torch

from separator.errors import InputError


def choose_device(device: str) -> torch.device:
    """The torch device for a name; "auto" is the first available of cuda, mps and cpu.

    Raises:
        InputError: torch does not know the device, or it is not available on this machine.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        if "device type at start of device string" in reason:  # and a list of twenty others
            reason = "torch knows no such device"
        raise InputError(
            f"device {device!r} cannot be used here ({reason}): try 'auto' or 'cpu'"
        ) from None
    return place
