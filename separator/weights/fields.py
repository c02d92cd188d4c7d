"""Typed access to a table of the catalog, with errors that name the place."""

from __future__ import annotations

import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from separator.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHA256 = re.compile(r"[0-9a-f]{64}")
PREFIX = re.compile(r"[0-9a-f]{8,63}")  # with 32 bits no accident passes; a forger might


class CheckedTable:
    """A table whose keys are read by type; `done` raises for unknown keys.

    Every method raises WeightsError for a missing key or a value of another type.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise WeightsError(f"{where}: must be a table")
        self._value: dict[object, object] = value
        self._where = where
        self._left = set(value)

    def fail(self, key: str, rule: str) -> NoReturn:
        raise WeightsError(f"{self._where}: {key!r} {rule}")

    def has(self, key: str) -> bool:
        return key in self._value

    def ignore(self, key: str) -> None:
        self._left.discard(key)

    def done(self) -> None:
        """Raise WeightsError if a key was not read."""
        if self._left:
            raise WeightsError(f"{self._where}: unknown key {sorted(map(str, self._left))[0]!r}")

    def _take(self, key: str) -> object:
        if key not in self._value:
            self.fail(key, "is missing")
        self._left.discard(key)
        return self._value[key]

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            self.fail(key, "must be one line of text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(key, "must be a list of texts")
        return tuple(value)

    def whole(self, key: str) -> int:
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            self.fail(key, "must be a whole number above 0")
        return value

    def optional_whole(self, key: str) -> int | None:
        return self.whole(key) if self.has(key) else None

    def sha256(self, key: str) -> str:
        value = self.text(key)
        if not SHA256.fullmatch(value):
            self.fail(key, "must be 64 lower-case hex digits")
        return value

    def optional_sha256(self) -> str | None:
        """`sha256`, else `sha256_prefix` (the first 8 digits or more), else nothing."""
        if self.has("sha256") or not self.has("sha256_prefix"):
            return self.sha256("sha256") if self.has("sha256") else None
        value = self.text("sha256_prefix")
        if not PREFIX.fullmatch(value):
            self.fail("sha256_prefix", "must be 8 lower-case hex digits or more")
        return value

    def number(self, key: str) -> float:
        """A number above 0."""
        value = self._take(key)
        if not _is_number(value) or value <= 0:
            self.fail(key, "must be a number above 0")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers from 0 to 1."""
        value = self._take(key)
        if not isinstance(value, list) or not all(_is_number(n) and 0 <= n <= 1 for n in value):
            self.fail(key, "must be a list of numbers from 0 to 1")
        return tuple(float(item) for item in value)

    def frozen(self, key: str) -> Mapping[str, Any]:
        """A table of strings, numbers, and lists of them, as a read-only mapping."""
        value = self._take(key)
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            self.fail(key, "must be a table with texts for keys")
        return MappingProxyType(
            {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        )

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self.text(key)
        if value not in choices:
            self.fail(key, f"is {value!r}, must be one of {', '.join(choices)}")
        return value

    def inner(self, key: str) -> CheckedTable:
        return CheckedTable(self._take(key), f"{self._where}: {key}")

    def table(self, key: str) -> dict[str, CheckedTable]:
        """A table of tables."""
        value = self._take(key)
        if not isinstance(value, dict):
            self.fail(key, "must be a table")
        return {
            str(name): CheckedTable(item, f"{self._where}: {key}: {name}")
            for name, item in value.items()
        }

    def list_of_tables(self, key: str) -> list[CheckedTable]:
        value = self._take(key)
        if not isinstance(value, list):
            self.fail(key, "must be a list")
        return [
            CheckedTable(item, f"{self._where}: {key}: number {number}")
            for number, item in enumerate(value, 1)
        ]


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)
