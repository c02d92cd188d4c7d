"""Demucs, versions 1 and 2: a U-Net on waveforms with a bidirectional LSTM in the middle.

Défossez, Usunier, Bottou, Bach, "Music Source Separation in the Waveform Domain", arXiv
1911.13254, the section on the architecture of Demucs: encoder blocks (strided convolution, ReLU,
1x1 convolution, GLU), the LSTM, decoder blocks (convolution, GLU, transposed convolution, ReLU),
U-Net skips between them that are added. Version 2 (released in 2021) also runs the network at
twice the rate.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from separator.errors import InputError
from separator.models.arguments import Arguments
from separator.models.base import WaveformModel
from separator.models.layers import unfilled
from separator.models.sinc import TwiceTheRate

if TYPE_CHECKING:
    from collections.abc import Mapping

MUSDB_SOURCES: tuple[str, ...] = ("drums", "bass", "other", "vocals")  # version 1 has no names
V1_SEGMENT_S = 10.0  # version 1's program cuts the recording into pieces of this length
V2_SEGMENT_FRAMES = 4 * 10 * 44_100  # default of version 2's constructor
NORMALISATION_EPSILON = 1e-5

# Limits for arguments from files; the largest published model has 3200 channels and strides that
# multiply to 4096.
WIDEST = 4096
LONGEST_TOTAL_STRIDE = 1 << 16
LEAST_KERNEL = 3  # then 2 frames or more go in, as a deviation needs; published models have 8


@dataclass(frozen=True)
class DemucsConfig:
    """The architecture. `DemucsV1Config` and `DemucsV2Config` read the official arguments."""

    sources: tuple[str, ...]
    channels: int = 2  # of the audio
    hidden: int = 64  # channels of the first encoder block
    growth: float = 2.0  # from one block's channels to the next one's
    depth: int = 6
    kernel_size: int = 8
    stride: int = 4
    context: int = 3  # width of the convolution at the head of each decoder block
    rewrite: bool = True  # the 1x1 convolutions, and those at the head of the decoder blocks
    glu: bool = True  # gated linear units after them; else ReLU
    lstm_layers: int = 2
    resample: bool = False  # run the network at twice the rate
    normalize: bool = False  # bring each mixture to mean 0 and deviation 1 and back
    rate_hz: int = 44_100
    segment_s: float = V1_SEGMENT_S

    def __post_init__(self) -> None:
        if not all(1 <= width <= WIDEST for width in self.widths):
            raise InputError(f"Demucs: channels times growth stay within 1 to {WIDEST}")
        if self.stride > self.kernel_size:
            raise InputError("Demucs: argument stride is at most kernel_size")
        if self.stride**self.depth > LONGEST_TOTAL_STRIDE:
            raise InputError(
                f"Demucs: stride to the power of depth is at most {LONGEST_TOTAL_STRIDE}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each encoder block."""
        grow = itertools.accumulate(
            range(self.depth - 1), lambda width, _: int(self.growth * width), initial=self.hidden
        )
        return tuple(grow)


def _common(arguments: Arguments) -> dict[str, Any]:
    """Arguments of both versions, with their common defaults."""
    return {
        "channels": arguments.audio_channels(),
        "hidden": arguments.integer("channels", 64, 1, WIDEST),
        "growth": arguments.number("growth", 2.0, 0.1, 8.0),
        "depth": arguments.integer("depth", 6, 1, 10),
        "kernel_size": arguments.integer("kernel_size", 8, LEAST_KERNEL, 64),
        "stride": arguments.integer("stride", 4, 1, 64),
        "context": arguments.integer("context", 3, 1, 31),
        "rewrite": arguments.flag("rewrite", default=True),
        "glu": arguments.flag("glu", default=True),
        "lstm_layers": arguments.integer("lstm_layers", 2, 0, 4),
    }


@dataclass(frozen=True)
class DemucsV1Config(DemucsConfig):
    """Version 1, as its constructor `demucs.model.Demucs` of 2019 takes it."""

    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *("sources", "audio_channels", "channels", "depth", "rewrite", "glu", "upsample"),
        *("rescale", "kernel_size", "stride", "growth", "lstm_layers", "context"),
    )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> DemucsV1Config:
        """Official keywords, defaults included.

        `sources` is 4 (drums, bass, other, vocals, the only ones that version 1 separates) or a
        list of names. `upsample`, which no released model uses, is not built.

        Raises:
            InputError: an unknown argument, or a value that is not possible.
        """
        given = Arguments("Demucs v1", arguments, cls.OFFICIAL_ORDER)
        given.only("upsample", value=False)
        sources = MUSDB_SOURCES
        if isinstance(arguments.get("sources", len(sources)), int):
            given.only("sources", len(sources))
        else:
            sources = given.sources()
        return cls(sources=sources, **_common(given))


@dataclass(frozen=True)
class DemucsV2Config(DemucsConfig):
    """Version 2, as its constructor `demucs.model.Demucs` of 2021 takes it."""

    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *("sources", "audio_channels", "channels", "depth", "rewrite", "glu", "rescale"),
        *("resample", "kernel_size", "stride", "growth", "lstm_layers", "context", "normalize"),
        *("samplerate", "segment_length"),
    )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> DemucsV2Config:
        """Official keywords, defaults included.

        Raises:
            InputError: an unknown argument, or a value that is not possible.
        """
        given = Arguments("Demucs v2", arguments, cls.OFFICIAL_ORDER)
        rate_hz = given.rate_hz()
        return cls(
            sources=given.sources(),
            resample=given.flag("resample", default=True),
            normalize=given.flag("normalize", default=False),
            rate_hz=rate_hz,
            segment_s=given.segment_s(rate_hz, V2_SEGMENT_FRAMES),
            **_common(given),
        )


