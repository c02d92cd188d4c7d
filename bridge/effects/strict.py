"""How a preset's models take what a file says: exactly, or not at all."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic_core import PydanticCustomError

# No coercion ("3" is not 3), no unknown key, no NaN, no change after loading.
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def preset_error(message: str) -> PydanticCustomError:
    """An error whose message is final (pydantic would fill in braces)."""
    return PydanticCustomError("preset", "{message}", {"message": message})
