"""Demucs v3 along time only: the waveform U-Net with compressed residual branches.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, sections 2
and 3.2: Demucs (arXiv 1911.13254) with GELU, group normalisation in the deeper layers, and LSTM
and local attention in the residual branches in place of the LSTM in the middle. Members of the
bag `mdx` are of this kind.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from separator.errors import InputError
from separator.models.arguments import Arguments
from separator.models.base import WaveformModel
from separator.models.convolution import as_image, as_tokens, channels_last
from separator.models.dconv import BLSTM, PLAIN, DConvShape, rename_branches
from separator.models.hybrid_config import DEEPEST, NEVER, WIDEST, check_layer, dconv_shape, segment
from separator.models.sinc import TwiceTheRate
from separator.models.unet import (
    DecoderLayer,
    EncoderLayer,
    LayerShape,
    deviation_and_mean,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

EPSILON = 1e-5  # added to the deviation that the input is divided by
SEGMENT_S = 40  # the official constructor's default
LONGEST_TOTAL_STRIDE = 1 << 16


@dataclass(frozen=True)
class DemucsV3Config:
    """The architecture; in brackets the official argument where it has another name.

    hidden: channels of the first layer [channels].
    context: how far the decoder's convolutions reach on each side.
    lstm_layers: of an LSTM in the middle; 0 for none.
    norm_starts: the first layer with group normalisation.
    dconv_mode: residual branches in the encoder (1), in the decoder (2), in both (3).
    dconv: those branches; attention_starts, lstm_starts: the first layer where they have that.
    resample: run the network at twice the rate.
    """

    sources: tuple[str, ...]
    channels: int = 2
    hidden: int = 64
    growth: float = 2.0
    depth: int = 6
    rewrite: bool = True
    lstm_layers: int = 0
    kernel_size: int = 8
    stride: int = 4
    context: int = 1
    gelu: bool = True
    glu: bool = True
    norm_starts: int = 4
    norm_groups: int = 4
    dconv_mode: int = 1
    dconv: DConvShape = PLAIN
    attention_starts: int = 4
    lstm_starts: int = 4
    normalize: bool = True
    resample: bool = True
    rate_hz: int = 44_100
    segment_s: float | Fraction = SEGMENT_S

    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *("sources", "audio_channels", "channels", "growth", "depth", "rewrite", "lstm_layers"),
        *("kernel_size", "stride", "context", "gelu", "glu", "norm_starts", "norm_groups"),
        *("dconv_mode", "dconv_depth", "dconv_comp", "dconv_attn", "dconv_lstm", "dconv_init"),
        *("normalize", "resample", "rescale", "samplerate", "segment"),
    )

    def __post_init__(self) -> None:
        if self.stride > self.kernel_size:
            raise InputError("Demucs v3: argument stride is at most kernel_size")
        if self.stride**self.depth > LONGEST_TOTAL_STRIDE:
            raise InputError(
                f"Demucs v3: stride to the power of depth is at most {LONGEST_TOTAL_STRIDE}"
            )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> DemucsV3Config:
        """The official constructor's keywords, defaults included.

        Raises:
            InputError: an unknown argument, or a value that is not possible.
        """
        given = Arguments("Demucs v3", arguments, cls.OFFICIAL_ORDER)
        return cls(
            sources=given.sources(),
            channels=given.audio_channels(),
            hidden=given.integer("channels", 64, 1, WIDEST),
            growth=given.number("growth", 2, 0.1, 8),
            depth=given.integer("depth", 6, 1, DEEPEST),
            rewrite=given.flag("rewrite", default=True),
            lstm_layers=given.integer("lstm_layers", 0, 0, 4),
            kernel_size=given.integer("kernel_size", 8, 2, 64),
            stride=given.integer("stride", 4, 1, 64),
            context=given.integer("context", 1, 0, 8),
            gelu=given.flag("gelu", default=True),
            glu=given.flag("glu", default=True),
            norm_starts=given.integer("norm_starts", 4, 0, NEVER),
            norm_groups=given.integer("norm_groups", 4, 1, WIDEST),
            dconv_mode=given.integer("dconv_mode", 1, 0, 3),
            dconv=dconv_shape(given, 4),
            attention_starts=given.integer("dconv_attn", 4, 0, NEVER),
            lstm_starts=given.integer("dconv_lstm", 4, 0, NEVER),
            normalize=given.flag("normalize", default=True),
            resample=given.flag("resample", default=True),
            rate_hz=given.rate_hz(),
            segment_s=segment(given, arguments, SEGMENT_S),
        )

    def layers(self) -> list[LayerShape]:
        """The shapes of the layers, from the outermost.

        Raises:
            InputError: sizes that do not fit each other.
        """
        shapes: list[LayerShape] = []
        width, outputs = self.hidden, self.channels * len(self.sources)
        for index in range(self.depth):
            dconv = replace(
                self.dconv,
                attention=index >= self.attention_starts,
                lstm=index >= self.lstm_starts,
            )
            shape = LayerShape(
                channels=width,
                kernel=self.kernel_size,
                stride=self.stride,
                padding=0,
                along_frequency=False,
                groups=self.norm_groups if index >= self.norm_starts else 0,
                rewrite=self.rewrite,
                context_decoder=self.context,
                dconv_encoder=dconv if self.dconv_mode & 1 else None,
                dconv_decoder=dconv if self.dconv_mode & 2 else None,
                gelu=self.gelu,
                gated=self.glu,
            )
            check_layer(shape, outputs if index else 0)  # the very last has no normalisation
            shapes.append(shape)
            outputs = width
            width = int(self.growth * width)
        return shapes


class DemucsV3(WaveformModel):
    """Demucs v3 as released: (batch, channels, frames) -> (batch, stems, channels, frames)."""

    def __init__(self, config: DemucsV3Config) -> None:
        super().__init__()
        self.config = config
        self.sources = config.sources
        self.rate_hz = config.rate_hz
        self.channels = config.channels
        self.segment_s = float(config.segment_s)
        shapes = config.layers()
        inputs = [config.channels, *(shape.channels for shape in shapes)]
        outputs = [config.channels * len(config.sources), *inputs[1:]]
        self.encoder = nn.ModuleList(map(EncoderLayer, shapes, inputs))
        self.decoder = nn.ModuleList(
            DecoderLayer(shapes[i], outputs[i], last=i == 0, normed=i > 0)
            for i in reversed(range(config.depth))
        )
        self.lstm = (
            BLSTM(inputs[-1], config.lstm_layers, spans=False) if config.lstm_layers else None
        )
        self.rates = TwiceTheRate() if config.resample else None

    @staticmethod
    def from_official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official state dict, whose layers are numbered lists of parts, by our names."""
        parts: dict[str, dict[int, str]] = defaultdict(dict)
        for name, tensor in state.items():
            if found := _PART.match(name):
                kind = "norm" if tensor.ndim == 1 else "conv"
                kinds = parts[f"{found[1]}.{found[2]}"]
                if found[4].startswith("layers."):
                    kinds[int(found[3])] = "dconv"
                elif found[4] == "weight":
                    kinds[int(found[3])] = kind
        names = {layer: _part_names(layer, kinds) for layer, kinds in parts.items()}

        def rename(name: str) -> str:
            found = _PART.match(name)
            if found is None:
                return name
            layer = f"{found[1]}.{found[2]}"
            return f"{layer}.{names[layer].get(int(found[3]), found[3])}.{found[4]}"

        return rename_branches({rename(name): tensor for name, tensor in state.items()})

    def valid_frames(self, frames: int) -> int:
        """Length, at least `frames`, without a remainder in any convolution."""
        config = self.config
        length = 2 * frames if config.resample else frames
        for _ in range(config.depth):
            length = max(1, -(-(length - config.kernel_size) // config.stride) + 1)
        for _ in range(config.depth):
            length = (length - 1) * config.stride + config.kernel_size
        return -(-length // 2) if config.resample else length

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames), float32, any length."""
        frames = mixture.shape[-1]
        x = mixture
        if self.config.normalize:
            deviation, mean = deviation_and_mean(mixture.mean(dim=1, keepdim=True))
            x = (x - mean) / (deviation + EPSILON)
        lack = self.valid_frames(frames) - frames
        x = self._network(nn.functional.pad(x, (lack // 2, lack - lack // 2))).float()
        if self.config.normalize:
            x = x * deviation + mean
        # The network gives back at least `frames`; the middle of it is theirs.
        x = x.narrow(-1, (x.shape[-1] - frames) // 2, frames)
        return x.reshape(len(x), len(self.sources), self.channels, frames)

    def _network(self, wave: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems * channels, as many frames or one fewer)."""
        x: Tensor = wave if self.rates is None else self.rates.up(wave)
        x = channels_last(x[:, :, None])
        skips: list[Tensor] = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        if self.lstm is not None:
            x = as_image(self.lstm(as_tokens(x)), bins=1)
        for layer in self.decoder:
            x, _ = layer(joined(x, skips.pop()))
        x = x[:, :, 0]
        return x if self.rates is None else self.rates.down(x)


# A part of a layer in the official state dict: its place there and what follows.
_PART = re.compile(r"^(encoder|decoder)\.(\d+)\.(\d+)\.(.+)$")


def _part_names(layer: str, kinds: Mapping[int, str]) -> dict[int, str]:
    """The names of a layer's numbered parts, from which of them are convolutions.

    An encoder layer is conv, norm1, dconv, rewrite, norm2, a decoder layer rewrite, norm1, dconv,
    conv_tr, norm2; all but conv and conv_tr may be missing.
    """
    convolutions = [place for place, kind in sorted(kinds.items()) if kind == "conv"]
    if layer.startswith("encoder"):
        own, others, second = convolutions[:1], convolutions[1:], convolutions[1:2]
        names = {**dict.fromkeys(own, "conv"), **dict.fromkeys(others, "rewrite")}
    else:
        own, others, second = convolutions[-1:], convolutions[:-1], convolutions[-1:]
        names = {**dict.fromkeys(own, "conv_tr"), **dict.fromkeys(others, "rewrite")}
    for place, kind in kinds.items():
        if kind == "dconv":
            names[place] = "dconv"
        elif kind == "norm":
            names[place] = "norm2" if second and place > second[0] else "norm1"
    return names
