"""Conversion of one bounce into a published stem set; used by `watch`, `split` and `batch`.

identify ─► worker process (survey ... verify, session files) ─► check_unchanged ─► publish
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.audio.headers import container_of
from bridge.audio.probe import probe
from bridge.config import DEFAULT_MODEL
from bridge.errors import StembridgeError, UsageError, from_separation
from bridge.ledger.states import Recipe
from bridge.plugins.discovery import fingerprint
from bridge.presets import session_formats
from bridge.publish.manifest import Manifest, versions
from bridge.publish.output_names import stem_file_name
from bridge.publish.transaction import (
    changed_sessions,
    finish,
    publish,
    publishing,
    read_manifest,
    staging,
)
from bridge.render.disk_estimate import peak_disk_bytes
from bridge.render.model_request import ModelRequest
from bridge.render.request import RenderRequest
from bridge.render.stopwatch import Stopwatch
from bridge.source import check_unchanged, identify
from bridge.worker.client import Worker
from separator.errors import SeparatorError
from separator.version import is_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Settings
    from bridge.presets.loader import Preset
    from bridge.source import Identity

    Listener = Callable[[str, float], None]


@dataclass(frozen=True)
class Converter:
    """Settings, preset, model and worker process that convert bounces into stem sets.

    `load` fetches and loads the model ahead of the first bounce. `close` it, or use it as a context
    manager, to end the worker; several converters may share one.

    Attributes:
        settings: settings in force.
        preset: preset that every bounce gets.
        model: model name, or the absolute path of a model file.
        worker: process that decodes, separates and encodes.
        model_holds: whether `with_preset` keeps the model (it came from the command line) instead
            of choosing the one of the new preset.
    """

    settings: Settings
    preset: Preset
    model: str
    worker: Worker = field(default_factory=Worker, compare=False)
    model_holds: bool = True

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process."""
        self.worker.stop()

    def with_preset(self, preset: Preset) -> Converter:
        """A converter for another preset, and its model, with the same worker."""
        model = self.model if self.model_holds else choose_model(None, preset, self.settings)
        return dataclasses.replace(self, preset=preset, model=model)

    def load(self, waiting: Callable[[], None] = lambda: None) -> tuple[str, ...]:
        """Load the model in the worker, fetching its weights if they are not cached.

        waiting: called several times a second; an exception of it ends the worker and is passed on.
        Returns the names of the model's outputs.

        Raises:
            UsageError: the model is unknown, or the preset does not fit it.
            ModelUnavailable: the weights cannot be fetched.
            ModelError: the weights are unusable.
            WorkerLost: the worker process ended or hung.
            PresetError: a session file of the preset cannot be written on this machine.
        """
        session_formats.check_available(self.preset.session, self.preset.path)
        outputs = self.worker.load(self._model_order, stall_s=self._stall_s, waiting=waiting)
        self.preset.outputs(outputs)  # raises if the preset names other stems
        return outputs

    @cached_property
    def _model_order(self) -> ModelRequest:
        return ModelRequest(
            model=self.model,
            device=self.settings.device,
            precision=self.settings.precision,
            options=self._options,
            cache_dir=self.settings.cache_dir.absolute(),
        )

    @property
    def _stall_s(self) -> float:
        """Seconds without a message until the worker counts as hung; it reports once a segment."""
        return self.settings.stall_s * max(1, self.preset.separation.shifts)

    @property
    def _options(self) -> dict[str, Any]:
        """Separation options of the preset, as arguments of `separator.load`."""
        options = self.preset.separation.model_dump()
        return {"residual": self.preset.residual, "stems": self._wanted, **options}

    @property
    def _wanted(self) -> tuple[str, ...] | None:
        """Stems that the preset needs, so that a catalog model can skip the others; None for all.

        None as well for an unknown stem: that is the preset's mistake, and raised for it later.
        """
        from separator.options import RESIDUAL_NAME
        from separator.weights import catalog

        entries = {entry.name: entry for entry in catalog.models()}
        wanted, entry = self.preset.required_sources, entries.get(self.model)
        if wanted is None or entry is None or self.preset.separation.two_stems:
            return None
        return wanted if {*wanted} <= {*entry.stems, RESIDUAL_NAME} else None

    @cached_property
    def model_version(self) -> str:
        """Version of the model; see `separator.version`."""
        from separator.version import model_version

        try:
            return model_version(self.model)
        except SeparatorError as error:
            raise from_separation(error) from error

    def recipe(self, out_dir: Path) -> Recipe:
        """Preset, model and output folder, as the ledger records them for a job."""
        return Recipe(
            preset_name=self.preset.name,
            preset_hash=self.preset.content_hash,
            model=self.model,
            model_version=self.model_version,
            out_dir=out_dir,
        )

    def convert(
        self, source: Path, target: Path, out_dir: Path, listener: Listener
    ) -> tuple[Manifest, Path]:
        """Convert one bounce and publish its stems; see `convert_identified`.

        Args:
            source: the bounce.
            target: folder of its stem set, inside `out_dir`.
            out_dir: folder of all stem sets.
            listener: called with (stage, share done).

        Returns:
            the manifest and its path.

        Raises:
            StembridgeError: nothing was published.
        """
        bounce = identify(source, waiting=lambda: listener("survey", 0.0))
        return self.convert_identified(bounce, target, out_dir, listener)

    def convert_identified(
        self,
        bounce: Identity,
        target: Path,
        out_dir: Path,
        listener: Listener,
        confirm: Callable[[], None] = lambda: None,
    ) -> tuple[Manifest, Path]:
        """Convert an identified bounce and publish its stems in `target`.

        Args:
            bounce: the bounce with its hash.
            target: folder of its stem set, inside `out_dir`; an existing set is replaced.
            out_dir: folder of all stem sets; its staging folder is on the file system of `target`.
            listener: called with (stage, share done), several times a second; an exception of it
                ends the worker and is passed on.
            confirm: called right before publishing; raises to prevent it.

        Returns:
            the manifest and its path.

        Raises:
            StembridgeError: nothing was published; an older set is unchanged.
        """
        outputs = self.preset.outputs(self.load(waiting=lambda: listener("survey", 0.0)))
        output = self.preset.output
        container = container_of(bounce.path) if output.format == "same" else ""
        suffix = output.target(container).suffix
        order = RenderRequest(
            source=bounce.path,
            sha256=bounce.sha256,
            preset=self.preset,
            model_version=self.model_version,
            file_names={output: stem_file_name(target.name, output, suffix) for output in outputs},
            target=target,
        )
        watch = Stopwatch(listener)
        with staging(out_dir) as folder:
            try:
                manifest = self.worker.process(
                    self._model_order, order, folder, listener, stall_s=self._stall_s
                )
            except StembridgeError:
                # If the bounce was rendered over, that is the cause to report.
                check_unchanged(bounce, waiting=lambda: listener("verify", 1.0))
                raise
            check_unchanged(bounce, waiting=lambda: listener("verify", 1.0))
            with publishing(out_dir, target), watch.stage("publish"):
                confirm()
                manifest = manifest.without_sessions(changed_sessions(manifest.to_json(), target))
                path = publish(folder, manifest.to_json(), target)
        seconds = {**manifest.seconds, **watch.seconds}
        return dataclasses.replace(manifest, seconds=seconds), path

    def published_before(
        self,
        bounce: Identity,
        target: Path,
        out_dir: Path,
        waiting: Callable[[], None] = lambda: None,
        confirm: Callable[[], None] = lambda: None,
    ) -> tuple[Manifest, Path] | None:
        """The result of `convert_identified`, if `target` already holds it complete.

        That is so after a service died between publishing and recording it in the ledger.

        Args:
            bounce: the bounce with its hash.
            target: folder of its stem set.
            out_dir: folder of all stem sets.
            waiting: called while files are read; its exceptions are passed on.
            confirm: called right before finishing the publication; raises to prevent it.

        Returns:
            the manifest and its path; None for another or an incomplete set.

        Raises:
            OutputError: the disk refused to finish the publication.
        """
        try:
            manifest = Manifest.from_json(read_manifest(target) or {})
            if not self._would_make(manifest, bounce):
                return None
            for stem in manifest.stems:
                if identify(target / stem.path, waiting).sha256 != stem.sha256:
                    return None
            # Session files need not match their hash: the user may have saved into them.
            if not all((target / session.path).is_file() for session in manifest.sessions):
                return None
            check_unchanged(bounce, waiting)
        except (KeyError, TypeError, StembridgeError):
            return None  # unreadable or incomplete: convert again
        with publishing(out_dir, target):
            confirm()
            return manifest, finish(target)

    def _would_make(self, manifest: Manifest, bounce: Identity) -> bool:
        """Whether the manifest is of this bounce, preset, model and software versions."""
        return (
            manifest.source.sha256 == bounce.sha256
            and manifest.preset.get("hash") == self.preset.content_hash
            and manifest.model.get("version") == self.model_version
            and manifest.versions == versions()
            and self._has_plugins(manifest)
        )

    def _has_plugins(self, manifest: Manifest) -> bool:
        """Whether the plugins that a set was made with are installed unchanged."""
        files = {file.name: file for file in self.preset.plugin_files}
        return all(
            name in files and recorded.get("sha256") == fingerprint(files[name])
            for name, recorded in manifest.plugins.items()
        )

    def needed_bytes(self, source: Path, waiting: Callable[[], None] = lambda: None) -> int:
        """Peak disk space in bytes that converting `source` takes; 0 if it cannot be estimated.

        waiting: see `load`.
        """
        try:
            info = probe(source, self.preset.bounce)
            return peak_disk_bytes(self.preset, self.load(waiting), info, info.frames or 0)
        except StembridgeError:
            return 0


def choose_model(flag: str | None, preset: Preset, settings: Settings) -> str:
    """Choose the model: command line, then preset, then settings, then the default.

    Args:
        flag: model of the command line, if given.
        preset: preset in force.
        settings: settings in force.

    Returns:
        the model name, or the absolute path of a model file.

    Raises:
        UsageError: the chosen name is empty.
    """
    named = (one for one in (flag, preset.model, settings.model) if one is not None)
    chosen = next(named, DEFAULT_MODEL)
    if not chosen.strip():
        raise UsageError("the model's name is empty: see `stembridge models list`")
    if is_path(chosen):
        return str(Path(chosen).absolute())  # one spelling, so that recipes compare equal
    return chosen
