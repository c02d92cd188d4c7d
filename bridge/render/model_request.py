"""Which model the worker is to have ready. It comes first, so this imports next to nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ModelRequest:
    """A model, as `separator.load` takes it. cache_dir: where weights are."""

    model: str
    device: str
    precision: str
    options: Mapping[str, Any]
    cache_dir: Path

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "cache_dir": str(self.cache_dir)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelRequest:
        """What `to_json` gave, with a tuple for every list."""
        fields: dict[str, Any] = {**lists_to_tuples(data), "cache_dir": Path(data["cache_dir"])}
        return cls(**fields)


def lists_to_tuples(data: Any) -> Any:
    """The same data with a tuple for every list, as the strict schema wants it."""
    if isinstance(data, dict):
        return {key: lists_to_tuples(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return tuple(lists_to_tuples(item) for item in data)
    return data
