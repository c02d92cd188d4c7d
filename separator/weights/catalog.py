"""The catalog: every named model, its weights, where they come from and their licence.

The data is catalog.yaml beside this module, checked and typed by `catalog_file`; what it is made
of is in `entries`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from separator.errors import UnknownModel
from separator.weights.entries import (
    Archive,
    Bundle,
    Licence,
    Member,
    ModelEntry,
    NpmArchive,
    PackedFile,
    Source,
    Statement,
    UrlArchive,
    UrlFile,
    WheelArchive,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Archive",
    "Bundle",
    "Catalog",
    "Licence",
    "Member",
    "ModelEntry",
    "NpmArchive",
    "PackedFile",
    "Source",
    "Statement",
    "UrlArchive",
    "UrlFile",
    "WheelArchive",
    "find",
    "load",
    "models",
]

MANY = 8  # of this many names on, an error does not list them all


@dataclass(frozen=True)
class Catalog:
    """All of it; `models` in the order in which a list should show them."""

    models: tuple[ModelEntry, ...]
    weights: Mapping[str, Bundle]
    assets: Mapping[str, Bundle]

    def find(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            UnknownModel: there is none; the message suggests the closest.
        """
        names = [entry.name for entry in self.models]
        if name in names:
            return self.models[names.index(name)]
        raise UnknownModel(f"no model named {name!r}: {_hint(name, names)}")

    def bundles(self) -> tuple[Bundle, ...]:
        """Weights and assets alike."""
        return (*self.weights.values(), *self.assets.values())

    def bundles_of(self, entry: ModelEntry) -> tuple[Bundle, ...]:
        """The weights of a model, in the order of its members."""
        return tuple(self.weights[weights_id] for weights_id in entry.weights_ids)

    def user_of(self, archive: Archive) -> str | None:
        """The name of the first model whose weights lie in the archive."""
        for entry in self.models:
            for bundle in self.bundles_of(entry):
                if any(source.archive.id == archive.id for source in bundle.sources):
                    return entry.name
        return None


def _hint(name: str, names: list[str]) -> str:
    # "tasnet" may be that of v2 or that of v1.
    close = [known for known in names if known.rpartition(":")[2] == name]
    close = close or difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if len(names) > MANY:
        return "`stembridge models list` shows all"
    return f"choose one of {', '.join(names)}"


def find(name: str) -> ModelEntry:
    """The model of that name in the shipped catalog; see `Catalog.find`."""
    return load().find(name)


def models() -> tuple[ModelEntry, ...]:
    """Every model of the shipped catalog."""
    return load().models


@cache
def load() -> Catalog:
    """The shipped catalog, read once."""
    from separator.weights.catalog_file import parse

    text = resources.files(__package__).joinpath("catalog.yaml").read_text(encoding="utf-8")
    return parse(text)
