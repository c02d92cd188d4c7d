"""Layouts of the Demucs releases' files, recognised by container and class.

Version 1 saved a tuple (class, positional arguments, keywords, state), version 2 the bare state,
versions 3 and 4 a dict with `klass`, `args`, `kwargs`, `state`; the hub's safetensors have these in
their metadata. Versions 1 to 3 each have a class `Demucs`: version 3 has another module, versions 1
and 2 differ by the container.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from separator.errors import BadCheckpoint
from separator.weights import diffq
from separator.weights.checkpoint import Checkpoint, plain_arguments
from separator.weights.pickles import ClassName
from separator.weights.tensors import TensorStub, checked_fraction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from separator.weights.checkpoint import Array

# Classes of versions 2 to 4. `wdemucs` is the name of `hdemucs` during its training.
ARCHITECTURES = {
    "demucs.model.Demucs": "demucs-v2",
    "demucs.tasnet.ConvTasNet": "conv-tasnet",
    "demucs.demucs.Demucs": "demucs-v3",
    "demucs.hdemucs.HDemucs": "hdemucs",
    "demucs.wdemucs.WDemucs": "hdemucs",
    "demucs.htdemucs.HTDemucs": "htdemucs",
}
CLASSES = (*ARCHITECTURES, *diffq.CLASSES)


def from_saved(value: object) -> Checkpoint:
    """The checkpoint in a value that `read_torch` returned.

    Raises:
        BadCheckpoint: none of the layouts above.
    """
    if isinstance(value, tuple) and len(value) == 4:
        name, positional, keywords, state = value
        return _described(name, positional, keywords, state, {"demucs.model.Demucs": "demucs-v1"})
    if isinstance(value, dict) and "klass" in value:
        name, positional, keywords = value["klass"], value.get("args"), value.get("kwargs")
        return _described(name, positional, keywords, value.get("state"), {})
    packed = diffq.from_saved(value)
    return Checkpoint(None, state={} if packed else _state(value), packed=packed)


def from_metadata(metadata: Mapping[str, Any], state: Mapping[str, Array]) -> Checkpoint:
    """The checkpoint in a safetensors file of the hub.

    metadata: `klass`, `args` and `kwargs`, and `structure` for a nested (packed) state; all but
        `klass` parsed from JSON. Without `klass` the file is a bare state.
    state: arrays by name.

    Raises:
        BadCheckpoint: the metadata differ from those of the releases.
    """
    if "klass" not in metadata:
        return Checkpoint(None, state=state)
    structure = metadata.get("structure")
    packed = diffq.from_structure(structure, state) if structure is not None else None
    return Checkpoint(
        architecture=_architecture(metadata["klass"], {}),
        arguments=_keywords(from_json(metadata.get("kwargs"))),
        positional=_positional(from_json(metadata.get("args"))),
        state={} if packed else state,
        packed=packed,
    )


def _described(
    name: object, positional: object, keywords: object, state: object, differing: Mapping[str, str]
) -> Checkpoint:
    if not isinstance(name, ClassName):
        raise BadCheckpoint("it does not name the class of its model")
    packed = diffq.from_saved(state)
    return Checkpoint(
        architecture=_architecture(str(name), differing),
        arguments=_keywords(keywords),
        positional=_positional(positional),
        state={} if packed else _state(state),
        packed=packed,
    )


def _architecture(name: object, differing: Mapping[str, str]) -> str:
    known = {**ARCHITECTURES, **differing}
    if not isinstance(name, str) or name not in known:
        raise BadCheckpoint(f"its class {str(name)[:64]!r} is none of {', '.join(known)}")
    return known[name]


def _keywords(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadCheckpoint("its keyword arguments are no dict")
    keywords: dict[str, Any] = plain_arguments(value)
    return keywords


def _positional(value: object) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise BadCheckpoint("its positional arguments are no list")
    return tuple(plain_arguments(value))


def _state(value: object) -> dict[str, Array]:
    if not isinstance(value, dict) or not value:
        raise BadCheckpoint("it holds no state of a model")
    state: dict[str, Array] = {}
    for name, item in value.items():
        if not isinstance(name, str) or not isinstance(item, TensorStub) or item.value is None:
            raise BadCheckpoint(f"{str(name)[:64]!r} is no tensor")
        state[name] = item.value
    return state


def from_json(value: object) -> Any:
    """Plain arguments from a JSON value, with the hub's encoding of fractions."""
    plain = plain_arguments(value)

    def turned(item: Any) -> Any:
        if isinstance(item, list):
            return [turned(inner) for inner in item]
        if not isinstance(item, dict):
            return item
        if item.get("_type") == "fraction":
            return checked_fraction(item.get("numerator"), item.get("denominator"))
        return {key: turned(inner) for key, inner in item.items()}

    return turned(plain)


def to_json(value: object) -> dict[str, object]:
    """Encoder for json.dumps: a fraction in the hub's encoding."""
    if not isinstance(value, Fraction):
        raise TypeError(f"{type(value).__name__} is no argument of a checkpoint")
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
