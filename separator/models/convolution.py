"""Convolutions over images (batch, channels, bins, frames), in memory with the channels last.

A waveform is an image of one bin, so layers over time and layers over frequency are the same
code. With the channels last a CPU runs most of these convolutions faster, transposed ones and
those over few channels up to five times, and a row of an image, or the whole of it as a list of
tokens for attention, is a view and no copy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from separator.models import fused
from separator.models.fused import may_overwrite

if TYPE_CHECKING:
    from collections.abc import Callable

    from separator.models.fused import Activation

# Of an image that is worked on in parts. Some of it stays in a core's cache; smaller parts, down to
# what fits in the innermost one, were slower: two segments side by side take turns in Python, and
# each part costs some sixty operations. A segment in bfloat16: 0.84 s with 1 MiB, 0.77 with 2,
# 0.72 with 4.
MOST_BYTES = 4 << 20

TOGETHER = 16  # tokens of a row at most; see `several`


def channels_last(x: Tensor) -> Tensor:
    """The same (batch, channels, bins, frames), its channels next to each other in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def as_tokens(x: Tensor) -> Tensor:
    """(batch, channels, bins, frames) -> (batch, bins * frames, channels), a view if it can be."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def as_image(tokens: Tensor, bins: int) -> Tensor:
    """The way back from `as_tokens`, as a view with the channels last."""
    batch, count, channels = tokens.shape
    return tokens.reshape(batch, bins, count // bins, channels).permute(0, 3, 1, 2)


def several(tokens: Tensor, *each: Tensor) -> tuple[Tensor, ...]:
    """(..., tokens, channels) with some tokens in a row, and each (..., 1, channels) to match.

    For what is done to every token alike: with few channels torch takes up to five times as long,
    most of it between the rows.
    """
    *before, count, channels = tokens.shape
    together = math.gcd(count, TOGETHER)
    wide = tokens.reshape(*before, count // together, together * channels)
    return wide, *(one.tile(together) for one in each)


def by_bins(function: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """function(image) for a function that does the same to every bin by itself, shape kept.

    It gets a few bins at a time, so that what it makes on its way stays in a CPU's cache. The
    image is lost: what becomes of it may take its place.
    """
    step = max(1, MOST_BYTES // (image.nbytes // image.shape[2]))
    if step >= image.shape[2] or image.device.type != "cpu":
        return function(image)
    parts = torch.split(image, step, dim=2)
    if not may_overwrite():
        return torch.cat([function(part) for part in parts], dim=2)
    for part in parts:
        made = function(part)
        if made.data_ptr() != part.data_ptr():  # it may be in its place already
            part.copy_(made)
    return image


def over_time(size: int) -> tuple[int]:
    """The kernel of a layer over time alone; its weights have three axes, as released."""
    return (size,)


class Convolution(nn.Module):
    """`torch.nn.Conv2d` and, for a kernel with one axis, `Conv1d`, on images.

    Without the random numbers of torch's own layers: all weights come from a checkpoint.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.pointwise = set(kernel) == {1} and stride == (1, 1)

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """(batch, inputs, bins, frames) -> (batch, outputs, ...)."""
        return self._outputs(x, slice(None), activation=activation)

    def gated(self, x: Tensor) -> Tensor:
        """Half of the outputs, each times the sigmoid of its partner in the other half (GLU).

        The halves are made apart: with the channels last, torch's own glu on both together takes
        two to six times as long.
        """
        half = len(self.weight) // 2
        gate = self._outputs(x, slice(half, None), activation="sigmoid")
        return self._outputs(x, slice(half), factor=gate)

    def _outputs(
        self,
        x: Tensor,
        which: slice,
        *,
        activation: Activation = "none",
        factor: Tensor | None = None,
    ) -> Tensor:
        """Some of the outputs, with what follows them; see `fused`."""
        weight, bias = self.weight[which], self.bias[which]
        if self.pointwise:  # a matrix product: torch on one thread would leave the channels last
            tokens = None if factor is None else as_tokens(factor)
            made = fused.linear(
                as_tokens(x), weight.flatten(1), bias, activation=activation, factor=tokens
            )
            return as_image(made, x.shape[2])
        return fused.convolution(
            x,
            _kernel(weight),
            bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            activation=activation,
            factor=factor,
        )


class TransposedConvolution(nn.Module):
    """`torch.nn.ConvTranspose2d` and, for a kernel with one axis, `ConvTranspose1d`, on images."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *kernel))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """(batch, inputs, bins, frames) -> (batch, outputs, ...)."""
        if self.weight.ndim == 3:
            return self._over_time(x, activation)
        return fused.transposed_convolution(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            activation=activation,
        )

    def _over_time(self, x: Tensor, activation: Activation) -> Tensor:
        """A plain convolution with as many channels for each output as the stride is long.

        Each place of the input gives the outputs up to the next one ("sub-pixel convolution", Shi
        et al., arXiv 1609.05158), which with the channels last are in their order already. A CPU
        takes up to three times as long the other way round, and a tenth of a second for the
        longest row's first time, as oneDNN writes a program for every place where a row can end.
        """
        inputs, outputs, size = self.weight.shape
        stride, padding = self.stride[1], self.padding[1]
        reach = -(-size // stride)  # how many places of the input give an output
        padded = nn.functional.pad(self.weight, (0, reach * stride - size))
        taps = torch.split(padded, stride, dim=2)
        kernel = torch.stack(taps[::-1]).permute(3, 2, 0, 1)  # the latest place gives the first
        kernel = kernel.reshape(stride * outputs, 1, reach, inputs).permute(0, 3, 1, 2)
        made = fused.convolution(
            x,
            kernel,
            self.bias.repeat(stride),
            stride=(1, 1),
            padding=(0, reach - 1),
            dilation=(1, 1),
            activation=activation,
        )
        batch, _, bins, places = made.shape
        tokens = made.permute(0, 2, 3, 1).reshape(batch, bins, places * stride, outputs)
        frames = (x.shape[3] - 1) * stride + size - 2 * padding
        return tokens[:, :, padding : padding + frames].permute(0, 3, 1, 2)


def _kernel(weight: Tensor) -> Tensor:
    return weight[:, :, None] if weight.ndim == 3 else weight
