"""Request to load a model. The worker reads it first, so this module imports very little."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ModelRequest:
    """Arguments of `separator.load`; `cache_dir` holds the weights."""

    model: str
    device: str
    precision: str
    options: Mapping[str, Any]
    cache_dir: Path

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "cache_dir": str(self.cache_dir)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelRequest:
        """Inverse of `to_json`, with a tuple for every list."""
        fields: dict[str, Any] = {**lists_to_tuples(data), "cache_dir": Path(data["cache_dir"])}
        return cls(**fields)


def lists_to_tuples(data: Any) -> Any:
    """The same data with a tuple for every list, as the strict schema requires."""
    if isinstance(data, dict):
        return {key: lists_to_tuples(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return tuple(lists_to_tuples(item) for item in data)
    return data
