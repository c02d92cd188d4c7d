"""The commands: usage, arguments, options and defaults, from the typer app."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import typer.main

from bridge.cli import app
from docs.generate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT = re.compile(r" *\[default: (?P<default>[^\]]*)\]")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, such as `presets list`, in the order of `--help`."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {sub}", each) for sub, each in inner.items())


def overview() -> str:
    """A table of all commands, with the first sentence of each help text."""
    rows = (
        (f"[`stembridge {name}`](#stembridge-{name.replace(' ', '-')})", _summary(command))
        for name, command in commands()
    )
    return table(("command", "what it does"), rows)


def reference() -> str:
    """A section for each command."""
    return "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    parts = [f"## stembridge {name}\n", f"{_text(command.help)}\n"]
    usage = " ".join(["stembridge", name, *_usage(command)])
    parts.append(f"```text\n{usage}\n```\n")
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if arguments:
        rows = ((f"`{_placeholder(each)}`", each.help or "") for each in arguments)
        parts.append(table(("argument", "what it is"), rows))
    options = [each for each in command.params if each.param_type_name == "option"]
    if options:
        parts.append(table(("option", "default", "what it does"), map(_option, options)))
    return "\n".join(parts)


def _usage(command: Any) -> Iterator[str]:
    if any(each.param_type_name == "option" for each in command.params):
        yield "[OPTIONS]"
    for each in command.params:
        if each.param_type_name == "argument":
            yield _placeholder(each)


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag or not option.metavar else f" `{option.metavar}`"
    text = option.help or ""
    stated = _DEFAULT.search(text)
    if stated:
        default = stated["default"]
    elif option.is_flag or option.default in (None, (), []):
        default = ""
    else:
        default = f"{option.default:g}" if isinstance(option.default, float) else option.default
    return f"{names}{value}", str(default), _DEFAULT.sub("", text)


def _text(text: str) -> str:
    return inspect.cleandoc(text).replace("<", "&lt;").replace(">", "&gt;")


def _summary(command: Any) -> str:
    """The first sentence of the help text."""
    flowing = " ".join(_text(command.help).split())
    return re.split(r"(?<=[.:]) ", flowing)[0].rstrip(".:")
