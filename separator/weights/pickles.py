"""Safe reader of pickles, limited to plain values and a table of allowed callables.

Python's own unpickler, even with `find_class` overridden, sets attributes on any object of its
stack, hashes nested tuples, and allocates any size that the file claims. Checkpoints need about
forty opcodes, so this interprets those alone (documented in Lib/pickletools.py): time and memory
are proportional to the size of the file, and nothing is imported.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

from separator.errors import BadCheckpoint, UnsafePickle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HIGHEST_PROTOCOL = 5
KEYS = (str, int, float, type(None))  # types of dict keys with a cheap hash


@runtime_checkable
class Buildable(Protocol):
    """An object of an allowed callable that accepts a state from the pickle."""

    def set_state(self, state: object) -> None:
        """Set the state, or raise BadCheckpoint."""


@dataclass(frozen=True)
class ClassName:
    """Module and name of a class that a pickle may refer to but not call."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Latin1:
    """codecs.encode(text, "latin1"), protocol 2's form of bytes, with a limit for the total."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding not in {"latin1", "latin-1"}:
            raise UnsafePickle("the pickle encodes something other than the bytes of an array")
        self._budget_bytes -= len(text)
        if self._budget_bytes < 0:
            raise BadCheckpoint("its arrays are larger than the file")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise BadCheckpoint("an array's bytes are not Latin-1 text") from None


class StackMark:
    """Marks the start of a tuple, list or dict on the stack."""


MARK = StackMark()


class PickleReader:
    """Interpreter of one pickle.

    data: bytes with the pickle; bytes after its end are ignored.
    allowed: (module, name) -> stand-in. Callable stand-ins may be called by the pickle with any
        arguments, which they must check themselves; others are only passed around.
    persistent: resolves a persistent id; without it, persistent ids are an error.
    start: offset of the pickle in `data`. `position` is the offset of the next byte.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        allowed: Mapping[tuple[str, str], object],
        *,
        persistent: Callable[[object], object] | None = None,
        start: int = 0,
    ) -> None:
        self._data = memoryview(data)
        self.position = start
        self._persistent = persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._allowed = allowed
        self._calls = {id(value) for value in allowed.values() if callable(value)}

    def load(self) -> object:
        """The pickled value.

        Raises:
            UnsafePickle: it refers to a class or function that is not allowed.
            BadCheckpoint: it is damaged, or uses an opcode that no checkpoint needs.
        """
        while True:
            opcode = self._number("B")
            if opcode == ord("."):
                return self._pop()
            if opcode in CONSTANTS:
                self._stack.append(CONSTANTS[opcode])
            elif opcode in NUMBERS:
                self._stack.append(self._number(NUMBERS[opcode]))
            elif opcode in OPERATIONS:
                OPERATIONS[opcode](self)
            else:
                self._damaged(f"opcode {opcode:#04x} at byte {self.position - 1}")

    # Reading

    def _damaged(self, reason: str) -> NoReturn:
        raise BadCheckpoint(f"the pickle cannot be read: {reason}")

    def _take(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self._data):
            self._damaged("it is cut off")
        chunk = self._data[self.position : end]
        self.position = end
        return chunk

    def _number(self, code: str) -> int:
        value: int = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))[0]
        return value

    def _line(self) -> str:
        start = self.position
        limit = min(start + 256, len(self._data))  # names of modules and classes are short
        length = bytes(self._data[start:limit]).find(b"\n")
        if length < 0:
            self._damaged("a name has no end")
        line = self._take(length + 1)[:-1]
        return str(line, "ascii", "replace")

    # The stack

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is MARK:
            self._damaged("it takes a value from an empty stack")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[object]:
        items: list[object] = []
        while self._stack:
            item = self._stack.pop()
            if item is MARK:
                return items[::-1]
            items.append(item)
        return self._damaged("a list has no beginning")

    def _pops(self, count: int) -> tuple[object, ...]:
        return tuple(self._pop() for _ in range(count))[::-1]

    # Operations

    def _text(self, code: str) -> None:
        chunk = self._take(self._number(code))
        try:
            self._stack.append(str(chunk, "utf-8"))
        except UnicodeDecodeError:
            self._damaged("a text is not UTF-8")

    def _bytes(self, code: str) -> None:
        self._stack.append(bytes(self._take(self._number(code))))

    def _float(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._number("B")), "little", signed=True))

    def _tuple(self) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _small_tuple(self, count: int) -> None:
        self._stack.append(self._pops(count))

    def _append(self, items: list[object]) -> None:
        target = self._pop()
        if not isinstance(target, list):
            self._damaged("it appends to something other than a list")
        target.extend(items)
        self._stack.append(target)

    def _set_items(self, items: list[object]) -> None:
        target = self._pop()
        if not isinstance(target, dict) or len(items) % 2:
            self._damaged("it sets items of something other than a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, KEYS):  # hashing nested tuples can take exponential time
                self._damaged(f"a dict has a {type(key).__name__} as key, not a text")
            target[key] = value
        self._stack.append(target)

    def _put(self, index: int) -> None:
        value = self._pop()
        self._memo[index] = value
        self._stack.append(value)

    def _get(self, code: str) -> None:
        index = self._number(code)
        if index not in self._memo:
            self._damaged(f"it recalls value {index}, which it never stored")
        self._stack.append(self._memo[index])

    def _find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            self._damaged("a class has no name")
        if (module, name) not in self._allowed:
            full_name = f"{module}.{name}"[:128]
            raise UnsafePickle(
                f"the pickle refers to {full_name!r}, which weights do not need; "
                "do not use this file unless you know why"
            )
        self._stack.append(self._allowed[module, name])

    def _reduce(self) -> None:
        target, arguments = self._pops(2)
        if isinstance(target, ClassName):
            raise UnsafePickle(
                f"the pickle calls '{target}', which weights do not need; "
                "do not use this file unless you know why"
            )
        if (
            not isinstance(arguments, tuple)
            or id(target) not in self._calls
            or not callable(target)
        ):
            raise UnsafePickle("the pickle calls something that is no known function")
        try:
            self._stack.append(target(*arguments))
        except TypeError:
            self._damaged("a call has the wrong arguments")

    def _persistent_id(self) -> None:
        if self._persistent is None:
            self._damaged("it refers to data outside of itself")
        self._stack.append(self._persistent(self._pop()))

    def _build(self) -> None:
        target, state = self._pops(2)
        if not isinstance(target, Buildable):
            raise UnsafePickle("the pickle changes something that is no array")
        target.set_state(state)
        self._stack.append(target)

    def _protocol(self) -> None:
        version = self._number("B")
        if version > HIGHEST_PROTOCOL:
            self._damaged(f"protocol {version} is unknown")


CONSTANTS: dict[int, object] = {
    ord("N"): None,
    0x88: True,
    0x89: False,
    ord("("): MARK,
    ord(")"): (),
}
NUMBERS = {ord("K"): "B", ord("M"): "H", ord("J"): "i"}
OPERATIONS: dict[int, Callable[[PickleReader], None]] = {
    0x80: PickleReader._protocol,
    0x95: lambda reader: (reader._number("Q"), None)[1],  # a frame: only a hint for buffering
    ord("X"): lambda reader: reader._text("I"),
    0x8C: lambda reader: reader._text("B"),
    0x8D: lambda reader: reader._text("Q"),
    ord("B"): lambda reader: reader._bytes("I"),
    ord("C"): lambda reader: reader._bytes("B"),
    0x8E: lambda reader: reader._bytes("Q"),
    ord("G"): PickleReader._float,
    0x8A: PickleReader._long,
    ord("}"): lambda reader: reader._stack.append({}),
    ord("]"): lambda reader: reader._stack.append([]),
    ord("t"): PickleReader._tuple,
    0x85: lambda reader: reader._small_tuple(1),
    0x86: lambda reader: reader._small_tuple(2),
    0x87: lambda reader: reader._small_tuple(3),
    ord("a"): lambda reader: reader._append([reader._pop()]),
    ord("e"): lambda reader: reader._append(reader._pop_to_mark()),
    ord("s"): lambda reader: reader._set_items(list(reader._pops(2))),
    ord("u"): lambda reader: reader._set_items(reader._pop_to_mark()),
    ord("q"): lambda reader: reader._put(reader._number("B")),
    ord("r"): lambda reader: reader._put(reader._number("I")),
    0x94: lambda reader: reader._put(len(reader._memo)),
    ord("h"): lambda reader: reader._get("B"),
    ord("j"): lambda reader: reader._get("I"),
    ord("c"): lambda reader: reader._find(reader._line(), reader._line()),
    0x93: lambda reader: reader._find(*reader._pops(2)),
    ord("Q"): PickleReader._persistent_id,
    ord("R"): PickleReader._reduce,
    ord("b"): PickleReader._build,
}
