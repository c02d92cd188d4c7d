"""The compressed residual branches of Demucs v3 and later ("DConv").

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, section 3.2:
two dilated branches in each layer of the U-Net, in the deepest layers with a bidirectional LSTM
(on overlapping spans, so that its state has little to carry) and local attention.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from separator.models.convolution import (
    MOST_BYTES,
    Convolution,
    as_image,
    as_tokens,
    over_time,
    several,
)
from separator.models.fused import activated, linear, may_overwrite
from separator.models.layers import unfilled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADS = 4  # of the local attention
DECAYS = 4  # penalties per head, whose slopes are 1, 2, 3, 4 times a base
SELF_REFERENCE = -100.0  # logit of a frame's attention to itself: next to none
LSTM_LAYERS = 2
SPAN_FRAMES = 200  # the LSTM's spans; they overlap by half

# With the channels last, torch's group normalisation is fast, but it adds up a channel's frames one
# by one and takes the square of the mean from the mean square, in single precision. That costs
# 30 dB over 20,000 frames, and 40 dB where a row of one or two channels hardly varies.
MOST_PLAIN_FRAMES = 512
LEAST_PLAIN_CHANNELS = 64


@dataclass(frozen=True)
class DConvShape:
    """Shape of a layer's residual branches.

    depth: how many there are, one after the other.
    dilated: whether each next one's convolution is twice as wide.
    compress: by how much the channels are reduced inside.
    """

    depth: int = 2
    dilated: bool = True
    compress: float = 4.0
    attention: bool = False
    lstm: bool = False

    def hidden(self, channels: int) -> int:
        """Channels inside a branch of a layer with `channels` of them."""
        return int(channels / self.compress)


PLAIN = DConvShape()


class LayerScale(nn.Module):
    """A factor for each channel of what is added to a residual path (arXiv 2103.17239)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + scale * branch, both (batch, tokens, channels)."""
        return torch.addcmul(x, branch, self.scale)


class BLSTM(nn.Module):
    """Bidirectional LSTM and a linear layer back to its width: (batch, frames, width), same shape.

    spans: whether it runs on spans of 200 frames that overlap by half, of each of which the middle
    half is kept (of the first and last also the outer end), and is added to its input; else it
    runs over everything, and what it gives is the output.
    """

    def __init__(self, width: int, layers: int, *, spans: bool) -> None:
        super().__init__()
        self.lstm = unfilled(nn.LSTM, width, width, layers, bidirectional=True)
        self.linear = unfilled(nn.Linear, 2 * width, width)
        self.spans = spans

    def forward(self, x: Tensor) -> Tensor:
        if not self.spans:
            return self._run(x)
        if x.shape[1] <= SPAN_FRAMES:
            return x + self._run(x)
        return x + self._run_spans(x)

    def _run(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(x.transpose(0, 1))
        return self.linear(x).transpose(0, 1)  # type: ignore[no-any-return]

    def _run_spans(self, x: Tensor) -> Tensor:
        batch, frames, width = x.shape
        hop = SPAN_FRAMES // 2
        count = -(-frames // hop)
        padded = nn.functional.pad(x, (0, 0, 0, (count + 1) * hop - frames))
        spans = padded.unfold(1, SPAN_FRAMES, hop).transpose(2, 3).flatten(0, 1)
        done = self._run(spans).view(batch, count, SPAN_FRAMES, width)
        quarter = hop // 2
        middle = done[:, :, quarter:-quarter].reshape(batch, count * hop, width)
        first, last = done[:, 0, :quarter], done[:, -1, -quarter:]
        return torch.cat([first, middle, last], dim=1)[:, :frames]


class LocalAttention(nn.Module):
    """Attention without positions, weaker with distance: (batch, frames, width), same shape.

    Each query chooses how fast its view fades: the logits of frames at distance d lose
    d * sum_k k * sigmoid(decay_k) / (2 sqrt(4)), k = 1 .. 4. No frame attends to itself.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = Pointwise(width, width)
        self.key = Pointwise(width, width)
        self.content = Pointwise(width, width)
        self.query_decay = Pointwise(width, HEADS * DECAYS)
        self.proj = Pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, width = x.shape
        query, key, content = (
            layer(x).view(batch, frames, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.content)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, content, self._bias(x))
        joined: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, frames, width))
        return x + joined

    def _bias(self, x: Tensor) -> Tensor:
        """Bias of the logits: (batch, heads, queries, keys)."""
        slopes = torch.arange(1, DECAYS + 1, device=x.device) / (2 * DECAYS**0.5)
        sigmoids = self.query_decay(x).sigmoid().view(*x.shape[:2], HEADS, DECAYS)
        decays = sigmoids @ slopes.to(sigmoids.dtype)
        places = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        distance = (places - places[:, None]).abs()
        bias: Tensor = decays.transpose(1, 2)[..., None] * -distance
        bias.diagonal(dim1=-2, dim2=-1).fill_(SELF_REFERENCE)
        return bias.to(x.dtype)


class Pointwise(nn.Module):
    """A linear layer over tokens, whose weights are those of a convolution of width 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, inputs) -> (batch, tokens, outputs)."""
        return linear(x, self.weight[..., 0], self.bias)


class RowNorm(nn.GroupNorm):
    """Mean 0 and variance 1 of each row, all channels together; then scale and shift of each.

    (rows, channels, 1, frames), channels last, same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] >= LEAST_PLAIN_CHANNELS and x.shape[3] <= MOST_PLAIN_FRAMES:
            return super().forward(x)
        tokens = as_tokens(x)
        # A row as one channel: the order in memory is the same, and the sums are exact. Not
        # `nn.functional.group_norm`, which refuses rows of one value: one frame of one channel.
        whole = torch.group_norm(tokens.flatten(1)[:, None], 1, eps=self.eps)
        normal, scale, shift = several(whole.view_as(tokens), self.weight, self.bias)
        return as_image(torch.addcmul(shift, normal, scale).view_as(tokens), bins=1)


class Branch(nn.Module):
    """One residual branch and its input: (rows, channels, 1, frames), same shape; overwrites x."""

    def __init__(self, channels: int, shape: DConvShape, dilation: int) -> None:
        super().__init__()
        hidden = shape.hidden(channels)
        self.conv = Convolution(
            channels, hidden, over_time(3), padding=(0, dilation), dilation=(1, dilation)
        )
        self.norm1 = RowNorm(hidden)
        self.lstm = BLSTM(hidden, LSTM_LAYERS, spans=True) if shape.lstm else None
        self.attention = LocalAttention(hidden) if shape.attention else None
        self.expand = Convolution(hidden, 2 * channels, over_time(1))
        self.norm2 = RowNorm(2 * channels)
        self.scale = nn.Parameter(torch.empty(channels))

    def exact_parameters(self) -> Iterator[nn.Parameter]:
        """All but those of the wide convolution; see `forward`."""
        for name, parameter in self.named_parameters():
            if not name.startswith("conv."):
                yield parameter

    def forward(self, x: Tensor) -> Tensor:
        """In float32 except for both wide ends: the convolution, and the output.

        The few hidden channels are amplified strongly: rounding only them to bfloat16, in the
        outermost decoder layer, causes an error at -42 dB.
        """
        hidden = as_tokens(activated(self.norm1(self.conv(x).float()), "gelu"))
        if self.lstm is not None:
            hidden = self.lstm(hidden)
        if self.attention is not None:
            hidden = self.attention(hidden)
        return as_image(self._added(as_tokens(x), hidden), bins=1)

    def _added(self, x: Tensor, hidden: Tensor) -> Tensor:
        """x + scale * glu(norm2(expand(hidden))), all (rows, frames, channels), in place of x.

        Once the statistics of a row are known, all that is one linear layer and a gate. Its halves
        are made apart: together, torch's glu takes three to six times as long.
        """
        hidden = nn.functional.pad(hidden, (0, 1), value=1.0)  # what a bias is multiplied by
        layers = _right_factor(self._layer_of_each_row(hidden), x.dtype)
        value_layer, gate_layer = (half.contiguous() for half in layers.chunk(2, dim=2))
        made = x if may_overwrite() else x.clone()
        step = max(1, MOST_BYTES // (x.nbytes // x.shape[1]))
        for first in range(0, hidden.shape[1], step):
            some = slice(first, first + step)
            inputs = _left_factor(hidden[:, some], x.dtype)
            gate = torch.bmm(inputs, gate_layer).sigmoid_()
            made[:, some].addcmul_(torch.bmm(inputs, value_layer), gate)
        return made

    def _layer_of_each_row(self, hidden: Tensor) -> Tensor:
        """The linear layer that is expand, norm2 and scale: (rows, hidden + 1, 2 * channels).

        Of (rows, frames, hidden + 1), the last of them 1, float32. The first half of the outputs
        is the value, the second the logits of its gate. The statistics of what norm2 gets come
        from the products of the few hidden channels, without making it.
        """
        weight = torch.column_stack([self.expand.weight.flatten(1), self.expand.bias])
        moments = torch.bmm(hidden.transpose(1, 2), hidden) / hidden.shape[1]
        mean = moments[:, -1] @ weight.mean(0)
        square = moments.flatten(1) @ (weight.T @ weight).flatten() / len(weight)
        variance = (square - mean.square()).clamp_min(0)  # it may round to less
        deviation = (variance + self.norm2.eps).sqrt()
        scale = torch.cat([self.scale, torch.ones_like(self.scale)])
        factor = scale * self.norm2.weight
        layers = (factor[:, None] * weight).T / deviation[:, None, None]
        layers[:, -1] += scale * self.norm2.bias - factor * (mean / deviation)[:, None]
        return layers


def _left_factor(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A factor of a matrix product in `dtype`, beside `_right_factor`: (batch, rows, n).

    In bfloat16 both are split into what it holds of them and the rest, and three of the four
    products are added up: that is nearly float32 at the price of bfloat16, as the processor fills
    up so few channels anyway.
    """
    if dtype is not torch.bfloat16:
        return x
    held, rest = _split(x)
    return torch.cat([held, rest, held], dim=2)


