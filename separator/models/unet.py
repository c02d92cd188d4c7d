"""The layers of the U-Nets of Demucs v3 and later, over time and over frequency.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, figure 1 and
section 3: an encoder layer is a strided convolution, GELU, the residual branches, a 1x1
convolution and GLU; a decoder layer the reverse. Waveforms are images of one bin here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from separator.models.convolution import (
    Convolution,
    TransposedConvolution,
    by_bins,
    channels_last,
)
from separator.models.dconv import DConv, DConvShape
from separator.models.fused import activated, may_overwrite

if TYPE_CHECKING:
    from separator.models.fused import Activation


@dataclass(frozen=True)
class LayerShape:
    """Shape of an encoder layer and of the decoder layer at the same level.

    channels: between this level and the next, deeper one.
    kernel, stride, padding: of the strided convolution, along its axis.
    along_frequency: that axis; else time.
    groups: of the group normalisation; 0 for none.
    rewrite: whether there is a 1x1 convolution with a gate.
    context_encoder, context_decoder: by how much that convolution reaches out on each side.
    context_bins: whether it reaches out over frequency too (in the decoder, along_frequency only).
    dconv_encoder, dconv_decoder: residual branches.
    gelu, gated: the activations; else ReLU.
    """

    channels: int
    kernel: int
    stride: int
    padding: int
    along_frequency: bool
    groups: int = 0
    rewrite: bool = True
    context_encoder: int = 0
    context_decoder: int = 1
    context_bins: bool = True
    dconv_encoder: DConvShape | None = None
    dconv_decoder: DConvShape | None = None
    gelu: bool = True
    gated: bool = True

    @property
    def activation(self) -> Activation:
        """After the strided convolutions."""
        return "gelu" if self.gelu else "relu"

    def along(self, value: int, *, across: int = 0) -> tuple[int, int]:
        """`value` on this layer's axis, `across` on the other: (bins, frames)."""
        return (value, across) if self.along_frequency else (across, value)

    def kernel_axes(self) -> tuple[int, ...]:
        """The strided convolution's kernel."""
        return (self.kernel, 1) if self.along_frequency else (self.kernel,)

    def context_axes(self, context: int, *, bins: bool = True) -> tuple[int, ...]:
        """The kernel of a convolution that reaches `context` far."""
        size = 2 * context + 1
        if not self.along_frequency:
            return (size,)
        return (size if bins else 1, size)

    def context_padding(self, context: int, *, bins: bool = True) -> tuple[int, int]:
        """The padding that keeps the size with `context_axes`."""
        return (context if self.along_frequency and bins else 0, context)


