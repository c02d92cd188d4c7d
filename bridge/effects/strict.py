"""Strict pydantic configuration of the preset models, and their error type."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic_core import PydanticCustomError

# No coercion ("3" is not 3), no unknown keys, no NaN, immutable.
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def preset_error(message: str) -> PydanticCustomError:
    """Validation error with a literal message (pydantic would expand braces)."""
    return PydanticCustomError("preset", "{message}", {"message": message})
