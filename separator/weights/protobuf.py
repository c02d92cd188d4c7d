"""Reading protobuf messages without their schema: numbers and bytes by field number.

The wire format is in protobuf's "Encoding" document: varint 0, 8 bytes 1, length-delimited 2,
4 bytes 5. Length-delimited values are views of the message, nothing is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    Message = bytes | memoryview

MAX_TEXT_BYTES = 1024  # of a name


def varint(data: Message, position: int) -> tuple[int, int]:
    """The number of up to 64 bits at a position, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
    raise BadCheckpoint("a number is cut off or too long")


def fields(message: Message) -> Iterator[tuple[int, int | Message]]:
    """Every field's number and value, in order: a whole number, or the bytes of a field with one.

    Raises:
        BadCheckpoint: the message is cut off or no message.
    """
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = varint(message, position)
            yield number, value
            continue
        if wire == 2:
            size, position = varint(message, position)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
        else:
            raise BadCheckpoint("a record uses an unknown encoding")
        if position + size > len(message):
            raise BadCheckpoint("a record is cut off")
        chunk = message[position : position + size]
        position += size
        yield number, chunk if wire == 2 else int.from_bytes(chunk, "little")


def whole(value: int | Message) -> int:
    """A field that must be a whole number of at most 63 bits, not negative."""
    if not isinstance(value, int) or value >> 63:  # int64 in the schemas; negative ones: no sense
        raise BadCheckpoint("a record has text or a negative number where a number belongs")
    return value


def octets(value: int | Message) -> Message:
    """A field that must be bytes: a text or a message."""
    if isinstance(value, int):
        raise BadCheckpoint("a record has a number where a message belongs")
    return value


def text(value: int | Message) -> str:
    """A field that must be a short text."""
    content = octets(value)
    if len(content) > MAX_TEXT_BYTES:
        raise BadCheckpoint("a name is too long")
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise BadCheckpoint("a name is not UTF-8") from None
