"""Reader of protobuf messages without their schema: integers and bytes by field number.

The wire format is in protobuf's "Encoding" document: varint 0, 8 bytes 1, length-delimited 2,
4 bytes 5. Length-delimited values are views of the message, without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    Message = bytes | memoryview

MAX_TEXT_BYTES = 1024  # longest name


def varint(data: Message, position: int) -> tuple[int, int]:
    """The integer of up to 64 bits at a position, and the position after it."""
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
    """Number and value of each field, in order; the value is an integer or bytes.

    Raises:
        BadCheckpoint: the message is cut off or malformed.
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
    """A field as a non-negative integer of at most 63 bits, else BadCheckpoint."""
    if not isinstance(value, int) or value >> 63:  # int64 in the schemas; negative is invalid
        raise BadCheckpoint("a record has text or a negative number in place of a number")
    return value


def octets(value: int | Message) -> Message:
    """A field as bytes (a string or a message), else BadCheckpoint."""
    if isinstance(value, int):
        raise BadCheckpoint("a record has a number in place of a message")
    return value


def text(value: int | Message) -> str:
    """A field as a short string, else BadCheckpoint."""
    content = octets(value)
    if len(content) > MAX_TEXT_BYTES:
        raise BadCheckpoint("a name is too long")
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise BadCheckpoint("a name is not UTF-8") from None