def deviation_and_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean of each item of a batch, (batch, 1, ...), for normalisation.

    A single value deviates by 0. As sums of squares: `torch.std_mean` takes six times as long.
    """
    axes = tuple(range(1, x.ndim))
    mean = x.mean(axes, keepdim=True)
    squares = (x - mean).square().sum(axes, keepdim=True)
    return (squares / max(x[0].numel() - 1, 1)).sqrt(), mean


def _norm(groups: int, channels: int) -> nn.Module:
    return nn.GroupNorm(groups, channels) if groups else nn.Identity()


def _rewritten(x: Tensor, rewrite: Convolution, norm: nn.Module, shape: LayerShape) -> Tensor:
    """The context convolution with its norm and gate."""
    if shape.gated and not shape.groups:
        return rewrite.gated(x)
    y = norm(rewrite(x))
    return nn.functional.glu(y, dim=1) if shape.gated else y.relu()


class EncoderLayer(nn.Module):
    """(batch, inputs, bins, frames) -> (batch, channels, ...), one axis divided by the stride.

    bare: only the strided convolution, where the waveform branch meets the spectrogram branch.
    """

    def __init__(self, shape: LayerShape, inputs: int, *, bare: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.bare = bare
        self.conv = Convolution(
            inputs,
            shape.channels,
            shape.kernel_axes(),
            stride=shape.along(shape.stride, across=1),
            padding=shape.along(shape.padding),
        )
        if bare:
            return
        self.norm1 = _norm(shape.groups, shape.channels)
        self.dconv = (
            DConv(shape.channels, shape.dconv_encoder) if shape.dconv_encoder else nn.Identity()
        )
        self.rewrite: Convolution | None = None
        if shape.rewrite:
            doubled = shape.channels * (2 if shape.gated else 1)
            self.rewrite = Convolution(
                shape.channels,
                doubled,
                shape.context_axes(shape.context_encoder),
                padding=shape.context_padding(shape.context_encoder),
            )
            self.norm2 = _norm(shape.groups, doubled)

    def forward(self, x: Tensor, meeting: Tensor | None = None) -> Tensor:
        """`meeting` is the waveform branch's output, added where the branches meet.

        A padded layer along time makes n / stride frames from n; to that end n is filled up.
        """
        if self.shape.padding and not self.shape.along_frequency:
            x = nn.functional.pad(x, (0, -x.shape[-1] % self.shape.stride))
        if self.bare:
            return self.conv(x)  # type: ignore[no-any-return]
        if meeting is None and not self.shape.groups:
            y = self.conv(x, self.shape.activation)
        else:
            y = self.conv(x) if meeting is None else self.conv(x) + meeting
            y = activated(self.norm1(y), self.shape.activation)
        if self.shape.groups or self.shape.context_encoder:
            return self._refine(y)
        return by_bins(self._refine, y)

    def _refine(self, y: Tensor) -> Tensor:
        """The part of the layer after the strided convolution and its activation."""
        y = self.dconv(y)
        return y if self.rewrite is None else _rewritten(y, self.rewrite, self.norm2, self.shape)


class DecoderLayer(nn.Module):
    """(batch, channels, bins, frames) -> (batch, outputs, ...), one axis times the stride.

    bare: only the transposed convolution, where the waveform branch leaves the spectrogram branch.
    last: no activation at the end. normed: whether the layer's normalisation is there too.
    """

    def __init__(
        self,
        shape: LayerShape,
        outputs: int,
        *,
        last: bool = False,
        bare: bool = False,
        normed: bool = True,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.activation: Activation = "none" if last else shape.activation
        self.normed = normed and shape.groups > 0
        self.bare = bare
        # With normalisation the margins count in its statistics, so they are cut off afterwards.
        self.margin = shape.padding if shape.groups else 0
        self.conv_tr = TransposedConvolution(
            shape.channels,
            outputs,
            shape.kernel_axes(),
            stride=shape.along(shape.stride, across=1),
            padding=shape.along(shape.padding - self.margin),
        )
        self.norm2 = _norm(shape.groups if self.normed else 0, outputs)
        if bare:
            return
        self.rewrite: Convolution | None = None
        if shape.rewrite:
            doubled = shape.channels * (2 if shape.gated else 1)
            bins = shape.context_bins
            self.rewrite = Convolution(
                shape.channels,
                doubled,
                shape.context_axes(shape.context_decoder, bins=bins),
                padding=shape.context_padding(shape.context_decoder, bins=bins),
            )
            self.norm1 = _norm(shape.groups, doubled)
        self.dconv = (
            DConv(shape.channels, shape.dconv_decoder) if shape.dconv_decoder else nn.Identity()
        )

    def forward(self, y: Tensor, frames: int | None = None) -> tuple[Tensor, Tensor]:
        """The output, and the input of the transposed convolution. Overwrites y.

        y: see `joined`. frames: the length of the output of a layer along time; what is beyond is
        cut off.
        """
        if not self.bare:
            if self.rewrite is not None:
                y = _rewritten(y, self.rewrite, self.norm1, self.shape)
            y = by_bins(self.dconv, y)
        if not self.normed:
            return self._trimmed(self.conv_tr(y, self.activation), frames), y
        z = self._trimmed(self.norm2(self.conv_tr(y)), frames)
        return activated(z, self.activation), y

    def _trimmed(self, z: Tensor, frames: int | None) -> Tensor:
        """(batch, outputs, bins, frames) without margins, and not longer than `frames`."""
        if self.shape.along_frequency:
            return z[:, :, self.margin : z.shape[2] - self.margin]
        return z if frames is None else z[..., self.margin : self.margin + frames]


def joined(x: Tensor | None, skip: Tensor | None) -> Tensor:
    """Input of a decoder layer: the sum, in the skip's memory; either may be None."""
    if x is None or skip is None:
        both = skip if x is None else x
        assert both is not None
        return both
    return skip.add_(x) if may_overwrite() else skip + x


