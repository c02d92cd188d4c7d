"""Suggestions for misspelt words."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most similar to a word, case ignored; None if none is similar."""
    folded = {option.casefold(): option for option in options}
    found = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def suggestion(word: str, options: Iterable[str]) -> str:
    """Text `did you mean 'x'?` for a similar option, else the list of options."""
    listed = list(options)
    if not listed:
        return "remove it"
    near = nearest(word, listed)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(listed)}"