def _activation(x: Tensor, *, glu: bool) -> Tensor:
    return nn.functional.glu(x, dim=1) if glu else x.relu_()


class EncoderBlock(nn.Module):
    """Strided convolution, ReLU, 1x1 convolution, GLU.

    (batch, inputs, n) -> (batch, outputs, (n - kernel_size) // stride + 1).
    """

    def __init__(self, config: DemucsConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.glu = config.glu
        self.conv = unfilled(nn.Conv1d, inputs, outputs, config.kernel_size, config.stride)
        self.rewrite: nn.Conv1d | None = None
        if config.rewrite:
            self.rewrite = unfilled(nn.Conv1d, outputs, outputs * (2 if config.glu else 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu_()
        return x if self.rewrite is None else _activation(self.rewrite(x), glu=self.glu)


class DecoderBlock(nn.Module):
    """Convolution, GLU, transposed convolution, and ReLU but for the last.

    (batch, inputs, n) -> (batch, outputs, (n - context) * stride + kernel_size).
    """

    def __init__(self, config: DemucsConfig, inputs: int, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.glu = config.glu
        self.last = last
        self.rewrite: nn.Conv1d | None = None
        if config.rewrite:
            doubled = inputs * (2 if config.glu else 1)
            self.rewrite = unfilled(nn.Conv1d, inputs, doubled, config.context)
        self.conv_tr = unfilled(
            nn.ConvTranspose1d, inputs, outputs, config.kernel_size, config.stride
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.rewrite is not None:
            x = _activation(self.rewrite(x), glu=self.glu)
        x = self.conv_tr(x)
        return x if self.last else x.relu_()


class BLSTM(nn.Module):
    """Bidirectional LSTM, and a linear layer back to its width: (batch, width, n), same shape."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.lstm = unfilled(nn.LSTM, width, width, layers, bidirectional=True)
        self.linear = unfilled(nn.Linear, 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(x.permute(2, 0, 1))
        return self.linear(x).permute(1, 2, 0)  # type: ignore[no-any-return]


def _centre(x: Tensor, frames: int) -> Tensor:
    """The middle of the last axis; an odd frame too many is taken off at the end."""
    return x.narrow(-1, (x.shape[-1] - frames) // 2, frames)


class Demucs(WaveformModel):
    """Demucs as released: (batch, channels, frames) -> (batch, stems, channels, fewer frames).

    The convolutions of the decoder blocks are not padded. What comes out is the middle of what
    goes in, shorter by the same number of frames on both sides (on the right by one more where
    that is odd): `valid_frames(n)` in give n out, or a few more.
    """

    def __init__(self, config: DemucsConfig) -> None:
        super().__init__()
        self.config = config
        self.sources = config.sources
        self.rate_hz = config.rate_hz
        self.channels = config.channels
        self.segment_s = config.segment_s
        down = (config.channels, *config.widths)
        up = (*reversed(config.widths), len(config.sources) * config.channels)
        self.encoder = nn.ModuleList(
            EncoderBlock(config, inputs, outputs) for inputs, outputs in itertools.pairwise(down)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(config, up[i], up[i + 1], last=i == config.depth - 1)
            for i in range(config.depth)
        )
        self.lstm = BLSTM(up[0], config.lstm_layers) if config.lstm_layers else nn.Identity()
        self.rates = TwiceTheRate() if config.resample else None

    @staticmethod
    def from_official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official state dict, whose blocks are numbered lists of layers, by our names."""
        rewrite = any(name.startswith("encoder.0.2.") for name in state)
        decoder = {"0": "rewrite", "2": "conv_tr"} if rewrite else {"0": "conv_tr"}
        names = {"encoder": {"0": "conv", "2": "rewrite"}, "decoder": decoder}

        def rename(match: re.Match[str]) -> str:
            part, block, layer = match.groups()
            return f"{part}.{block}.{names[part].get(layer, layer)}."

        pattern = re.compile(r"^(encoder|decoder)\.(\d+)\.(\d+)\.")
        return {pattern.sub(rename, name): tensor for name, tensor in state.items()}

    def valid_frames(self, frames: int) -> int:
        """Input length without a remainder in any convolution, for `frames` or more of output."""
        config = self.config
        length = 2 * frames if config.resample else frames
        for _ in range(config.depth):
            length = max(1, -(-(length - config.kernel_size) // config.stride) + 1)
            length += config.context - 1
        for _ in range(config.depth):
            length = (length - 1) * config.stride + config.kernel_size
        return -(-length // 2) if config.resample else length

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, fewer frames), float32.

        Raises:
            InputError: fewer frames than `valid_frames(1)`.
        """
        least = self.valid_frames(1)
        if mixture.shape[-1] < least:
            raise InputError(f"Demucs needs {least} frames or more, not {mixture.shape[-1]}")
        if not self.config.normalize:
            return self._separate(mixture)
        mono = mixture.mean(dim=1, keepdim=True)
        deviation, mean = torch.std_mean(mono, dim=-1, keepdim=True)
        stems = self._separate((mixture - mean) / (deviation + NORMALISATION_EPSILON))
        return stems.mul_(deviation[:, None]).add_(mean[:, None])

    def _separate(self, mixture: Tensor) -> Tensor:
        """`forward` without the normalisation."""
        x: Tensor = mixture if self.rates is None else self.rates.up(mixture)
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = self.lstm(x)
        for block in self.decoder:
            x = block(x + _centre(skips.pop(), x.shape[-1]))
        if self.rates is not None:
            x = self.rates.down(x)
        return x.reshape(len(x), len(self.sources), self.channels, x.shape[-1])