class BandEncoder(nn.Module):
    """An encoder layer along frequency with weights of its own for each band.

    ratios: where the bands end, as parts of all bins. Each band takes as much of the next as its
    last output needs, so with equal weights the bands together are the plain layer.
    """

    def __init__(self, shape: LayerShape, inputs: int, ratios: tuple[float, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.ratios = ratios
        unpadded = replace(shape, padding=0)
        self.layers = nn.ModuleList(EncoderLayer(unpadded, inputs) for _ in (*ratios, 1.0))

    def forward(self, x: Tensor, meeting: Tensor | None = None) -> Tensor:
        """(batch, inputs, bins, frames) -> (batch, channels, bins / stride, frames)."""
        assert meeting is None, "the branches meet in deeper layers"
        shape = self.shape
        rows = band_rows(shape, self.ratios, x.shape[2])
        padded = nn.functional.pad(x, (0, 0, shape.padding, shape.padding))
        reach = shape.kernel - shape.stride
        parts = [
            layer(channels_last(padded[:, :, first * shape.stride : last * shape.stride + reach]))
            for layer, (first, last) in zip(self.layers, rows, strict=True)
        ]
        return channels_last(torch.cat(parts, dim=2))


def band_rows(shape: LayerShape, ratios: tuple[float, ...], bins: int) -> list[tuple[int, int]]:
    """Output rows of each band of a `BandEncoder`: first and one past the last."""
    ends = [0]
    for ratio in ratios:
        room = round(bins * ratio) + shape.padding - ends[-1] * shape.stride
        ends.append(ends[-1] + round((room - shape.kernel) / shape.stride + 1))
    return list(itertools.pairwise([*ends, bins // shape.stride]))


def _bias(layer: nn.Module) -> Tensor:
    """Bias of each band, (outputs, 1, 1)."""
    assert isinstance(layer, DecoderLayer)
    return layer.conv_tr.bias[:, None, None]


class BandDecoder(nn.Module):
    """A decoder layer along frequency with weights of its own for each band."""

    def __init__(
        self, shape: LayerShape, outputs: int, ratios: tuple[float, ...], *, last: bool
    ) -> None:
        super().__init__()
        self.shape = shape
        self.ratios = ratios
        self.activation: Activation = "none" if last else shape.activation
        untrimmed = replace(shape, padding=0, context_bins=False)
        self.layers = nn.ModuleList(
            DecoderLayer(untrimmed, outputs, last=True) for _ in (*ratios, 1.0)
        )

    def forward(self, y: Tensor, frames: int | None = None) -> tuple[Tensor, Tensor]:
        """As `DecoderLayer`. Neighbouring bands overlap and are added, with one bias."""
        shape = self.shape
        bins = y.shape[2]
        ends = [0, *(round(bins * ratio) for ratio in self.ratios), bins]
        overlap = shape.kernel - shape.stride
        parts: list[Tensor] = []
        for layer, (first, last) in zip(self.layers, itertools.pairwise(ends), strict=True):
            part, _ = layer(channels_last(y[:, :, first:last]))
            if parts:
                shared = part[:, :, :overlap] - _bias(layer)
                parts[-1][:, :, -overlap:] += shared
                part = part[:, :, overlap:]
            parts.append(part)
        z = torch.cat(parts, dim=2)[:, :, shape.padding : shape.padding + bins * shape.stride]
        z = channels_last(z)
        return activated(z, self.activation), y
