"""JSON Schema of preset files for editors, generated from the models.

It is a little more permissive than the models: dependencies between keys are not expressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from bridge.effects.conditions import When
from bridge.effects.registry import EFFECTS
from bridge.presets.loader import PresetContent
from bridge.presets.mixdown import MAX_GAIN_DB, MIN_GAIN_DB, OFF, Level

if TYPE_CHECKING:
    from pydantic import BaseModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A variable in place of a value; see `composition`.
_VARIABLE = {"type": "string", "pattern": r"^\$\{.*\}$"}
_SCALARS = ("number", "integer", "boolean")

Json = dict[str, Any]


def schema() -> Json:
    """The schema as plain data."""
    models: list[type[BaseModel]] = [PresetContent, Level, When, *EFFECTS.values()]
    _, made = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}"
    )
    parts: Json = made["$defs"]
    for effect in EFFECTS.values():
        _relax_effect(parts[effect.__name__])
    top = parts.pop("PresetContent")
    parts = {name: _with_variables(part) for name, part in parts.items()}
    parts["Mixdown"] = {"anyOf": [_long_mixdown(parts["Mixdown"]), _levels()]}
    parts["ChainItem"] = _chain_item()
    parts["SourceLevel"] = _source_level()
    properties = {name: _with_variables(field) for name, field in top["properties"].items()}
    for name in ("chain", "master"):
        properties[name] = _chain()
    properties["stem_chains"] = {"type": "object", "additionalProperties": _chain()}
    properties["stems"] = {
        "anyOf": [
            {"const": "all"},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True},
        ]
    }
    properties |= {
        "schema": {"enum": [1, 2], "description": "2 for what schema 1 did not know"},
        "extends": {"type": "string", "description": "a preset's name, or its file"},
        "variables": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
    }
    return {
        "$schema": _DIALECT,
        "title": "Stembridge preset",
        "type": "object",
        "properties": properties,
        "required": ["schema"],
        "anyOf": [{"required": ["summary"]}, {"required": ["extends"]}],
        "additionalProperties": False,
        "$defs": parts,
    }


def _relax_effect(part: Json) -> None:
    """Add what the validators of an effect accept beyond its types."""
    fields = part["properties"]
    if "parameters" in fields:
        fields["parameters"] = {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        }
    if part["title"] == "Limiter":
        fields["ceiling_db"] = {**fields["ceiling_dbtp"], "deprecated": True}


def _with_variables(part: Any) -> Any:
    """The schema with a variable allowed in place of every scalar that is not text."""
    if isinstance(part, list):
        return [_with_variables(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") in _SCALARS or "enum" in part or "const" in part:
        annotations = {key: part[key] for key in ("description", "default") if key in part}
        return {"anyOf": [part, _VARIABLE], **annotations}
    kept = {"default", "required"}  # values, not schemas
    return {k: v if k in kept else _with_variables(v) for k, v in part.items()}


def _chain() -> Json:
    return {"type": "array", "items": {"$ref": "#/$defs/ChainItem"}}


def _chain_item() -> Json:
    """`name`, or `{name: parameters}`."""
    named = {
        name: {"anyOf": [{"$ref": f"#/$defs/{effect.__name__}"}, {"type": "null"}]}
        for name, effect in EFFECTS.items()
    }
    mapping = {
        "type": "object",
        "properties": named,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [{"enum": list(EFFECTS)}, mapping]}


def _source_level() -> Json:
    gain = {"type": "number", "minimum": MIN_GAIN_DB, "maximum": MAX_GAIN_DB}
    return {"anyOf": [gain, {"const": OFF}, {"$ref": "#/$defs/Level"}, _VARIABLE]}


def _levels() -> Json:
    return {"type": "object", "additionalProperties": {"$ref": "#/$defs/SourceLevel"}}


def _long_mixdown(part: Json) -> Json:
    return {**part, "properties": {**part["properties"], "mix": _levels(), "chain": _chain()}}
