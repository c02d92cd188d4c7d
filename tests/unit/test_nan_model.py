"""A model or plug-in that makes NaN of sound audio: found before anything is written as PCM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch

from bridge.errors import PromiseBroken
from bridge.presets import loader as presets
from bridge.render.pipeline import render_bounce
from bridge.render.request import RenderRequest
from bridge.render.stopwatch import Stopwatch
from separator.options import Options
from separator.separator import Separator
from tests.bounces import RATE_HZ, music
from tests.toy import Toy

if TYPE_CHECKING:
    from pathlib import Path


class Failing(Toy):
    """Gives one NaN or Inf in one stem of its second segment."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.calls = 0

    def segment(self, mixture: torch.Tensor, statistics: object = None) -> torch.Tensor:
        stems = super().segment(mixture, statistics)
        self.calls += 1
        if self.calls == 2:
            stems = stems.clone()
            stems[0, 0, 0, 5] = self.value
        return stems


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("headroom", ["none", "fit", "common"])
def test_it_is_an_error_and_never_a_file(
    tmp_path: Path, value: float, subtype: str, headroom: str
) -> None:
    source, folder = tmp_path / "mix.wav", tmp_path / "staging"
    soundfile.write(source, music(20_000).T, RATE_HZ, subtype=subtype)
    folder.mkdir()
    (tmp_path / "p.yaml").write_text(f"schema: 1\nsummary: x\nheadroom: {{mode: {headroom}}}\n")
    order = RenderRequest(
        source=source,
        sha256="",
        preset=presets.load(tmp_path / "p.yaml"),
        model_version="1",
        file_names={"vocals": "v.wav", "drums": "d.wav", "residual": "r.wav"},
        target=tmp_path,
    )
    failing = Separator(Failing(value), "toy", torch.device("cpu"), Options(residual="stem"))
    with pytest.raises(PromiseBroken, match="NaN or Inf"):
        render_bounce(order, failing, folder, Stopwatch(lambda *_: None))
    assert not list(folder.glob("*.wav"))
