"""Conversion of names, paths and times to text of session formats."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from bridge.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Every character that some reader takes for the end of a line, and the other controls with them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# XML 1.0 section 2.2: what is no character there. Lone surrogates are bytes that are no text.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Lone surrogates that stand for no byte of a file name (PEP 383), and so have no bytes at all.
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")

# Of a second. A frame at 192 kHz is 5.2e-6 s; a double still tells them apart after centuries.
_DECIMALS = 12

# A double has 53 bits: the rounding of the seconds and that of seconds times rate are below half a
# frame together up to 2^51 frames. That are 186 years at 192 kHz.
LAST_EXACT_FRAME = 2**50

# The root of every id that a session file needs: the same content gets the same id.
_IDS = uuid.uuid5(uuid.NAMESPACE_OID, "stembridge session files")


def one_line(name: str) -> str:
    """Replace each run of line ends and other controls in a name by a space."""
    return _CONTROL.sub(" ", encodable(name))


def encodable(name: str) -> str:
    """Make a name acceptable to `encoded`: characters without bytes become U+FFFD."""
    return _NO_BYTES.sub("\N{REPLACEMENT CHARACTER}", name)


def encoded(text: str) -> bytes:
    """Encode a text file in UTF-8; undecodable bytes of file names are restored."""
    return text.encode("utf-8", "surrogateescape")


def xml_name(name: str) -> str:
    """Return a name for XML, on one line."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", one_line(name))


def xml_path(path: str) -> str:
    """Return a path for XML. Raises SessionError if XML cannot hold it."""
    return _allowed(path, _NOT_XML, _CONTROL)


def line_path(path: str) -> str:
    """Return a path for a line format. Raises SessionError if it contains a line end."""
    return _allowed(path, _CONTROL, _NO_BYTES)


def cell_path(path: str) -> str:
    """Return a path for a table, which quotes line ends; SessionError if unencodable."""
    return _allowed(path, _NO_BYTES)


def _allowed(path: str, *forbidden: re.Pattern[str]) -> str:
    if any(pattern.search(path) for pattern in forbidden):
        raise SessionError(f"{path!r}: this session format cannot hold that name; rename the file")
    return path


def relative(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, with "/"; absolute on another drive."""
    try:
        return PurePath(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def seconds(frames: int, rate_hz: int) -> str:
    """Format a position in seconds as a decimal that rounds back to the same frame.

    Read as a double it does so up to LAST_EXACT_FRAME.
    """
    whole_s, rest = divmod(frames, rate_hz)
    scale = 10**_DECIMALS
    # The rest is below one second by at least a frame, so that this cannot round up to it.
    return f"{whole_s}.{(rest * scale + rate_hz // 2) // rate_hz:0{_DECIMALS}d}"


def linear(gain_db: float) -> str:
    """Format a gain as a linear factor."""
    return f"{10 ** (gain_db / 20):.12g}"


def guid(*content: object) -> uuid.UUID:
    """Derive an id from its content."""
    # Bytes that are no text stay apart from one another; joined by a character no name can hold.
    text = "\0".join(str(part) for part in content)
    digest = text.encode("utf-8", "surrogatepass").hex()
    return uuid.uuid5(_IDS, digest)


def element(
    tag: str, attributes: Mapping[str, object], *children: ElementTree.Element
) -> ElementTree.Element:
    """Create an XML element with its children; attributes that are None are left out."""
    made = ElementTree.Element(tag, {k: str(v) for k, v in attributes.items() if v is not None})
    made.extend(children)
    return made


def document(root: ElementTree.Element) -> bytes:
    """Serialise an XML file in UTF-8, indented."""
    ElementTree.indent(root)
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n'
    body: bytes = ElementTree.tostring(root, encoding="utf-8")
    return head + body + b"\n"
