"""One line of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check. fine is False only for what stops the bridge; warn for what could bite."""

    name: str
    text: str
    fine: bool = True
    warn: bool = False

    @property
    def mark(self) -> str:
        """ok, !! or -- at a glance."""
        return "!!" if not self.fine else "--" if self.warn else "ok"
