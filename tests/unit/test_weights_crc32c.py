"""CRC-32C against the vectors of RFC 3720 and against a bit-by-bit division."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from separator.weights.crc32c import BLOCK_WORDS, crc32c, masked


def bit_by_bit(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            feedback = (register ^ byte >> bit) & 1
            register = register >> 1 ^ (0x82F63B78 if feedback else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4, and the common check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(max_size=200))
def test_equals_the_division_at_every_length(data: bytes) -> None:
    assert crc32c(data) == bit_by_bit(data)


def test_equals_the_division_over_several_blocks() -> None:
    data = bytes(i * 7 & 0xFF for i in range(2 * 4 * BLOCK_WORDS + 4 * 3 + 1))
    assert crc32c(data) == bit_by_bit(data)


def test_masked_form() -> None:
    assert masked(0) == 0xA282EAD8
    assert masked(0x00008000) == 0xA282EAD9  # rotated by 15
    assert masked(0xFFFFFFFF) == 0xA282EAD7  # wraps
