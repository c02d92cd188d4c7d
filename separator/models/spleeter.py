"""Spleeter: one spectrogram U-Net for each stem, ratio masks, the mixture's phase.

Hennequin, Khlif, Voituret, Moussallam, "Spleeter: a fast and efficient music source separation
tool with pre-trained models", JOSS 5(50), 2020. The network is that of Jansson et al., "Singing
voice separation with deep U-Net convolutional networks", ISMIR 2017, section 3: six strided
5x5 convolutions down, six up, with skip connections.

The official graph is TensorFlow's, so "same" padding of a strided convolution is asymmetric (one
before, two after) and batch normalisation adds 1e-3 to the variance.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from separator.chunking import SegmentPlan
from separator.errors import InputError
from separator.models.base import SegmentModel
from separator.models.fused import convolution
from separator.stft import hann, istft_sum, stft
from separator.wiener import SpatialStatistics, wiener_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from separator.models.fused import Activation

MASK_EPSILON = 1e-10  # keeps the masks defined, and equal, in silence
BATCH_NORM_EPSILON = 1e-3  # the default of TensorFlow's layer
WINDOW_SCALE = 2.0 / 3.0  # squared Hann windows at three-quarter overlap add up to 3/2
DEPTH = 6


@dataclass(frozen=True)
class SpleeterConfig:
    """The architecture and its analysis, as the official JSON configuration states them."""

    sources: tuple[str, ...]
    rate_hz: int = 44_100
    frame_length: int = 4096
    frame_step: int = 1024
    steps: int = 512  # "T": spectrogram columns that the network sees at once
    bins: int = 1024  # "F": the lowest bins, the only ones it sees; 1024 reach to 11 kHz
    channels: int = 2
    exponent: int = 2
    mask_extension: Literal["zeros", "average"] = "zeros"
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    encoder_activation: Literal["LeakyReLU", "ReLU", "ELU"] = "LeakyReLU"
    decoder_activation: Literal["LeakyReLU", "ReLU", "ELU"] = "ReLU"
    softmax: bool = False

    def __post_init__(self) -> None:
        if self.mask_extension not in {"zeros", "average"}:
            raise InputError(f"mask_extension is 'zeros' or 'average', not {self.mask_extension!r}")
        for name in self.sources:
            if not isinstance(name, str) or not name or "." in name:
                raise InputError(f"{name!r} in instrument_list: a name is text without dots")
        if len(self.filters) != DEPTH:
            raise InputError(f"conv_n_filters has {DEPTH} numbers, not {len(self.filters)}")
        if self.steps % 2**DEPTH or self.bins % 2**DEPTH:
            raise InputError(f"T and F are multiples of {2**DEPTH}, not {self.steps}, {self.bins}")

    @classmethod
    def from_official(cls, config: Mapping[str, Any]) -> SpleeterConfig:
        """The settings of an official configuration (`configs/2stems/base_config.json`, ...)."""
        model = config.get("model", {})
        params = model.get("params", {})
        kind = model.get("type", "unet.unet")
        if kind not in {"unet.unet", "unet.softmax_unet"}:
            raise InputError(f"model type {kind!r} is not one of Spleeter's U-Nets")
        try:
            return cls(
                sources=tuple(config["instrument_list"]),
                rate_hz=int(config["sample_rate"]),
                frame_length=int(config["frame_length"]),
                frame_step=int(config["frame_step"]),
                steps=int(config["T"]),
                bins=int(config["F"]),
                channels=int(config["n_channels"]),
                exponent=int(config["separation_exponent"]),
                mask_extension=config["mask_extension"],
                filters=tuple(params.get("conv_n_filters", cls.filters)),
                encoder_activation=params.get("conv_activation", "LeakyReLU"),
                decoder_activation=params.get("deconv_activation", "ReLU"),
                softmax=kind == "unet.softmax_unet",
            )
        except KeyError as missing:
            raise InputError(f"the configuration lacks {missing}") from None


def _activation(name: str) -> nn.Module:
    """Activation in place: its input has no other use."""
    if name == "ELU":
        return nn.ELU(inplace=True)
    if name == "LeakyReLU":
        return nn.LeakyReLU(0.2, inplace=True)
    return nn.ReLU(inplace=True)


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


def _affine(norm: nn.BatchNorm2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel, (channels, 1, 1): normalisation as it is after training."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    return scale[:, None, None].to(dtype), shift[:, None, None].to(dtype)


def _framed(shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor with a border of zeros, and the place inside it for (batch, channels, T, F).

    The border is that of TensorFlow's "same" padding for a 5x5 convolution of stride 2: one row
    and column before, two after. Writing to the place inside spares a copy for padding.
    """
    batch, channels, steps, bins = shape
    whole = torch.empty(
        (batch, channels, steps + 3, bins + 3),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )
    for edge in (whole[..., :1], whole[..., -2:], whole[..., :1, :], whole[..., -2:, :]):
        edge.zero_()
    return whole, whole[..., 1:-2, 1:-2]


