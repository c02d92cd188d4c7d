"""Pickles that call a function when an unrestricted reader loads them."""

from __future__ import annotations

from typing import Any

MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


class Calls:
    """Pickles to a call of a function with arguments."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts
