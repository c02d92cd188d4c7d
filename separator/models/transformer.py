"""The cross-domain transformer encoder between the U-Nets of HTDemucs.

Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023, arXiv
2211.08553, section 2 and figure 1: layers of self-attention within each of the two branches
alternate with layers of cross-attention between them; sinusoidal positions, in two dimensions for
the spectrogram. Attention is dense; the sparse variant was not released.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from separator.models.convolution import as_image, as_tokens
from separator.models.dconv import LayerScale
from separator.models.fused import linear, may_overwrite

if TYPE_CHECKING:
    from separator.models.fused import Activation

# Their logits for the 2688 keys of a segment of HTDemucs are 3.6 MB in bfloat16: they stay in the
# caches. Four times as many are all of its queries, so no few are left over.
QUERIES_AT_ONCE = 672


@dataclass(frozen=True)
class TransformerShape:
    """The encoder's sizes; in brackets the official argument.

    width: of the tokens. layers, heads [t_layers, t_heads].
    hidden: inside the feed-forward blocks [t_hidden_scale, as a multiple of width].
    cross_first: whether the first layer is one of cross-attention [t_cross_first].
    norm_in: before the first layer, "token" for each token [t_norm_in], "all" for all at once
    [t_norm_in_group], or none.
    norm_groups: of the layers' norms over all tokens, 0 for norms of each token [t_group_norm].
    norm_first: norms before attention and feed-forward [t_norm_first]; else after the sums.
    norm_out: one more norm, over all tokens, after each layer that has norm_first [t_norm_out].
    layer_scale, gelu [t_layer_scale, t_gelu].
    longest_period, position_weight: of the positions [t_max_period, t_weight_pos_embed].
    """

    width: int
    layers: int = 5
    heads: int = 8
    hidden: int = 2048
    cross_first: bool = False
    norm_in: str | None = "token"
    norm_groups: int = 0
    norm_first: bool = True
    norm_out: bool = True
    layer_scale: bool = True
    gelu: bool = True
    longest_period: float = 10_000.0
    position_weight: float = 1.0


class Linear(nn.Module):
    """`torch.nn.Linear` without random first weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return linear(x, self.weight, self.bias, activation=activation)


class TokensNorm(nn.GroupNorm):
    """Normalises groups of channels over all tokens at once: (batch, tokens, width), same shape."""

    def forward(self, x: Tensor) -> Tensor:
        # As an image of one bin: group_norm is slower on transposed sequences.
        return as_tokens(super().forward(as_image(x, bins=1)))


class Attention(nn.Module):
    """Multi-head attention: (batch, queries, width) and (batch, keys, width) -> the first's shape.

    in_proj_*: the projections to queries, keys and values, stacked.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Attention of x to `memory`, or to itself."""
        batch, count, width = x.shape
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if memory is None:
            parts = linear(x, weight, bias).chunk(3, dim=-1)
        else:
            query = linear(x, weight[:width], bias[:width])
            parts = (query, *linear(memory, weight[width:], bias[width:]).chunk(2, dim=-1))
        query, key, value = (
            y.view(batch, -1, self.heads, width // self.heads).transpose(1, 2) for y in parts
        )
        attended = attention(query, key, value)
        joined: Tensor = self.out_proj(attended.transpose(1, 2).reshape(batch, count, width))
        return joined


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(width)) value: (batch, heads, queries or keys, width).

    torch's own, but for bfloat16 on a CPU without tiles (AMX): there that computes in float32.
    Ours has no gradients.
    Products in bfloat16 take two thirds of the time; rounding of the logits causes an error at
    -47 dB of the output. With tiles torch's own takes another two thirds, with an error at -53 dB.
    """
    plain = query.dtype is not torch.bfloat16 or query.device.type != "cpu"
    if plain or _has_tiles() or not may_overwrite():
        return nn.functional.scaled_dot_product_attention(query, key, value)
    batch, heads, count, width = query.shape
    made = query.new_empty(batch, count, heads, value.shape[3]).transpose(1, 2)
    scaled = query * width**-0.5
    room = query.new_empty(min(count, QUERIES_AT_ONCE), key.shape[2])  # one for all: it stays warm
    for index in itertools.product(range(batch), range(heads)):
        keys, values = key[index].T, value[index]
        parts = (torch.split(rows, len(room)) for rows in (scaled[index], made[index]))
        for queries, out in zip(*parts, strict=True):
            shares = torch.mm(queries, keys, out=room[: len(queries)])
            torch.softmax(shares, dim=-1, out=shares)
            torch.mm(shares, values, out=out)
    return made


@cache
def _has_tiles() -> bool:
    """torch's detection of the processor; it has no public name, and older versions lack it."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


class Layer(nn.Module):
    """Common base of both kinds of layers: feed-forward block, norms, scales."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.linear1 = Linear(shape.width, shape.hidden)
        self.linear2 = Linear(shape.hidden, shape.width)
        self.norm1 = _norm(shape)
        self.norm2 = _norm(shape)
        self.gamma_1 = LayerScale(shape.width) if shape.layer_scale else Sum()
        self.gamma_2 = LayerScale(shape.width) if shape.layer_scale else Sum()
        out = shape.norm_first and shape.norm_out
        self.norm_out = TokensNorm(1, shape.width) if out else nn.Identity()

    def feed_forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width), same shape."""
        y = self.linear1(x, "gelu" if self.shape.gelu else "relu")
        return self.linear2(y)  # type: ignore[no-any-return]