class StridedConv(nn.Module):
    """A 5x5 convolution of stride 2 on an input that has its border already.

    Without the random numbers of torch's own layer: all weights come from a checkpoint.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 5, 5))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, T + 3, F + 3) -> (batch, outputs, T/2, F/2)."""
        return nn.functional.conv2d(x, self.weight, self.bias, stride=2)


_MAKING = threading.Lock()


class SubpixelConv(nn.Module):
    """A 5x5 transposed convolution of stride 2 ("same" padding), computed as a plain one.

    Each of the four outputs that one input position feeds (even or odd in time, even or odd in
    frequency) sees at most 3x3 inputs, so a 3x3 convolution with four times the channels gives
    the same numbers (Shi et al., arXiv 1609.05158), faster on a CPU, most of all where a layer
    has few channels. Parameters keep the transposed convolution's shapes.
    """

    # Offset in time and in frequency of the outputs that each quarter of the channels makes.
    PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
    # Which of the five taps reaches an even (odd) output from the input before, at and after it.
    TAPS = ((3, 1, None), (4, 2, 0))

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 5, 5))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.kernel: Tensor
        self.register_buffer("kernel", torch.empty(0), persistent=False)
        # torch declares no types for this method.
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, _: module.forget()
        )

    def forget(self) -> None:
        """Discard the cached 3x3 kernel, after a change of `weight`."""
        self.kernel = self.weight.new_empty(0)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _make(self) -> Tensor:
        """The 3x3 kernel; first when it is used: in bfloat16 it takes a third of the time.

        In memory the inputs come last ("channels last"): the convolution wants them so.
        """
        inputs, outputs = self.weight.shape[:2]
        taps = self.weight.permute(2, 3, 1, 0).contiguous()
        kernel = taps.new_zeros(2, 2, outputs, 3, 3, inputs)
        for time, frequency, row, column in itertools.product((0, 1), (0, 1), range(3), range(3)):
            i, j = self.TAPS[time][row], self.TAPS[frequency][column]
            if i is not None and j is not None:
                kernel[time, frequency, :, row, column] = taps[i, j]
        return kernel.view(4 * outputs, 3, 3, inputs).permute(0, 3, 1, 2)

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """(batch, inputs, T, F) -> (batch, 4 * outputs, T, F): the four phases, see `PHASES`."""
        with _MAKING:  # of segments side by side, one makes it
            if not len(self.kernel):
                self.kernel = self._make()
        return convolution(
            x,
            self.kernel,
            self.bias.repeat(4),
            stride=(1, 1),
            padding=(1, 1),
            dilation=(1, 1),
            activation=activation,
        )


class EncoderLayer(nn.Module):
    """Halves time and frequency: strided convolution; the skip is taken before normalisation."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.conv = StridedConv(inputs, outputs)
        self.norm = _normalisation(outputs)
        self.activation = _activation(activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, T + 3, F + 3), framed, -> (batch, outputs, T/2, F/2) and its framed next.

        Every activation leaves the frame's zeros zero.
        """
        skip = self.conv(x)
        scale, shift = _affine(self.norm, skip.dtype)
        framed, inside = _framed(skip.shape, skip)
        torch.addcmul(shift, skip, scale, out=inside)
        return skip, self.activation(framed)


class Bottom(nn.Module):
    """The deepest layer: a strided convolution alone, as released."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = StridedConv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, T + 3, F + 3), framed, -> (batch, outputs, T/2, F/2)."""
        return self.conv(x)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Doubles time and frequency: transposed convolution, activation, normalisation."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.conv = SubpixelConv(inputs, outputs)
        self.activation = _activation(activation)
        self.norm = _normalisation(outputs)
        self.outputs = outputs

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(batch, inputs, T, F) -> (batch, skip's channels + outputs, 2T, 2F), the skip first.

        Activation and normalisation work channel by channel, so they need not wait for the phases
        to be interleaved: the normalisation writes each to its place behind the skip.
        """
        if isinstance(self.activation, nn.ReLU):  # as released: one pass for both
            phases = self.conv(x, "relu")
        else:
            phases = self.activation(self.conv(x))
        batch, _, steps, bins = phases.shape
        before = 0 if skip is None else skip.shape[1]
        joined = torch.empty(
            (batch, before + self.outputs, 2 * steps, 2 * bins),
            dtype=phases.dtype,
            device=phases.device,
            memory_format=torch.channels_last,
        )
        if skip is not None:
            joined[:, :before] = skip
        scale, shift = _affine(self.norm, phases.dtype)
        for (time, frequency), phase in zip(
            SubpixelConv.PHASES, phases.split(self.outputs, dim=1), strict=True
        ):
            place = joined[:, before:, time::2, frequency::2]
            torch.addcmul(shift, phase, scale, out=place)
        return joined


class UNet(nn.Module):
    """The network of one stem: magnitudes of the mixture in, a mask's logits out."""

    def __init__(self, config: SpleeterConfig) -> None:
        super().__init__()
        down = (config.channels, *config.filters)
        layers = (
            EncoderLayer(down[i], down[i + 1], config.encoder_activation) for i in range(DEPTH - 1)
        )
        self.encoder = nn.ModuleList([*layers, Bottom(down[-2], down[-1])])
        up = (*reversed(config.filters[:-1]), 1)
        skips = (0, *up[:-1])  # each decoder but the first also takes its encoder's skip
        inputs = (config.filters[-1], *up[:-1])
        self.decoder = nn.ModuleList(
            DecoderLayer(inputs[i] + skips[i], up[i], config.decoder_activation)
            for i in range(DEPTH)
        )
        self.mask = nn.Conv2d(1, config.channels, 4, dilation=2, padding=3)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """(batch, channels, T, F) -> logits of the mask, same shape."""
        x, inside = _framed(magnitudes.shape, magnitudes.to(self.mask.weight.dtype))
        inside.copy_(magnitudes)
        skips: list[Tensor] = []
        for layer in self.encoder[:-1]:
            skip, x = layer(x)
            skips.append(skip)
        x = self.encoder[-1](x)
        for layer in self.decoder:
            x = layer(x, skips.pop() if skips else None)
        # The last layers have their channels last in memory, the spectrogram has bins last.
        return self.mask(x).float().contiguous()  # type: ignore[no-any-return]


class Spleeter(SegmentModel):
    """Spleeter as released: (batch, 2, frames) -> (batch, stems, 2, frames) at 44.1 kHz.

    A segment is one "partition" of T spectrogram columns. The transform is linear, so the
    partitions' waveforms, each with the full tail of its last window, add up to the official
    result; the official program starts with one window of silence, here the plan's lead.
    """

    concurrent_segments = 2  # the second takes 110 MB
    takes_bfloat16 = True

    def __init__(self, config: SpleeterConfig, *, wiener: bool = False) -> None:
        super().__init__()
        if wiener and config.channels != 2:
            raise InputError(f"the Wiener filter is for stereo, not {config.channels} channels")
        self.config = config
        self.sources = config.sources
        self.rate_hz = config.rate_hz
        self.channels = config.channels
        self.needs_statistics = wiener
        self.plan = SegmentPlan(
            length_frames=(config.steps - 1) * config.frame_step + config.frame_length,
            hop_frames=config.steps * config.frame_step,
            lead_frames=config.frame_length,
        )
        self.unets = nn.ModuleDict({source: UNet(config) for source in config.sources})
        self.window: Tensor
        self.synthesis_window: Tensor
        window = hann(config.frame_length)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("synthesis_window", WINDOW_SCALE * window, persistent=False)

    def to_bfloat16(self) -> None:
        """The convolutions; the normalisations' scale and shift are rounded where they are used."""
        for module in self.unets.modules():
            if isinstance(module, (StridedConv, SubpixelConv, nn.Conv2d)):
                module.to(torch.bfloat16)

    def magnitudes(self, spectrum: Tensor) -> Tensor:
        """Estimated magnitudes of each stem in the networks' frequency band.

        (batch, channels, T, all bins) complex64 -> (batch, stems, channels, T, F) float32.
        """
        mixture = spectrum[..., : self.config.bins].abs()
        logits = torch.stack([self.unets[source](mixture) for source in self.sources], dim=1)
        share = logits.softmax(dim=1) if self.config.softmax else logits.sigmoid_()
        return share.mul_(mixture[:, None])

    def masks(self, magnitudes: Tensor) -> Tensor:
        """Ratio masks: (batch, stems, channels, T, bins) float32 in 0..1.

        Above the networks' band the mask is zero, and left out here, or its mean over the band
        ("average"), and there for all bins.
        """
        power = magnitudes**self.config.exponent
        total = power.sum(dim=1, keepdim=True) + MASK_EPSILON
        mask = power.add_(MASK_EPSILON / len(self.sources)).div_(total)
        extra = self.config.frame_length // 2 + 1 - self.config.bins
        if self.config.mask_extension == "average":
            above = mask.mean(dim=-1, keepdim=True).expand(*mask.shape[:-1], extra)
            return torch.cat([mask, above], dim=-1)
        return mask

    def segment(self, mixture: Tensor, statistics: SpatialStatistics | None = None) -> Tensor:
        """One partition, see `SegmentModel.segment`."""
        spectrum = stft(mixture, self.window, self.config.frame_step)
        magnitudes = self.magnitudes(spectrum)
        if statistics is not None:
            stems = wiener_filter(self._full_band(magnitudes), spectrum, statistics)
            return self._wave(stems)
        masks = self.masks(magnitudes)
        # As pairs of reals: torch would make the masks complex first.
        band = slice(masks.shape[-1])
        in_band = torch.view_as_real(spectrum[..., band])
        waves = mixture.new_empty(len(mixture), len(self.sources), *mixture.shape[1:])
        # Stem by stem, all in the same place, silent above the band: the frames of one take four
        # times the memory of its wave.
        stem = torch.zeros_like(spectrum)
        place = torch.view_as_real(stem[..., band])
        for index in range(len(self.sources)):
            torch.mul(in_band, masks[:, index, ..., None], out=place)
            waves[:, index] = self._wave(stem)
        return waves

    def _wave(self, spectrum: Tensor) -> Tensor:
        return istft_sum(spectrum, self.synthesis_window, self.config.frame_step)

    def new_statistics(self, batch: int) -> SpatialStatistics:
        """Statistics for the Wiener filter of `batch` recordings."""
        bins = self.config.frame_length // 2 + 1
        return SpatialStatistics.zeros(batch, len(self.sources), bins, self.channels)

    def observe(self, mixture: Tensor, statistics: SpatialStatistics) -> None:
        """Adds one partition to the Wiener filter's statistics."""
        spectrum = stft(mixture, self.window, self.config.frame_step)
        statistics.add(self._full_band(self.magnitudes(spectrum)), spectrum)

    def _full_band(self, magnitudes: Tensor) -> Tensor:
        return nn.functional.pad(
            magnitudes, (0, self.config.frame_length // 2 + 1 - self.config.bins)
        )
