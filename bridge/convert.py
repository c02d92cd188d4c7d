"""From a bounce to its stems, all stages on one screen; `watch` and `split` both work through it.

identify ─► worker process (survey ... verify, session files) ─► still the same? ─► publish
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
        """Ends the worker process."""
        self.worker.stop()

    def with_preset(self, preset: Preset) -> Converter:
        """A converter for another preset, and its model, with the same worker."""
        model = self.model if self.model_holds else choose_model(None, preset, self.settings)
        return dataclasses.replace(self, preset=preset, model=model)

    def load(self, waiting: Callable[[], None] = lambda: None) -> tuple[str, ...]:
        """Has the worker load the model, and fetch its weights when they are not cached.

        waiting: called several times a second; what it raises ends the worker and is passed on.
        Returns the names of the model's outputs.

        Raises:
            UsageError: no such model, or the preset does not fit it. ModelUnavailable: no weights.
            ModelError: they are unusable. WorkerLost: the process did not live long enough.
            PresetError: a session file of the preset cannot be written on this machine.
        """
        session_formats.check(self.preset.session, self.preset.path)
        outputs = self.worker.load(self._model_order, stall_s=self._stall_s, waiting=waiting)
        self.preset.outputs(outputs)  # a preset for other stems is refused at once
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
        """How long the worker may be silent: it speaks after each segment, all its shifts done."""
        return self.settings.stall_s * max(1, self.preset.separation.shifts)

    @property
    def _options(self) -> dict[str, Any]:
        """What the preset says about the separation, as `separator.load` takes it."""
        asked = self.preset.separation.model_dump()
        return {"residual": self.preset.residual, "stems": self._wanted, **asked}

    @property
    def _wanted(self) -> tuple[str, ...] | None:
        """The stems that are enough, where a model of the catalog can leave out a part of itself.

        A stem that it does not have is the preset's mistake, and told with the preset's name later.
        """
        from separator.options import RESIDUAL_NAME
        from separator.weights import catalog

        entries = {entry.name: entry for entry in catalog.models()}
        wanted, entry = self.preset.wanted, entries.get(self.model)
        if wanted is None or entry is None or self.preset.separation.two_stems:
            return None
        return wanted if {*wanted} <= {*entry.stems, RESIDUAL_NAME} else None

    @cached_property
    def model_version(self) -> str:
        """See `separator.version`."""
        from separator.version import model_version

        try:
            return model_version(self.model)
        except SeparatorError as error:
            raise from_separation(error) from error

    def recipe(self, out_dir: Path) -> Recipe:
        """What the ledger remembers of this converter."""
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
        """Makes and publishes the stems of one bounce; see `convert_identified`."""
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
        """Makes the stems of a bounce and publishes them in `target`.

        Args:
            bounce: the source, hashed.
            target: its folder, inside `out_dir`; a set that lies there is replaced.
            out_dir: holds the staging folder, on the same file system as `target`.
            listener: hears (stage, share done), the last again several times a second; what it
                raises ends the worker and is passed on.
            confirm: called right before publishing; raises when that must not be.

        Returns:
            the manifest and its path.

        Raises:
            StembridgeError: nothing was published then, and an older set still lies there.
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
                # A bounce that was rendered over explains any failure.
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
        """What `convert_identified` would give, when all of it lies in `target` already.

        So it is when a service died after it had published and before its ledger knew: to do that
        bounce again would be to do it twice. None when the set is another one or not whole.

        waiting: called while files are read; what it raises is passed on. confirm: see there.

        Raises OutputError when the disk refuses to end what was begun.
        """
        try:
            manifest = Manifest.from_json(read_manifest(target) or {})
            if not self._would_make(manifest, bounce):
                return None
            for stem in manifest.stems:
                if identify(target / stem.path, waiting).sha256 != stem.sha256:
                    return None
            # The user may have saved work into a session file; it only has to be there.
            if not all((target / session.path).is_file() for session in manifest.sessions):
                return None
            check_unchanged(bounce, waiting)
        except (KeyError, TypeError, StembridgeError):
            return None  # whatever it is: it is made again
        with publishing(out_dir, target):
            confirm()
            return manifest, finish(target)

    def _would_make(self, manifest: Manifest, bounce: Identity) -> bool:
        """Whether this converter, in these versions of everything, makes that of this bounce."""
        return (
            manifest.source.sha256 == bounce.sha256
            and manifest.preset.get("hash") == self.preset.content_hash
            and manifest.model.get("version") == self.model_version
            and manifest.versions == versions()
            and self._has_plugins(manifest)
        )

    def _has_plugins(self, manifest: Manifest) -> bool:
        """Whether the plugins that made a set are those that are installed now."""
        files = {file.name: file for file in self.preset.plugin_files}
        return all(
            name in files and told.get("sha256") == fingerprint(files[name])
            for name, told in manifest.plugins.items()
        )

    def needed_bytes(self, source: Path, waiting: Callable[[], None] = lambda: None) -> int:
        """Bytes that the job of a bounce takes on disk for a while; 0 when that cannot be told.

        waiting: see `load`.
        """
        try:
            info = probe(source, self.preset.bounce)
            return peak_disk_bytes(self.preset, self.load(waiting), info, info.frames or 0)
        except StembridgeError:
            return 0


def choose_model(flag: str | None, preset: Preset, settings: Settings) -> str:
    """The model in force: command line, then preset, then settings, then the default.

    Raises:
        UsageError: the choice is empty.
    """
    named = (one for one in (flag, preset.model, settings.model) if one is not None)
    chosen = next(named, DEFAULT_MODEL)
    if not chosen.strip():
        raise UsageError("the model's name is empty: see `stembridge models list`")
    if is_path(chosen):
        return str(Path(chosen).absolute())  # one model, from wherever it is named
    return chosen