class SelfAttentionLayer(Layer):
    """Attention within a branch: (batch, tokens, width), same shape."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(shape)
        self.self_attn = Attention(shape.width, shape.heads)

    def forward(self, x: Tensor) -> Tensor:
        if not self.shape.norm_first:
            x = self.norm1(self.gamma_1(x, self.self_attn(x)))
            return self.norm2(self.gamma_2(x, self.feed_forward(x)))  # type: ignore[no-any-return]
        x = self.gamma_1(x, self.self_attn(self.norm1(x)))
        x = self.gamma_2(x, self.feed_forward(self.norm2(x)))
        return self.norm_out(x)  # type: ignore[no-any-return]


class CrossAttentionLayer(Layer):
    """Attention to the other branch: (batch, tokens, width), same shape."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(shape)
        self.norm3 = _norm(shape)  # of the feed-forward block, if norms come first
        self.cross_attn = Attention(shape.width, shape.heads)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        if not self.shape.norm_first:
            x = self.norm1(self.gamma_1(x, self.cross_attn(x, other)))
            return self.norm2(self.gamma_2(x, self.feed_forward(x)))  # type: ignore[no-any-return]
        x = self.gamma_1(x, self.cross_attn(self.norm1(x), self.norm2(other)))
        x = self.gamma_2(x, self.feed_forward(self.norm3(x)))
        return self.norm_out(x)  # type: ignore[no-any-return]


class Sum(nn.Module):
    """Substitute for `LayerScale` in models without it."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return x + branch


class CrossTransformerEncoder(nn.Module):
    """layers, norm_in: the spectrogram branch's; layers_t, norm_in_t: the waveform branch's."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.norm_in = _norm_in(shape)
        self.norm_in_t = _norm_in(shape)
        self.layers = nn.ModuleList(_layer(shape, index) for index in range(shape.layers))
        self.layers_t = nn.ModuleList(_layer(shape, index) for index in range(shape.layers))

    def forward(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, width, bins, columns) and (batch, width, 1, frames), same shapes.

        Tokens are in the order of the images' memory: no part of the encoder minds their order,
        as long as each has its position.
        """
        shape, bins = self.shape, x.shape[2]
        places = positions_2d(bins, x.shape[3], shape.width, shape.longest_period, x.device)
        x = self.norm_in(as_tokens(x)) + (shape.position_weight * places).to(x.dtype)
        places = positions(wave.shape[3], shape.width, shape.longest_period, x.device)
        wave = self.norm_in_t(as_tokens(wave)) + (shape.position_weight * places).to(wave.dtype)
        for layer, layer_t in zip(self.layers, self.layers_t, strict=True):
            if isinstance(layer, CrossAttentionLayer):
                x, wave = layer(x, wave), layer_t(wave, x)
            else:
                x, wave = layer(x), layer_t(wave)
        return as_image(x, bins), as_image(wave, bins=1)


def _norm(shape: TransformerShape) -> nn.Module:
    if shape.norm_groups:
        return TokensNorm(shape.norm_groups, shape.width)
    return nn.LayerNorm(shape.width)


def _norm_in(shape: TransformerShape) -> nn.Module:
    if shape.norm_in == "all":
        return TokensNorm(1, shape.width)
    return nn.LayerNorm(shape.width) if shape.norm_in == "token" else nn.Identity()


def _layer(shape: TransformerShape, index: int) -> Layer:
    cross = (index % 2 == 0) == shape.cross_first
    return CrossAttentionLayer(shape) if cross else SelfAttentionLayer(shape)


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
@torch.no_grad()
def positions(frames: int, width: int, longest_period: float, device: torch.device) -> Tensor:
    """Sinusoidal positions, (frames, width) float32: all cosines, then all sines.

    Kept, so not made in inference mode: other modes may use them later.
    """
    half = width // 2
    place = torch.arange(frames, device=device)[:, None]
    order = torch.arange(half, device=device)
    phase = place / longest_period ** (order / (half - 1))
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
@torch.no_grad()
def positions_2d(
    bins: int, columns: int, width: int, longest_period: float, device: torch.device
) -> Tensor:
    """Positions of an image's tokens, (bins * columns, width) float32.

    The first half of the channels is the column's position, the second the bin's, each with sines
    and cosines in turn. `width` is a multiple of 4. Kept, as `positions`.
    """
    half = width // 2
    order = torch.arange(0, half, 2, device=device)
    # An exponential as in the release: a power rounds differently, an error of up to -77 dB.
    rates = torch.exp(order * -(math.log(longest_period) / half))

    def along(length: int) -> Tensor:
        phase = torch.arange(length, device=device)[:, None] * rates
        return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(1)

    by_column = along(columns).expand(bins, -1, -1)
    by_bin = along(bins)[:, None].expand(-1, columns, -1)
    return torch.cat([by_column, by_bin], dim=-1).flatten(0, 1)
