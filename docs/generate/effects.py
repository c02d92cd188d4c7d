"""The effects of a preset's chain: parameters, units, ranges and defaults, from the registry."""

from __future__ import annotations

from bridge.effects.registry import EFFECTS, AudioUnit, parameters
from docs.generate.markdown import table


def overview() -> str:
    """A table of all effects."""
    rows = ((f"[`{name}`](#{name})", each.description) for name, each in EFFECTS.items())
    return table(("effect", "what it does"), rows)


def reference() -> str:
    """A section for each effect with the table of its parameters."""
    return "\n".join(_section(name) for name in EFFECTS)


def _section(name: str) -> str:
    effect = EFFECTS[name]
    text = f"### {name}\n\n{effect.description[0].upper()}{effect.description[1:]}.\n"
    if effect is AudioUnit:
        return f"{text}\nParameters: as of [`vst3`](#vst3).\n"
    found = parameters(effect)
    if not found:
        return f"{text}\nNo parameters.\n"
    rows = ((f"`{each.name}`", each.span, each.default, each.description) for each in found)
    return f"{text}\n{table(('parameter', 'range', 'default', 'what it does'), rows)}"
