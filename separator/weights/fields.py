"""Typed access to a table of the catalog, with errors that name the place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from separator.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHA256 = re.compile(r"[0-9a-f]{64}")


class Fields:
    """One table; each key is taken by its type, and `done` complains of what is left.

    Every method raises WeightsError for a key that is missing or of another type.
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
        """To be called when every known key was taken."""
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

    def optional_sha256(self, key: str) -> str | None:
        return self.sha256(key) if self.has(key) else None

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self.text(key)
        if value not in choices:
            self.fail(key, f"is {value!r}, must be one of {', '.join(choices)}")
        return value

    def inner(self, key: str) -> Fields:
        return Fields(self._take(key), f"{self._where}: {key}")

    def table(self, key: str) -> dict[str, Fields]:
        """A table of tables."""
        value = self._take(key)
        if not isinstance(value, dict):
            self.fail(key, "must be a table")
        return {
            str(name): Fields(item, f"{self._where}: {key}: {name}") for name, item in value.items()
        }

    def list_of_tables(self, key: str) -> list[Fields]:
        value = self._take(key)
        if not isinstance(value, list):
            self.fail(key, "must be a list")
        return [
            Fields(item, f"{self._where}: {key}: number {number}")
            for number, item in enumerate(value, 1)
        ]
