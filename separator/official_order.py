"""Order of a network's parameters in the official projects, by our names.

Packed weights (DiffQ) have no names, so they are assigned by order. Our modules are declared in
order of use, which is the official order except in the layers below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

ATTENTION = ("content", "query", "key", "query_freqs", "query_decay", "proj")
# Official order of the parts of a layer, for architectures with packed releases.
LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "demucs-v2": (),
    "demucs-v3": (
        ("conv", "norm1", "dconv", "rewrite", "norm2"),
        ("rewrite", "norm1", "dconv", "conv_tr", "norm2"),
        ATTENTION,
    ),
    "hdemucs": (
        ("conv", "norm1", "rewrite", "norm2", "dconv"),
        ("conv_tr", "norm2", "rewrite", "norm1", "dconv"),
        ATTENTION,
    ),
}


def official_order(
    module: nn.Module, architecture: str, prefix: str = ""
) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters by our names, in the order of the official state dict.

    Parameters directly in one of our modules (a branch's scale, the frequency embedding) are
    separate modules in the official projects, after the others.
    """
    children = dict(module.named_children())
    for name in _in_order(list(children), LAYERS[architecture]):
        yield from official_order(children[name], architecture, f"{prefix}{name}.")
    for name, parameter in module.named_parameters(recurse=False):
        yield f"{prefix}{name}", parameter


def _in_order(names: list[str], layers: tuple[tuple[str, ...], ...]) -> list[str]:
    for layer in layers:
        if set(names) <= set(layer):
            return sorted(names, key=layer.index)
    return names
