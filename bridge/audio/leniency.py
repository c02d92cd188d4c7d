"""What is put up with in a bounce that is not in order. By default nothing: it is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Leniency(BaseModel):
    """Two kinds of damage that the user may accept, knowing of it.

    accept_truncated: a bounce that is shorter than its header says is taken to its end.
    repair: NaN and Inf are replaced (see `bridge.audio.repair`).

    Part of a preset, because either changes the stems; the manifest marks what was put up with.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    accept_truncated: bool = False
    repair: bool = False


STRICT = Leniency()
