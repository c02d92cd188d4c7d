"""What a preset says about levels and depth of the files: checked, frozen, explained."""

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
    missing,
    refusal,
    target_for,
)
from bridge.effects.strict import STRICT, preset_error
from bridge.errors import UsageError
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from bridge.audio.probe import AudioInfo
    from bridge.dsp.meter import Levels

# Names under which a format is asked for, and which are none of ours.
_OTHER_NAMES = {
    **dict.fromkeys(("mp4", "aac", "alac", "m4b"), "m4a"),
    **dict.fromkeys(("wave", "bwf", "rf64"), "wav"),
    **dict.fromkeys(("aif", "aifc"), "aiff"),
    **dict.fromkeys(("vorbis", "oga"), "ogg"),
    "wave64": "w64",
}


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
            raise preset_error("'ceiling_dbfs' has no effect with `mode: none`; remove one of them")
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
            raise preset_error(
                "'normalise' needs either 'lufs' or 'dbtp'; write `normalise: {lufs: -18}`"
            )
        return self

    @property
    def target(self) -> float:
        """In LUFS or dBTP."""
        return self.lufs if self.lufs is not None else self.dbtp or 0.0

    def level(self, levels: Levels) -> float:
        """The present one, in the same unit; -inf for silence."""
        return levels.lufs if self.lufs is not None else levels.true_peak_dbtp


FORMATS = ("same", *TARGETS)


class Output(BaseModel):
    """How the outputs are written.

    format: of the files; `same` is that of the bounce where it is AIFF, CAF, Wave64 or FLAC, else
    WAV. subtype: the depth, that of the bounce (same) or a fixed one; what the format does
    not hold becomes the nearest that it does. bitrate_kbps: of MP3, Opus and M4A. quality: of Ogg
    Vorbis, 0 to 10. dither: for fixed-point files; `auto` is TPDF where depth is lost, see
    `bridge.audio.dither`.
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
        """What says nothing in this format, unless it has its default."""
        for name in names:
            if getattr(self, name) != Output.model_fields[name].default:
                raise preset_error(
                    f"'{name}' has no effect with `format: {self.format}`; remove it"
                )

    def target(self, container: str) -> Target:
        """The format of the files of a bounce. container: as `headers.sniff` names it."""
        return target_for(self.format, container)

    def depth(self, info: AudioInfo) -> tuple[str, str | None]:
        """Their subtype, and a note where it is not what one would expect."""
        return self.target(info.container).depth(self.subtype, info)

    def refusal(self, info: AudioInfo, frames: int) -> str | None:
        """Why stems of a bounce cannot have this format, and what to do; None if they can.

        frames: of the stems.
        """
        return refusal(self.target(info.container), info, frames, self.depth(info)[0])

    def missing(self) -> str | None:
        """What this machine lacks for the format, and what to do; None when all is there."""
        return None if self.format == "same" else missing(TARGETS[self.format])

    @property
    def vorbis_quality(self) -> float:
        """The quality in force; 8 is some 260 kbit/s in stereo."""
        return 8.0 if self.quality is None else self.quality

    def in_format(self, name: str) -> Output:
        """The same in another format, without what says nothing there.

        Raises UsageError for one that is not known, or does not hold the preset's depth.
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
