"""Conv-TasNet: masks on a learned transform, from a stack of dilated convolutions.

Luo, Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
Separation", IEEE/ACM TASLP 27(8), 2019, arXiv 1809.07454. With two channels in and out as the
Demucs project trained it on music (arXiv 1911.13254), in its versions 1 and 2; there the 1-D
convolutional blocks have a residual path only, no skip path to the mask. The letters of the
paper's table I (N, L, B, H, P, X, R) are the official argument names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from separator.errors import InputError
from separator.models.arguments import Arguments
from separator.models.base import WaveformModel
from separator.models.layers import unfilled

if TYPE_CHECKING:
    from collections.abc import Mapping

EPSILON = 1e-8  # of both normalisations
MUSDB_SOURCES: tuple[str, ...] = ("drums", "bass", "other", "vocals")  # version 1 has no names
V1_SEGMENT_S = 10.0  # version 1's program cuts the recording into pieces of this length
V2_SEGMENT_FRAMES = 4 * 2 * 44_100  # default of version 2's constructor
WIDEST = 4096  # limit for channel counts from files; published models have 512 at most

Norm = Literal["gLN", "cLN"]


@dataclass(frozen=True)
class ConvTasNetConfig:
    """The architecture; beside each size its letter in the paper."""

    sources: tuple[str, ...]
    channels: int = 2  # of the audio
    filters: int = 256  # N
    filter_frames: int = 20  # L
    bottleneck: int = 256  # B
    hidden: int = 512  # H
    kernel_size: int = 3  # P
    blocks: int = 8  # X: in each repeat, dilated by 1, 2, 4 ...
    repeats: int = 4  # R
    norm: Norm = "gLN"
    mask: Literal["relu", "softmax"] = "relu"
    rate_hz: int = 44_100
    segment_s: float = V1_SEGMENT_S

    # Version 2's, and "C", which version 1 has in place of "sources".
    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *("sources", "N", "L", "B", "H", "P", "X", "R", "audio_channels", "norm_type", "causal"),
        *("mask_nonlinear", "samplerate", "segment_length", "C"),
    )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> ConvTasNetConfig:
        """Official keywords: version 2's where `sources` is among them, else version 1's.

        The versions' defaults differ in `audio_channels` (1 in version 1). Version 1's number of
        stems `C` is 4, always drums, bass, other, vocals. What no released model uses is not
        built: `causal`, and norms other than gLN and cLN.

        Raises:
            InputError: an unknown argument, or a value that is not possible.
        """
        given = Arguments("Conv-TasNet", arguments, cls.OFFICIAL_ORDER)
        given.only("causal", value=False)
        given.only("C", len(MUSDB_SOURCES))
        second = "sources" in given
        sources = given.sources() if second else MUSDB_SOURCES
        rate_hz = given.rate_hz()
        v1_frames = round(V1_SEGMENT_S * rate_hz)
        softmax = given.choice("mask_nonlinear", "relu", ("relu", "softmax")) == "softmax"
        channel_wise = given.choice("norm_type", "gLN", ("gLN", "cLN")) == "cLN"
        return cls(
            sources=sources,
            channels=given.audio_channels(2 if second else 1),
            filters=given.integer("N", 256, 1, WIDEST),
            filter_frames=given.integer("L", 20, 2, 4096),
            bottleneck=given.integer("B", 256, 1, WIDEST),
            hidden=given.integer("H", 512, 1, WIDEST),
            kernel_size=_odd(given, "P", 3, 31),
            blocks=given.integer("X", 8, 1, 16),
            repeats=given.integer("R", 4, 1, 16),
            norm="cLN" if channel_wise else "gLN",
            mask="softmax" if softmax else "relu",
            rate_hz=rate_hz,
            segment_s=given.segment_s(rate_hz, V2_SEGMENT_FRAMES if second else v1_frames),
        )


def _odd(given: Arguments, name: str, default: int, high: int) -> int:
    """An odd width: only then do the padded convolutions keep the length."""
    value = given.integer(name, default, 1, high)
    if value % 2 == 0:
        raise given.refuse(name, f"an odd number from 1 to {high}")
    return value


class LayerNorm(nn.Module):
    """(batch, width, n), same shape: mean 0, variance 1, times gamma, plus beta.

    "gLN", global: over channels and time at once. "cLN", channel-wise: for each time by itself
    (the paper's cumulative norm of the same letters is not what was released).
    """

    def __init__(self, norm: Norm, width: int) -> None:
        super().__init__()
        self.whole = norm == "gLN"
        self.gamma = nn.Parameter(torch.empty(1, width, 1))
        self.beta = nn.Parameter(torch.empty(1, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.whole:  # one group of all channels
            gamma, beta = self.gamma.flatten(), self.beta.flatten()
            return nn.functional.group_norm(x, 1, gamma, beta, EPSILON)
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + EPSILON) * self.gamma + self.beta


class ConvBlock(nn.Module):
    """1-D convolutional block (figure 1C): (batch, bottleneck, n), same shape.

    1x1 convolution, PReLU, norm, dilated depthwise convolution, PReLU, norm, 1x1 convolution,
    added to the input.
    """

    def __init__(self, config: ConvTasNetConfig, dilation: int) -> None:
        super().__init__()
        narrow, wide, width = config.bottleneck, config.hidden, config.kernel_size
        self.conv1x1 = unfilled(nn.Conv1d, narrow, wide, 1, bias=False)
        self.prelu1 = unfilled(nn.PReLU)
        self.norm1 = LayerNorm(config.norm, wide)
        self.depthwise = unfilled(
            nn.Conv1d,
            wide,
            wide,
            width,
            padding=(width - 1) * dilation // 2,
            dilation=dilation,
            groups=wide,
            bias=False,
        )
        self.prelu2 = unfilled(nn.PReLU)
        self.norm2 = LayerNorm(config.norm, wide)
        self.pointwise = unfilled(nn.Conv1d, wide, narrow, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm1(self.prelu1(self.conv1x1(x)))
        hidden = self.norm2(self.prelu2(self.depthwise(hidden)))
        return x + self.pointwise(hidden)  # type: ignore[no-any-return]


class SeparationModule(nn.Module):
    """The masks (figure 1B): (batch, filters, n) -> (batch, stems, filters, n)."""

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.stems = len(config.sources)
        self.softmax = config.mask == "softmax"
        self.layer_norm = LayerNorm("cLN", config.filters)  # whatever the norm of the blocks
        self.bottleneck = unfilled(nn.Conv1d, config.filters, config.bottleneck, 1, bias=False)
        self.repeats = nn.ModuleList(
            nn.Sequential(*(ConvBlock(config, 2**i) for i in range(config.blocks)))
            for _ in range(config.repeats)
        )
        self.mask = unfilled(
            nn.Conv1d, config.bottleneck, self.stems * config.filters, 1, bias=False
        )

    def forward(self, weights: Tensor) -> Tensor:
        x = self.bottleneck(self.layer_norm(weights))
        for repeat in self.repeats:
            x = repeat(x)
        score: Tensor = self.mask(x).reshape(len(x), self.stems, *weights.shape[1:])
        return score.softmax(dim=1) if self.softmax else score.relu_()


class Decoder(nn.Module):
    """Basis signals, weighted and overlap-added: (batch, filters, n) -> (batch, channels, frames).

    The frames are (n - 1) * hop + filter_frames. The official weight, (channels * filter_frames,
    filters), is that of a linear layer; with overlap-add it is a transposed convolution.
    """

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.channels = config.channels
        self.hop_frames = config.filter_frames // 2
        self.basis_signals = unfilled(
            nn.Linear, config.filters, config.channels * config.filter_frames, bias=False
        )

    def forward(self, weights: Tensor) -> Tensor:
        signals = self.basis_signals.weight.T.reshape(weights.shape[1], self.channels, -1)
        return nn.functional.conv_transpose1d(weights, signals, stride=self.hop_frames)


class ConvTasNet(WaveformModel):
    """Conv-TasNet as released: (batch, channels, frames) -> (batch, stems, channels, frames).

    The frames at the end that fill no filter any more (fewer than half a filter) are silent.
    """

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.config = config
        self.sources = config.sources
        self.rate_hz = config.rate_hz
        self.channels = config.channels
        self.segment_s = config.segment_s
        self.encoder = unfilled(
            nn.Conv1d,
            config.channels,
            config.filters,
            config.filter_frames,
            config.filter_frames // 2,
            bias=False,
        )
        self.separator = SeparationModule(config)
        self.decoder = Decoder(config)

    @staticmethod
    def from_official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official state dict, whose blocks are numbered lists of layers, by our names."""

        def rename(name: str) -> str:
            for pattern, ours in OUR_NAMES:
                name = pattern.sub(ours, name)
            return name

        return {rename(name): tensor for name, tensor in state.items()}

    def valid_frames(self, frames: int) -> int:
        """`frames`, but for less than one filter."""
        return max(frames, self.config.filter_frames)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames), float32.

        Raises:
            InputError: fewer frames than a filter has.
        """
        batch, _, frames = mixture.shape
        least = self.config.filter_frames
        if frames < least:
            raise InputError(f"Conv-TasNet needs {least} frames or more, not {frames}")
        weights = self.encoder(mixture).relu_()
        masked = self.separator(weights).mul_(weights[:, None])
        stems = self.decoder(masked.flatten(0, 1))
        padded = nn.functional.pad(stems, (0, frames - stems.shape[-1]))
        return padded.reshape(batch, len(self.sources), self.channels, frames)


OUR_NAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^encoder\.conv1d_U\.", "encoder."),
        (r"^separator\.network\.0\.", "separator.layer_norm."),
        (r"^separator\.network\.1\.", "separator.bottleneck."),
        (r"^separator\.network\.2\.(\d+)\.(\d+)\.net\.", r"separator.repeats.\1.\2."),
        (r"^separator\.network\.3\.", "separator.mask."),
        (r"^(separator\.repeats\.\d+\.\d+)\.0\.", r"\1.conv1x1."),
        (r"^(separator\.repeats\.\d+\.\d+)\.1\.", r"\1.prelu1."),
        (r"^(separator\.repeats\.\d+\.\d+)\.2\.", r"\1.norm1."),
        (r"^(separator\.repeats\.\d+\.\d+)\.3\.net\.0\.", r"\1.depthwise."),
        (r"^(separator\.repeats\.\d+\.\d+)\.3\.net\.1\.", r"\1.prelu2."),
        (r"^(separator\.repeats\.\d+\.\d+)\.3\.net\.2\.", r"\1.norm2."),
        (r"^(separator\.repeats\.\d+\.\d+)\.3\.net\.3\.", r"\1.pointwise."),
    )
)
