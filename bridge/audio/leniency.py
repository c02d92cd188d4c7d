"""Treatment of bounces that are not in order: damage is refused and silence kept by default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Leniency(BaseModel):
    """The user's choices about damage and silence.

    accept_truncated: a bounce that is shorter than its header says is taken to its end.
    repair: NaN and Inf are replaced (see `bridge.audio.repair`).
    skip_silent: no stems are made of a bounce that is digital silence throughout.

    Part of a preset, because each changes the stems; the manifest marks the damage accepted.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    accept_truncated: bool = False
    repair: bool = False
    skip_silent: bool = False


STRICT = Leniency()
