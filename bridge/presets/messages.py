"""Error messages for validation errors: what is wrong in the file, and what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bridge.effects.base import plain_field, unit
from bridge.system.spelling import nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

# Errors about the kind of a value, and their messages.
_MAPPING = "'{name}' must have keys with values; write `{name}: {{key: value}}`"
_SHAPE_ERRORS = {
    "missing": "key '{name}' is missing; add a line `{name}: {value}`",
    "tuple_type": "'{name}' must be a list; write `{name}: [...]` or one `- item` a line",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "union_tag_not_found": "an item of '{name}' must be `name` or "
    "`{{name: {{parameter: value}}}}`; mind the indentation",
}

# https://yaml.org/type/bool.html, case-insensitive; in quotes, true is text as well.
_YES_WORDS = frozenset({"y", "yes", "on", "true"})
_NO_WORDS = frozenset({"n", "no", "off", "false", "none"})
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")

# Errors whose message lists the permitted values.
_VALUE_ERRORS = {
    "float_type",
    "finite_number",
    "greater_than_equal",
    "less_than_equal",
    "bool_type",
    "string_type",
    "literal_error",
}


def explain(
    error: ErrorDetails,
    model_at: Callable[[tuple[str, ...]], type[BaseModel] | None],
    effects: Iterable[str],
) -> str:
    """Describe a validation error in one line.

    Args:
        error: error of pydantic.
        model_at: returns the model at a location of the file; that of an effect is
            ("chain", its name).
        effects: names of the effects.
    """
    place = tuple(str(part) for part in error["loc"] if isinstance(part, str))
    kind = error["type"]
    name = place[-1] if place else ""
    if kind == "extra_forbidden":
        return _unknown_key(name, place[:-1], model_at(place[:-1]))
    if kind == "union_tag_invalid":
        tag = str(error["ctx"]["tag"])
        return f"unknown effect '{tag}'; {suggestion(tag, effects)}"
    if not place:
        return "a preset has keys with values; start it with `schema: 1`"
    model = model_at(place[:-1])
    if kind in _SHAPE_ERRORS:
        return _wrong_shape(kind, name, error["input"], model)
    if kind in _VALUE_ERRORS and model is not None:
        return _bad_value(name, error["input"], _field(model, name))
    return error["msg"]


def _unknown_key(name: str, owner: tuple[str, ...], model: type[BaseModel] | None) -> str:
    keys = list(_fields(model)) if model else []
    keys.sort(key=lambda key: key == "when")  # common to all effects, so last
    keys += [] if owner else ["extends", "variables"]
    where = f" of '{owner[-1]}'" if owner else ""
    if name.isdecimal():
        return f"unknown key '{name}'{where}; remove it (in a number, write a point: 1.5)"
    return f"unknown key '{name}'{where}; {suggestion(name, keys)}"


def _wrong_shape(kind: str, name: str, value: object, owner: type[BaseModel] | None) -> str:
    fields = owner.model_fields if owner else {}
    if kind != "missing" and _is_no(value) and name in fields and fields[name].default is None:
        return f"'{name}' is {format_value(value)}; leave the line out to have none"
    return _SHAPE_ERRORS[kind].format(name=name, value="1" if name == "schema" else "...")


def _field(model: type[BaseModel], name: str) -> dict[str, Any]:
    """JSON schema of one field."""
    return plain_field(_fields(model)[name])


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schemas of all fields; those of a recursive model are in `$defs`."""
    schema = model.model_json_schema()
    schema = schema["$defs"][model.__name__] if "$ref" in schema else schema
    fields: dict[str, Any] = schema.get("properties", {})
    return fields


def _bad_value(name: str, value: object, field: Mapping[str, Any]) -> str:
    is_now = f"'{name}' is {format_value(value)}"
    options = [
        str(option) for option in field.get("enum", [field["const"]] if "const" in field else [])
    ]
    if isinstance(value, str) and value in options:
        return f"{is_now}, which is text; leave the quotes away"
    no = next((option for option in ("off", "none") if option in options), None)
    if no and _is_no(value):
        return f"{is_now}; did you mean '{no}'?"
    near = nearest(value, options) if isinstance(value, str) else None
    if near:
        return f"{is_now}; did you mean '{near}'?"
    hint = _hint(value, field, options)
    return f"{is_now}; allowed is {_allowed(name, options, field)}{hint and f'; {hint}'}"


def _hint(value: object, field: Mapping[str, Any], options: list[str]) -> str:
    """Correction for a value of the wrong type; "" where none is obvious."""
    if field.get("type") == "boolean":
        return "write false" if _is_no(value) else "write true" if _is_yes(value) else ""
    if "minimum" in field:
        if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
            return f"write {value.replace(',', '.')}"
        return (
            "leave the quotes away" if isinstance(value, str) and _NUMBER.fullmatch(value) else ""
        )
    is_text = isinstance(value, str) or value is None or isinstance(value, dict | tuple)
    return "" if is_text or options else "put it in quotes"


def _is_no(value: object) -> bool:
    """Whether a value is false or a word for false in YAML 1.1."""
    return value is False or (isinstance(value, str) and value.lower() in _NO_WORDS)


def _is_yes(value: object) -> bool:
    return isinstance(value, str) and value.lower() in _YES_WORDS


def _allowed(name: str, options: list[str], field: Mapping[str, Any]) -> str:
    if options:
        return " or ".join(options)
    if field.get("type") == "boolean":
        return "true or false"
    if "minimum" in field:
        return f"a number, {field['minimum']:g} to {field['maximum']:g} {unit(name)}".rstrip()
    return "text"


def format_value(value: object) -> str:
    """A value as written in the file, shortened to fit a line."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "empty"
    if isinstance(value, dict | tuple):
        return "a list" if isinstance(value, tuple) else "a mapping"
    text = (
        f"'{value}'"
        if isinstance(value, str)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) <= 40 else text[:37] + "..."
