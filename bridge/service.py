"""From a bounce to its stems, all stages on one screen; `watch` and `split` both work through it.

identify ─► process (survey, separate, chain, encode, verify) ─► still the same? ─► publish
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.config import DEFAULT_MODEL
from bridge.errors import ModelError, StembridgeError, from_separation
from bridge.intake.claim import identify, still
from bridge.intake.names import stem_file_name
from bridge.ledger.states import Recipe
from bridge.publish import publish, staging
from bridge.worker import Order, Stopwatch, process
from separator.errors import SeparatorError
from separator.version import is_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.chain.preset import Preset
    from bridge.config import Settings
    from bridge.intake.claim import Identity
    from bridge.report import Manifest
    from separator.separator import Separator

    Listener = Callable[[str, float], None]
    Fetching = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Engine:
    """What stays the same from bounce to bounce: settings, preset, model.

    fetching: hears of weights on their way (bytes done, bytes in all, label).
    announce: gets the licence of weights that are fetched for the first time.
    """

    settings: Settings
    preset: Preset
    model: str
    fetching: Fetching | None = None
    announce: Callable[[str], None] | None = None

    @cached_property
    def separator(self) -> Separator:
        """The model, loaded once; fetches its weights when they are not cached.

        Raises:
            UsageError: no such model, or the preset does not fit it. ModelUnavailable: no weights.
            ModelError: they are unusable.
        """
        import separator  # torch comes with it
        from separator.weights.store import Store

        try:
            loaded = separator.load(
                self.model,
                self.settings.device,
                **self._options,
                store=Store(self.settings.cache_dir),
                progress=self.fetching,
                announce=self.announce,
            )
        except SeparatorError as error:
            raise from_separation(error) from error
        self.preset.outputs(loaded.outputs)  # a preset for other stems is refused at once
        return loaded

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
        """What the ledger remembers of this engine."""
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
        return self.convert_identified(identify(source), target, out_dir, listener)

    def convert_identified(
        self, bounce: Identity, target: Path, out_dir: Path, listener: Listener
    ) -> tuple[Manifest, Path]:
        """Makes the stems of a bounce and publishes them in `target`.

        Args:
            bounce: the source, hashed.
            target: its folder, inside `out_dir`; a set that lies there is replaced.
            out_dir: holds the staging folder, on the same file system as `target`.
            listener: hears (stage, share done).

        Returns:
            the manifest and its path.

        Raises:
            StembridgeError: nothing was published then, and an older set still lies there.
        """
        order = Order(
            source=bounce.path,
            sha256=bounce.sha256,
            preset=self.preset,
            separator=self.separator,
            model_version=self.model_version,
            file_name=lambda output: stem_file_name(target.name, output),
        )
        watch = Stopwatch(listener)
        with staging(out_dir) as folder:
            try:
                manifest = process(order, folder, watch)
            except StembridgeError:
                still(bounce)  # a bounce that was rendered over explains any failure
                raise
            still(bounce)
            with watch.stage("publish"):
                path = publish(folder, manifest.to_json(), target)
        return dataclasses.replace(manifest, seconds=dict(watch.seconds)), path


def choose_model(flag: str | None, preset: Preset, settings: Settings) -> str:
    """The model in force: command line, then preset, then settings, then the default.

    Raises:
        ModelError: the choice is empty.
    """
    chosen = flag or preset.model or settings.model or DEFAULT_MODEL
    if not chosen.strip():
        raise ModelError("the model's name is empty: see `stembridge models list`")
    if is_path(chosen):
        return str(Path(chosen).absolute())  # one model, from wherever it is named
    return chosen
