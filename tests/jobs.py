"""Whole jobs in this process: from a bounce to its files, through the toy model or another."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from bridge.presets import loader as presets
from bridge.render.pipeline import render_bounce
from bridge.render.request import RenderRequest
from bridge.render.stopwatch import Stopwatch
from tests.toy import toy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bridge.presets.loader import Preset
    from separator.separator import Separator


@dataclass(frozen=True)
class Files:
    """The files of a job: the manifest as its file has it, and the audio and bytes of each stem.

    stems: (channels, frames) float64, by name.
    """

    manifest: dict[str, Any]
    stems: dict[str, NDArray[np.float64]]
    data: dict[str, bytes]
    others: tuple[str, ...]

    @property
    def warnings(self) -> list[str]:
        """Those of the manifest."""
        found: list[str] = self.manifest["warnings"]
        return found

    @property
    def total(self) -> NDArray[np.float64]:
        """The sum of all stems that are no mixdowns."""
        mixed = {stem["name"] for stem in self.manifest["stems"] if stem["mixdown"]}
        return np.sum([wave for name, wave in self.stems.items() if name not in mixed], axis=0)


def job(bounce: bytes, preset: Preset | None = None, separator: Separator | None = None) -> Files:
    """Runs a job on the bytes of a bounce; what `render_bounce` raises is passed on.

    Every number of the manifest must be one that JSON has.
    """
    chosen, model = preset or presets.load("stems"), separator or toy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, staging = folder / "bounce.wav", folder / "staging"
        source.write_bytes(bounce)
        staging.mkdir()
        suffix = chosen.output.target("WAV").suffix
        names = {output: f"{output}{suffix}" for output in chosen.outputs(model.outputs)}
        order = RenderRequest(source, "0" * 64, chosen, "v", names, folder / "bounce")
        made = render_bounce(order, model, staging, Stopwatch(lambda *_: None))
        manifest = json.loads(json.dumps(made.to_json(), allow_nan=False))
        paths = {stem.name: staging / stem.path for stem in made.stems}
        others = {path.name for path in staging.iterdir()} - {path.name for path in paths.values()}
        return Files(
            manifest,
            {stem: soundfile.read(path, always_2d=True)[0].T for stem, path in paths.items()},
            {stem: path.read_bytes() for stem, path in paths.items()},
            tuple(sorted(others)),
        )
