"""Text in metadata: whatever a writer put there becomes text that can be shown."""

from __future__ import annotations

NAME_CHARACTERS = 255
"""What is kept of a name for reports and session files; DAWs show fewer."""


def decode_text(raw: bytes) -> str:
    """UTF-8 where it is that, else Windows-1252; up to the first NUL, without spaces around it.

    The standards say ASCII; writers use either.
    """
    raw = raw.split(b"\0", 1)[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text.strip()


def shown(text: str) -> str:
    """A name for one line: no control characters, at most NAME_CHARACTERS."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:NAME_CHARACTERS]


def leading_number(text: str) -> float | None:
    """The number at its beginning, as in "120.00 BPM"; None where there is none above 0."""
    first = text.replace(",", ".").split()[:1]
    try:
        value = float(first[0]) if first else 0.0
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
