"""The cache of weights: fetched once, verified every time before anything opens them.

CACHE/weights/<id>/   the files and SHA256SUMS, put in place by one rename
CACHE/assets/<name>/  likewise
CACHE/downloads/      unfinished downloads
CACHE/lock            one process at a time changes the cache; readers need no lock
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
LOCK_NOTICE_S = 1.0  # how long another process may hold the lock before we say that we wait


def default_cache() -> Path:
    """STEMBRIDGE_CACHE_DIR if it is set, else the system's place for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_cache_path("stembridge")


class Store:
    """The cache and its sources.

    cache_dir: by default `default_cache()`. offline: never ask a source for anything.
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
        self._unreachable: set[str] = set()  # hosts; not asked again for the next bundle
        self._told: set[str] = set()  # licences; told in full once

    def folder(self, weights_id: str) -> Path:
        """Where the files are, or will be."""
        return self.cache_dir / self._weights(weights_id).folder

    def cached(self, weights_id: str) -> bool:
        """Whether all files are there; `ensure` alone says whether they are intact."""
        bundle = self._weights(weights_id)
        return folders.is_complete(self.cache_dir / bundle.folder, bundle)

    def has(self, entry: ModelEntry) -> bool:
        """Whether all weights of a model are there; see `cached`."""
        return all(self.cached(weights_id) for weights_id in entry.weights_ids)

    def ensure(
        self,
        weights_id: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
    ) -> Path:
        """The folder of verified weights, fetched if they are not cached or damaged.

        progress(done_bytes, total_bytes or None, label) is called while something is fetched;
        announce(text) once, with the licence, when something new came into the cache.

        Raises:
            UnknownModel: the catalog has no such weights.
            WeightsUnavailable: no source could deliver; the message lists why and what to do.
        """
        return self._have(self._weights(weights_id), progress, announce)

    def asset(
        self,
        name: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
    ) -> Path:
        """The path of an asset (one verified file); see `ensure`."""
        bundle = self._catalog.assets.get(name)
        if bundle is None:
            raise UnknownModel(
                f"no asset {name!r}: choose one of {', '.join(self._catalog.assets)}"
            )
        return self._have(bundle, progress, announce) / bundle.sources[0].files[0].name

    def add(self, name: str, file: Path, *, announce: Announce | None = None) -> list[str]:
        """Takes a file that the user has instead of a source; the ids of what it brought.

        name: of the model that it belongs to. file: an archive or a file of the catalog, or the
        one catalogued file of an archive, under any name; it stays where it is. Whatever else the
        catalog has in an archive comes into the cache too. What is intact there already is left
        and not among the ids.

        Raises:
            UnknownModel: no such model.
            WrongChecksum: the file is not one of the model's; the message says which are.
            WeightsUnavailable: it cannot be read, or the cache cannot be written.
            BadCheckpoint: it is the right archive, but lacks a catalogued file.
        """
        bundles = self._catalog.bundles_of(self._catalog.find(name))
        try:
            content = file.open("rb")
        except OSError as error:
            raise WeightsUnavailable(f"{file}: cannot be read ({error.strerror})") from None
        with content:
            source = self._which(bundles, content, file, name)
            with self._locked(None):
                new = self._install(source, content)
        self._tell(new, announce)
        return [bundle.id for bundle in new]

    def _which(
        self, bundles: Sequence[Bundle], content: BinaryIO, file: Path, name: str
    ) -> BundleSource:
        """The source that the file is, by its sha256 alone."""
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
        self._tell(new, announce)
        return folder

    def _tell(self, new: Sequence[Bundle], announce: Announce | None) -> None:
        if not new or announce is None:
            return
        lines = []
        for item in new:
            text = str(item.licence)
            lines.append(f"{item.id}: {item.licence.name if text in self._told else text}")
            self._told.add(text)
        announce("\n".join(lines))

    @contextmanager
    def _locked(self, progress: Progress | None) -> Iterator[None]:
        """The cache to ourselves; a disk that does not do its part is one clear error."""
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
        """Everything that the catalog has in what we got, so that it is not fetched twice."""
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
            if archive.sha256 is not None  # else `add` could not tell whether it is the right one
        ]
        return (
            f"{bundle.id} is not in the cache ({self.cache_dir}) and could not be fetched "
            f"({'; '.join(reasons)}): connect and run `stembridge models pull {name}`, or fetch "
            f"{' or '.join(places)} elsewhere and run `stembridge models import {name} FILE`"
        )
