"""What a preset says about levels and depth of the files: checked, frozen, explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from bridge.chain.strict import STRICT, wrong

if TYPE_CHECKING:
    from bridge.chain.meter import Levels


class Headroom(BaseModel):
    """Only ever an attenuation, so that no output exceeds the ceiling.

    mode: fit (one gain for all outputs, only where the file is fixed-point and would clip; floating
    point has no ceiling), common (one gain, in every file), per_stem (each output by itself, in
    every file), or none (levels stay; a fixed-point file clips above full scale).
    ceiling_dbfs: highest peak of a frame, -60 to 0 dBFS.
    """

    model_config = STRICT
    mode: Literal["fit", "common", "per_stem", "none"] = "fit"
    ceiling_dbfs: float = Field(default=0.0, ge=-60, le=0)

    @field_validator("ceiling_dbfs")
    @classmethod
    def _has_effect(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("mode") == "none":
            raise wrong("'ceiling_dbfs' has no effect with `mode: none`; remove one of them")
        return value


class Normalise(BaseModel):
    """Brings outputs to a level, upwards or downwards; headroom comes after it.

    lufs: integrated loudness (ITU-R BS.1770-4). dbtp: true peak. Exactly one of them.
    linked: one gain for all outputs, so that the loudest has the level; else each for itself.
    """

    model_config = STRICT
    lufs: float | None = Field(default=None, ge=-60, le=0)
    dbtp: float | None = Field(default=None, ge=-60, le=0)
    linked: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> Normalise:
        if (self.lufs is None) == (self.dbtp is None):
            raise wrong("'normalise' needs either 'lufs' or 'dbtp'; write `normalise: {lufs: -18}`")
        return self

    @property
    def target(self) -> float:
        """In LUFS or dBTP."""
        return self.lufs if self.lufs is not None else self.dbtp or 0.0

    def level(self, levels: Levels) -> float:
        """The present one, in the same unit; -inf for silence."""
        return levels.lufs if self.lufs is not None else levels.true_peak_dbtp


class Output(BaseModel):
    """How the outputs are written.

    subtype: that of the bounce (same), or a fixed one. dither: for fixed-point files; `auto` is
    TPDF where depth is lost, see `bridge.audio.dither`.
    """

    model_config = STRICT
    subtype: Literal["same", "PCM_16", "PCM_24", "FLOAT"] = "same"
    dither: Literal["auto", "tpdf", "shaped", "none"] = "auto"
