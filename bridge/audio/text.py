"""Decoding of text in metadata for display."""

from __future__ import annotations

NAME_CHARACTERS = 255
"""What is kept of a name for reports and session files; DAWs show fewer."""


def decode_text(raw: bytes) -> str:
    """Decode UTF-8, else Windows-1252, up to the first NUL, and strip it.

    The standards ask for ASCII; writers use either.
    """
    raw = raw.split(b"\0", 1)[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text.strip()


def shown(text: str) -> str:
    """Clean a name for one line: no control characters, at most NAME_CHARACTERS."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:NAME_CHARACTERS]


def leading_number(text: str) -> float | None:
    """Parse the number at the start, as in "120.00 BPM"; None without one above 0."""
    first = text.replace(",", ".").split()[:1]
    try:
        value = float(first[0]) if first else 0.0
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
