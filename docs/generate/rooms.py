"""The rooms of bridge/ with their layers, from the import contract in pyproject.toml."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from docs.generate.markdown import table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent


def layers() -> list[list[str]]:
    """The rooms of each layer, the uppermost first."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers" and contract["containers"] == ["bridge"]:
            return [layer.split(" | ") for layer in contract["layers"]]
    raise LookupError("pyproject.toml has no contract of the layers of bridge")


def reference() -> str:
    """A table of all rooms with the first line of their docstrings."""
    rows = (
        (
            number,
            f"`{file.parent.name}/`" if file.name == "__init__.py" else f"`{file.name}`",
            about,
        )
        for number, rooms in enumerate(layers(), 1)
        for file in map(_file, rooms)
        for about in [_summary(file)]
    )
    return table(("layer", "room", "what it is"), rows)


def _file(room: str) -> Path:
    package = ROOT / "bridge" / room / "__init__.py"
    return package if package.exists() else package.parent.with_suffix(".py")


def _summary(file: Path) -> str:
    """The first paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())
