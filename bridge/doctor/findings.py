"""Finding of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`: an error if `fine` is False, a warning if `warn` is True."""

    name: str
    text: str
    fine: bool = True
    warn: bool = False

    @property
    def mark(self) -> str:
        """ "!!" for an error, "--" for a warning, else "ok"."""
        return "!!" if not self.fine else "--" if self.warn else "ok"
