"""Data classes of the catalog; the data itself is catalog.yaml.

model ─► members (one, or a bag) ─► weights (a bundle of files) ─► sources, in turn ─► an archive
                                    asset  (a bundle of files) ─┘                      and its files
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from separator.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Mapping

RATE_HZ = 44_100  # sample rate of every published model of both families
SPEEDS = ((10, "fast"), (25, "medium"), (50, "slow"))  # upper limit, GFLOP per second of audio
SLOWEST = "very slow"
MAX_LISTED_NAMES = 8  # of this many names on, an error does not list them all


def empty_mapping() -> Mapping[str, Any]:
    """An empty, read-only mapping."""
    return MappingProxyType({})


def checksum_matches(stated: str | None, digest: str) -> bool:
    """Whether a sha256 begins with the stated digits; None matches every sum."""
    return stated is None or digest.startswith(stated)


@dataclass(frozen=True)
class Statement:
    """A statement of the licence holder, and its source."""

    says: str
    source: str

    def __str__(self) -> str:
        return f"{self.says} ({self.source})"


@dataclass(frozen=True)
class Licence:
    """Licence of the files: name, holder, source, and further statements in `also`."""

    name: str
    holder: str
    source: str
    also: tuple[Statement, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The licence and its statements, one line each."""
        return (f"{self.name}, {self.holder} ({self.source})", *map(str, self.also))

    def __str__(self) -> str:
        return "; ".join(self.lines)


@dataclass(frozen=True)
class UrlArchive:
    """A .tar.gz or a zip at an address.

    sha256: in hex; all 64 digits, or the first ones that the publisher states (at least 8).
    size_bytes: exact size, or None if not known.
    """

    id: str
    sha256: str
    size_bytes: int | None
    url: str

    @property
    def label(self) -> str:
        return url_label(self.url)

    @property
    def address(self) -> str:
        """Address for display."""
        return self.url


@dataclass(frozen=True)
class UrlFile:
    """A file at an address, used without unpacking.

    sha256: see `UrlArchive`; None if the server states it in its response.
    """

    id: str
    sha256: str | None
    size_bytes: int | None
    url: str

    @property
    def label(self) -> str:
        return url_label(self.url)

    @property
    def address(self) -> str:
        return self.url


@dataclass(frozen=True)
class WheelArchive:
    """A wheel, fetched with pip from the user's configured index."""

    id: str
    sha256: str
    size_bytes: int | None
    package: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.package} {self.version} by pip"

    @property
    def address(self) -> str:
        return f"the Python package {self.package} {self.version}, by pip"


@dataclass(frozen=True)
class NpmArchive:
    """A package, fetched with npm from the user's configured registry."""

    id: str
    sha256: str
    size_bytes: int | None
    package: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.package} {self.version} by npm"

    @property
    def address(self) -> str:
        return f"the npm package {self.package} {self.version}, by npm"


Archive = UrlArchive | UrlFile | WheelArchive | NpmArchive


def url_label(url: str) -> str:
    """Name of the file and its server, for display."""
    return f"{url.rsplit('/', 1)[-1]} from {urlsplit(url).hostname}"


def archive_host(archive: Archive) -> str | None:
    """Host name of an archive's server; None for a package, which the user's settings locate."""
    return urlsplit(archive.url).hostname if isinstance(archive, UrlArchive | UrlFile) else None


@dataclass(frozen=True)
class PackedFile:
    """One file in an archive; sha256: see `UrlArchive`, or None if not catalogued."""

    path: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """File name in the cache."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class BundleSource:
    """One place to get a bundle from: files in an archive, in a checkpoint format."""

    archive: Archive
    format: str
    files: tuple[PackedFile, ...]


@dataclass(frozen=True)
class Bundle:
    """Files that belong together.

    folder: path in the cache. about_bytes: download size of the first source, maybe approximate.
    """

    id: str
    folder: str
    licence: Licence
    sources: tuple[BundleSource, ...]
    about_bytes: int = 0


@dataclass(frozen=True)
class MemberEntry:
    """One network of a model.

    weights_id: id of its bundle.
    architecture: one of `separator.architectures.NAMES`.
    stem_weights: weight in the mean of each stem, in the model's order; the mean divides by their
        sum over the members.
    arguments: the official constructor's keywords, for files that do not record them.
    """

    weights_id: str
    architecture: str
    stem_weights: tuple[float, ...]
    arguments: Mapping[str, Any] = field(default_factory=empty_mapping)


@dataclass(frozen=True)
class ModelEntry:
    """A named model.

    stems: in the model's own order.
    members: its network, or several for a bag.
    segment_s: default segment length of the official program.
    config: the official Spleeter configuration with its own keys (F = 1024 bins of 44100 / 4096 Hz
        reach to 11 kHz); empty for the other family.
    gflop_per_s: work per second of audio without overlap, in 10^9 operations.
    bfloat16_snr_db: SNR of the worst stem in bfloat16 against float32, on music; None if not
        measured.
    note: quality and cost in one line.
    size_bytes: approximate download size of all its weights.
    """

    name: str
    family: str
    stems: tuple[str, ...]
    members: tuple[MemberEntry, ...]
    segment_s: float
    licence: Licence
    note: str
    gflop_per_s: float
    size_bytes: int
    config: Mapping[str, Any] = field(default_factory=empty_mapping)
    rate_hz: int = RATE_HZ
    bfloat16_snr_db: float | None = None

    @property
    def weights(self) -> str:
        """The bundle of a model with one member; of a bag, that of the first."""
        return self.members[0].weights_id

    @property
    def weights_ids(self) -> tuple[str, ...]:
        """Every bundle that it needs, once."""
        return tuple(dict.fromkeys(member.weights_id for member in self.members))

    @property
    def architectures(self) -> tuple[str, ...]:
        """Of its members, each once."""
        return tuple(dict.fromkeys(member.architecture for member in self.members))

    @property
    def speed(self) -> str:
        """fast, medium, slow or very slow."""
        return next((name for limit, name in SPEEDS if self.gflop_per_s < limit), SLOWEST)


@dataclass(frozen=True)
class Catalog:
    """All models, weights and assets; `models` in display order."""

    models: tuple[ModelEntry, ...]
    weights: Mapping[str, Bundle]
    assets: Mapping[str, Bundle]

    def find(self, name: str) -> ModelEntry:
        """The model with a name.

        Raises:
            UnknownModel: there is none; the message suggests the closest name.
        """
        names = [entry.name for entry in self.models]
        if name in names:
            return self.models[names.index(name)]
        raise UnknownModel(f"no model named {name!r}: {_hint(name, names)}")

    def bundles(self) -> tuple[Bundle, ...]:
        """All bundles: weights, then assets."""
        return (*self.weights.values(), *self.assets.values())

    def bundles_of(self, entry: ModelEntry) -> tuple[Bundle, ...]:
        """Weights of a model, in the order of its members."""
        return tuple(self.weights[weights_id] for weights_id in entry.weights_ids)

    def user_of(self, archive: Archive) -> str | None:
        """Name of the first model with weights in the archive, or None."""
        for entry in self.models:
            for bundle in self.bundles_of(entry):
                if any(source.archive.id == archive.id for source in bundle.sources):
                    return entry.name
        return None


def _hint(name: str, names: list[str]) -> str:
    # "tasnet" exists in v1 and v2.
    close = [known for known in names if known.rpartition(":")[2] == name]
    close = close or difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if "." in name:
        return "a checkpoint is a file that ends in .th, .safetensors or .json"
    if len(names) > MAX_LISTED_NAMES:
        return "`stembridge models list` shows all"
    return f"choose one of {', '.join(names)}"
