"""Options for damaged and silent bounces: damage is refused and silence kept by default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Leniency(BaseModel):
    """User's choices about damage and silence.

    Attributes:
        accept_truncated: read a bounce that is shorter than its header states to its end.
        repair: replace NaN, Inf and values beyond +120 dBFS (see `bridge.audio.repair`).
        skip_silent: make no stems of a bounce of digital silence.

    Part of a preset, because each changes the stems; the manifest marks the damage accepted.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    accept_truncated: bool = False
    repair: bool = False
    skip_silent: bool = False


STRICT = Leniency()
