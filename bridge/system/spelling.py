"""Words that were misspelt: the nearest of those that are known."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like a word, case aside, or None if none is like it."""
    folded = {option.casefold(): option for option in options}
    found = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def suggestion(word: str, options: Iterable[str]) -> str:
    """`did you mean 'x'?` if an option is near, else the list of options."""
    listed = list(options)
    if not listed:
        return "remove it"
    near = nearest(word, listed)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(listed)}"
