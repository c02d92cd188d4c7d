"""Models of the output settings: headroom, normalisation and file format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.audio.targets.registry import (
    TARGETS,
    Name,
    Subtype,
    Target,
    missing_requirement,
    target_for,
    unsupported_reason,
)
from bridge.effects.strict import STRICT, preset_error
from bridge.errors import UsageError
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from bridge.audio.probe import AudioInfo
    from bridge.dsp.meter import Levels

# Other names of formats, for suggestions.
_OTHER_NAMES = {
    **dict.fromkeys(("mp4", "aac", "alac", "m4b"), "m4a"),
    **dict.fromkeys(("wave", "bwf", "rf64"), "wav"),
    **dict.fromkeys(("aif", "aifc"), "aiff"),
    **dict.fromkeys(("vorbis", "oga"), "ogg"),
    "wave64": "w64",
}


class Headroom(BaseModel):
    """Attenuation that keeps outputs at or under a ceiling.

    Attributes:
        mode: `fit` (one gain for all outputs, only where a fixed-point file would clip), `common`
            (one gain for all outputs), `per_stem` (a gain for each output), or `none` (no gain;
            fixed-point files clip above full scale).
        ceiling_dbfs: highest peak of a frame, -60 to 0 dBFS.
    """

    model_config = STRICT
    mode: Literal["fit", "common", "per_stem", "none"] = "fit"
    ceiling_dbfs: float = Field(default=0.0, ge=-60, le=0)

    @field_validator("ceiling_dbfs")
    @classmethod
    def _has_effect(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("mode") == "none":
            raise preset_error("'ceiling_dbfs' has no effect with `mode: none`; remove one of them")
        return value


class Normalise(BaseModel):
    """Normalisation of outputs to a level, before headroom.

    Attributes:
        lufs: integrated loudness (ITU-R BS.1770-4); this or `dbtp`.
        dbtp: true peak; this or `lufs`.
        linked: one gain for all outputs, for the loudest one; else a gain for each.
    """

    model_config = STRICT
    lufs: float | None = Field(default=None, ge=-60, le=0)
    dbtp: float | None = Field(default=None, ge=-60, le=0)
    linked: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> Normalise:
        if (self.lufs is None) == (self.dbtp is None):
            raise preset_error(
                "'normalise' needs either 'lufs' or 'dbtp'; write `normalise: {lufs: -18}`"
            )
        return self

    @property
    def target(self) -> float:
        """Target level in LUFS or dBTP."""
        return self.lufs if self.lufs is not None else self.dbtp or 0.0

    def level(self, levels: Levels) -> float:
        """Current level in the unit of the target; -inf for silence."""
        return levels.lufs if self.lufs is not None else levels.true_peak_dbtp


FORMATS = ("same", *TARGETS)


class Output(BaseModel):
    """File format of the outputs.

    Attributes:
        format: format of the files; `same` is that of the bounce if it is AIFF, CAF, Wave64 or
            FLAC, else WAV.
        subtype: sample format, `same` for that of the bounce; if not supported, the nearest.
        bitrate_kbps: for MP3, Opus and M4A.
        quality: for Ogg Vorbis, 0 to 10.
        dither: for fixed-point files; `auto` is TPDF where depth is lost, see `audio.dither`.
    """

    model_config = STRICT
    format: Literal["same", Name] = "wav"
    subtype: Subtype = "same"
    bitrate_kbps: int | None = Field(default=None, ge=12, le=512)
    quality: float | None = Field(default=None, ge=0, le=10)
    dither: Literal["auto", "tpdf", "shaped", "none"] = "auto"

    @model_validator(mode="after")
    def _is_held(self) -> Output:
        if self.format == "same":
            self._refuse("bitrate_kbps", "quality")
            return self
        target = TARGETS[self.format]
        if target.lossy:
            self._refuse("subtype", "dither")
        elif self.subtype not in {"same", *target.subtypes}:
            held = [name for name in get_args(Subtype) if name in target.subtypes]
            raise preset_error(
                f"{target.title} does not hold {self.subtype}; choose {' or '.join(held)}, or "
                "`format: wav`"
            )
        if not target.bitrates_kbps:
            self._refuse("bitrate_kbps")
        elif self.bitrate_kbps not in {None, *target.bitrates_kbps}:
            raise preset_error(
                f"{target.title} has no {self.bitrate_kbps} kbit/s; {_choice(target)}"
            )
        if target.name != "ogg":
            self._refuse("quality")
        return self

    def _refuse(self, *names: str) -> None:
        """Refuse settings without effect in this format, unless they have their default."""
        for name in names:
            if getattr(self, name) != Output.model_fields[name].default:
                raise preset_error(
                    f"'{name}' has no effect with `format: {self.format}`; remove it"
                )

    def target(self, container: str) -> Target:
        """Format of the files for a bounce; `container` as `headers.sniff` returns it."""
        return target_for(self.format, container)

    def depth(self, info: AudioInfo) -> tuple[str, str | None]:
        """Sample format of the files, and a warning where it differs from the preset."""
        return self.target(info.container).depth(self.subtype, info)

    def refusal(self, info: AudioInfo, frames: int) -> str | None:
        """Why stems of this bounce and length cannot have the format; None if they can."""
        return unsupported_reason(self.target(info.container), info, frames, self.depth(info)[0])

    def missing(self) -> str | None:
        """What has to be installed for the format; None if nothing is missing."""
        return None if self.format == "same" else missing_requirement(TARGETS[self.format])

    @property
    def vorbis_quality(self) -> float:
        """Quality for Ogg Vorbis; the default of 8 is about 260 kbit/s in stereo."""
        return 8.0 if self.quality is None else self.quality

    def in_format(self, name: str) -> Output:
        """The settings for another format, without those that have no effect there.

        Raises UsageError for an unknown format, or one that does not hold the preset's depth.
        """
        if name == self.format:
            return self
        if name not in FORMATS:
            known = _OTHER_NAMES.get(name.lower().lstrip("."))
            advice = f"write '{known}'" if known else suggestion(name, FORMATS)
            raise UsageError(f"there is no format '{name}'; {advice}")
        kept = self.model_dump(exclude_unset=True, include={"subtype", "dither"})
        lossy = name != "same" and TARGETS[name].lossy
        try:
            return Output.model_validate({"format": name, **({} if lossy else kept)})
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"]) from None


def _choice(target: Target) -> str:
    rates = target.bitrates_kbps
    if isinstance(rates, range):
        return f"choose {rates.start} to {rates.stop - 1}"
    return f"choose {', '.join(map(str, rates))}"