def _right_factor(x: Tensor, dtype: torch.dtype) -> Tensor:
    """See `_left_factor`: (batch, n, columns)."""
    if dtype is not torch.bfloat16:
        return x
    held, rest = _split(x)
    return torch.cat([held, held, rest], dim=1)


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 value as the sum of two bfloat16: the rounded value and its error."""
    held = x.bfloat16()
    return held, (x - held).bfloat16()


class DConv(nn.Module):
    """The residual branches of one layer: (batch, channels, bins, frames), same shape.

    Each bin is a sequence by itself: a row of the image, normalised on its own. The input is lost:
    what becomes of it may take its place.
    """

    def __init__(self, channels: int, shape: DConvShape) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Branch(channels, shape, 2**i if shape.dilated else 1) for i in range(shape.depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, bins, frames = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * bins, 1, frames, channels)
        rows = rows.permute(0, 3, 1, 2)
        for branch in self.branches:
            rows = branch(rows)
        image = rows.permute(0, 2, 3, 1).reshape(batch, bins, frames, channels)
        return image.permute(0, 3, 1, 2)


_BRANCH = re.compile(r"(.*\bdconv)\.layers\.(\d+)\.(\d+)\.(.+)")


def rename_branches(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names of everything under a `dconv`, by ours; the rest stays as it is.

    There a branch is a numbered list of layers, some of which have no parameters, and in the
    middle of which LSTM and attention may stand.
    """
    numbers: dict[str, set[int]] = defaultdict(set)
    inside: dict[str, set[str]] = defaultdict(set)
    for name in state:
        if found := _BRANCH.fullmatch(name):
            prefix = f"{found[1]}.branches.{found[2]}"
            numbers[prefix].add(int(found[3]))
            inside[prefix].add(found[4].split(".")[0])

    def rename(name: str) -> str:
        found = _BRANCH.fullmatch(name)
        if found is None:
            return name
        prefix, rest = f"{found[1]}.branches.{found[2]}", found[4]
        layers = ["conv", "norm1"]
        layers += ["lstm"] if "lstm" in inside[prefix] else []
        layers += ["attention"] if "query" in inside[prefix] else []
        layers += ["expand", "norm2", "scale"]
        place = sorted(numbers[prefix]).index(int(found[3]))
        if place >= len(layers):
            return name
        return f"{prefix}.{layers[place]}" + ("" if rest == "scale" else f".{rest}")

    return {rename(name): tensor for name, tensor in state.items()}
