"""The catalog: every named model, its weights, where they come from and their licence.

The data is catalog.yaml in this folder, parsed and checked by `catalog_file` into the classes of
`entries`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from separator.weights.catalog_file import parse

if TYPE_CHECKING:
    from separator.weights.entries import Catalog, ModelEntry


def find(name: str) -> ModelEntry:
    """The model of that name in the shipped catalog; see `Catalog.find`."""
    return load().find(name)


def models() -> tuple[ModelEntry, ...]:
    """Every model of the shipped catalog."""
    return load().models


@cache
def load() -> Catalog:
    """The shipped catalog, read once."""
    text = resources.files(__package__).joinpath("catalog.yaml").read_text(encoding="utf-8")
    return parse(text)
