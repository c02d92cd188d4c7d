"""Linear layers and convolutions with what follows them, in one pass over their outputs.

torch's eager layers write a bias, add the products to it, and leave the activation, or a factor,
to further passes; on a CPU each costs as long as many of these layers' sums, as the outputs fit in
no cache. oneDNN does it all at once, in operators that torch has for its compiler. They have no
public name, so where one is missing the same is done in several passes.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Activation = Literal["none", "gelu", "relu", "sigmoid"]


def may_overwrite() -> bool:
    """Whether inputs may be overwritten in place, which gradients do not allow."""
    return not torch.is_grad_enabled()


def activated(x: Tensor, activation: Activation) -> Tensor:
    """activation(x), GELU exactly; overwrites x.

    Fresh memory for the outcome would take as long as the sums.
    """
    if activation == "none":
        return x
    in_place, apart = _ACTIVATIONS[activation]
    return in_place(x) if may_overwrite() else apart(x)


_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "gelu": (torch.ops.aten.gelu_, nn.functional.gelu),
    "relu": (torch.relu_, torch.relu),
    "sigmoid": (torch.sigmoid_, torch.sigmoid),
}


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    activation: Activation = "none",
    factor: Tensor | None = None,
) -> Tensor:
    """activation(weight x + bias), or (weight x + bias) factor: (..., inputs) -> (..., outputs)."""
    if not _fits(x):
        return _finished(nn.functional.linear(x, weight, bias), activation, factor)
    made: Tensor
    operator = torch.ops.mkldnn._linear_pointwise
    if factor is None:
        made = operator(x, weight, bias, activation, [], "none")
    else:
        made = operator.binary(x, factor, weight, bias, "mul")
    return made


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: Activation = "none",
    factor: Tensor | None = None,
) -> Tensor:
    """As `linear`, over images (batch, channels, bins, frames), channels last."""
    if not _fits(x):
        plain = nn.functional.conv2d(
            x, weight, bias, tuple(stride), tuple(padding), tuple(dilation)
        )
        return _finished(plain, activation, factor)
    made: Tensor
    operator = torch.ops.mkldnn._convolution_pointwise
    shape = (padding, stride, dilation, 1)
    if factor is None:
        made = operator(x, weight, bias, *shape, activation, [], "none")
    else:
        made = operator.binary(x, factor, weight, bias, *shape, "mul", None, None, [], None)
    return made


def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    activation: Activation = "none",
) -> Tensor:
    """Transposed counterpart of `convolution`."""
    if not _fits(x):
        plain = nn.functional.conv_transpose2d(x, weight, bias, tuple(stride), tuple(padding))
        return activated(plain, activation)
    made: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
        x, weight, bias, padding, (0, 0), stride, (1, 1), 1, activation, [], "none"
    )
    return made


def _finished(made: Tensor, activation: Activation, factor: Tensor | None) -> Tensor:
    if factor is None:
        return activated(made, activation)
    return made.mul_(factor) if may_overwrite() else made * factor


def _fits(x: Tensor) -> bool:
    """Whether the operators support this input. They have no gradients."""
    return x.device.type == "cpu" and may_overwrite() and x.dtype in _types()


@cache
def _types() -> frozenset[torch.dtype]:
    """The number formats that the operators support on this machine."""
    operators = ("linear", "convolution", "convolution_transpose")
    names = (*(f"_{name}_pointwise" for name in operators), "_is_mkldnn_bf16_supported")
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    built_in = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (x86 and built_in and all(hasattr(torch.ops.mkldnn, name) for name in names)):
        return frozenset()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return frozenset({torch.float32, torch.bfloat16})
    return frozenset({torch.float32})
