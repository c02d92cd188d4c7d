"""Configuration of the hybrid models: official arguments to the shape of every layer.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, figure 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from separator.errors import InputError
from separator.models.dconv import HEADS, PLAIN, DConvShape
from separator.models.unet import LayerShape, band_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from separator.models.arguments import Arguments
    from separator.models.spectrum import Alignment

# Limits for arguments from files. The largest published models have 2048 channels, 6 levels.
WIDEST = 4096
DEEPEST = 10
NEVER = 1000  # "from layer 1000 on"
SHORTEST_SEGMENT_S, LONGEST_SEGMENT_S = 0.1, 600

# The part of both official constructors that reads alike; what only training needs is in it too.
COMMON_START = (
    *("sources", "audio_channels", "channels", "channels_time", "growth", "nfft"),
    *("wiener_iters", "end_iters", "wiener_residual", "cac", "depth", "rewrite"),
)
COMMON_MIDDLE = (
    *("multi_freqs", "multi_freqs_depth", "freq_emb", "emb_scale", "emb_smooth"),
    *("kernel_size", "time_stride", "stride", "context", "context_enc"),
    *("norm_starts", "norm_groups", "dconv_mode", "dconv_depth", "dconv_comp"),
)


@dataclass(frozen=True)
class HybridConfig:
    """The U-Nets' sizes; in brackets the official argument where it has another name.

    hidden: channels of the first layer [channels]; hidden_time: of the waveform branch's, if
    they differ [channels_time].
    complex_as_channels: the network makes spectra [cac]; else magnitudes, which take the mixture's
    phase: z / |z| [wiener_iters 0] or, with soft_phase, z / (1e-8 + |z|) [wiener_iters -1].
    band_ratios, band_depth: where frequency bands with own weights end, and in how many of the
    outer layers they are [multi_freqs, multi_freqs_depth].
    embedding_weight, embedding_scale: of the frequency embedding [freq_emb, emb_scale].
    kernel_size: of the strided convolutions; their stride is half of it.
    time_stride: of the layers after the branches have met.
    norm_starts: the first layer with group normalisation.
    dconv_mode: residual branches in the encoder (1), in the decoder (2), in both (3).
    dconv: those branches; attention_starts, lstm_starts: the first layer where they have that.
    alignment: of the spectrogram; "centred" is a model without a waveform branch.
    """

    sources: tuple[str, ...]
    channels: int = 2
    hidden: int = 48
    hidden_time: int | None = None
    growth: float = 2.0
    window_frames: int = 4096
    complex_as_channels: bool = True
    soft_phase: bool = False
    depth: int = 6
    rewrite: bool = True
    band_ratios: tuple[float, ...] = ()
    band_depth: int = 2
    embedding_weight: float = 0.2
    embedding_scale: float = 10.0
    kernel_size: int = 8
    time_stride: int = 2
    context: int = 1
    context_encoder: int = 0
    norm_starts: int = 4
    norm_groups: int = 4
    dconv_mode: int = 1
    dconv: DConvShape = PLAIN
    attention_starts: int = 4
    lstm_starts: int = 4
    alignment: Alignment = "hybrid"
    rate_hz: int = 44_100
    segment_s: float | Fraction = 40

    @property
    def waveform_branch(self) -> bool:
        """Whether the model has a waveform branch."""
        return self.alignment != "centred"


def common_fields(given: Arguments, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `HybridConfig` that both constructors name alike and give the same default.

    Ignored, as they matter in training only: end_iters, wiener_residual (no effect without
    iterations), emb_smooth.

    Raises:
        InputError: a value that is not possible, or not built.
    """
    iterations = given.integer("wiener_iters", 0, -1, NEVER)
    complex_as_channels = given.flag("cac", default=True)
    if iterations > 0 and not complex_as_channels:
        raise given.refuse("wiener_iters", "0 or -1 (no iterations are built)")
    kernel_size = given.integer("kernel_size", 8, 4, 64)
    if kernel_size % 4:
        raise given.refuse("kernel_size", "a multiple of 4")
    if given.integer("stride", 4, 1, 32) * 2 != kernel_size:
        raise given.refuse("stride", f"half of kernel_size ({kernel_size})")
    time_stride = given.integer("time_stride", 2, 2, 32)
    if time_stride % 2:
        raise given.refuse("time_stride", "an even number")
    separate = arguments.get("channels_time") is not None
    return {
        "sources": given.sources(),
        "channels": given.audio_channels(),
        "hidden": given.integer("channels", 48, 1, WIDEST),
        "hidden_time": given.integer("channels_time", 48, 1, WIDEST) if separate else None,
        "growth": given.number("growth", 2, 0.1, 8),
        "window_frames": _power_of_two(given, "nfft", 4096, 64, 1 << 16),
        "complex_as_channels": complex_as_channels,
        "soft_phase": iterations < 0,
        "rewrite": given.flag("rewrite", default=True),
        "band_ratios": _ratios(given, arguments),
        "embedding_weight": given.number("freq_emb", 0.2, 0, 1e3),
        "embedding_scale": given.number("emb_scale", 10, 0, 1e6),
        "kernel_size": kernel_size,
        "time_stride": time_stride,
        "context": given.integer("context", 1, 0, 8),
        "context_encoder": given.integer("context_enc", 0, 0, 8),
        "norm_starts": given.integer("norm_starts", 4, 0, NEVER),
        "norm_groups": given.integer("norm_groups", 4, 1, WIDEST),
        "dconv_mode": given.integer("dconv_mode", 1, 0, 3),
        "rate_hz": given.rate_hz(),
    }


def dconv_shape(given: Arguments, default_compress: float) -> DConvShape:
    """The residual branches; a negative depth is one without dilation."""
    depth = given.integer("dconv_depth", 2, -8, 8)
    return DConvShape(
        depth=abs(depth),
        dilated=depth > 0,
        compress=given.number("dconv_comp", default_compress, 0.25, WIDEST),
    )


def segment(given: Arguments, arguments: Mapping[str, Any], default_s: int) -> float | Fraction:
    """`segment`, in seconds: a number, a fraction, or a fraction in words such as "39/5"."""
    value = arguments.get("segment", default_s)
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})/([1-9]\d{0,8})", value)):
        value = Fraction(int(found[1]), int(found[2]))
    if (
        type(value) not in {int, float, Fraction}
        or not SHORTEST_SEGMENT_S <= value <= LONGEST_SEGMENT_S
    ):
        raise given.refuse("segment", f"from {SHORTEST_SEGMENT_S} to {LONGEST_SEGMENT_S} seconds")
    return value  # type: ignore[no-any-return]


def _power_of_two(given: Arguments, name: str, default: int, low: int, high: int) -> int:
    value = given.integer(name, default, low, high)
    if value & (value - 1):
        raise given.refuse(name, f"a power of two from {low} to {high}")
    return value


def _ratios(given: Arguments, arguments: Mapping[str, Any]) -> tuple[float, ...]:
    value = arguments.get("multi_freqs") or ()
    if (
        not isinstance(value, (list, tuple))
        or len(value) > 8
        or not all(isinstance(ratio, float) and 0 < ratio < 1 for ratio in value)
        or list(value) != sorted(set(value))
    ):
        raise given.refuse("multi_freqs", "a list of up to 8 rising numbers between 0 and 1")
    return tuple(value)


@dataclass(frozen=True)
class LevelShape:
    """One level of both U-Nets: inputs of the encoder layers, outputs of the decoder layers.

    bins: of the spectrogram branch's input. wave: None where there is no waveform branch (any
    more). meets: the waveform branch ends here, in the spectrogram's. banded: with `BandEncoder`.
    """

    bins: int
    spectrum: LayerShape
    spectrum_inputs: int
    spectrum_outputs: int
    wave: LayerShape | None
    wave_inputs: int
    wave_outputs: int
    meets: bool
    banded: bool


def levels(config: HybridConfig) -> list[LevelShape]:
    """The shapes of all layers, from the outermost.

    Raises:
        InputError: sizes that do not fit each other.
    """
    planes = 2 if config.complex_as_channels else 1
    inputs, wave_inputs = planes * config.channels, config.channels
    outputs, wave_outputs = (width * len(config.sources) for width in (inputs, wave_inputs))
    hidden, wave_hidden = config.hidden, config.hidden_time or config.hidden
    bins = config.window_frames // 2
    found: list[LevelShape] = []
    for index in range(config.depth):
        meets = 1 < bins <= config.kernel_size
        if meets:
            hidden = wave_hidden = max(hidden, wave_hidden)
        spectrum = _spectrum_layer(config, index, bins, hidden)
        waves = config.waveform_branch and bins > 1
        level = LevelShape(
            bins=bins,
            spectrum=spectrum,
            spectrum_inputs=inputs,
            spectrum_outputs=outputs,
            wave=_layer(config, index, wave_hidden) if waves else None,
            wave_inputs=wave_inputs,
            wave_outputs=wave_outputs,
            meets=meets,
            banded=bool(config.band_ratios) and index < config.band_depth,
        )
        _check(config, level)
        found.append(level)
        inputs = outputs = hidden
        wave_inputs = wave_outputs = wave_hidden
        hidden, wave_hidden = int(config.growth * hidden), int(config.growth * wave_hidden)
        bins = 1 if bins <= config.kernel_size else bins // spectrum.stride
    if config.waveform_branch and any(level.meets for level in found):
        _check_meeting(config, found)
    return found


def _layer(config: HybridConfig, index: int, channels: int) -> LayerShape:
    """A layer along time."""
    dconv = replace(
        config.dconv,
        attention=index >= config.attention_starts,
        lstm=index >= config.lstm_starts,
    )
    return LayerShape(
        channels=channels,
        kernel=config.kernel_size,
        stride=config.kernel_size // 2,
        padding=config.kernel_size // 4,
        along_frequency=False,
        groups=config.norm_groups if index >= config.norm_starts else 0,
        rewrite=config.rewrite,
        context_encoder=config.context_encoder,
        context_decoder=config.context,
        dconv_encoder=dconv if config.dconv_mode & 1 else None,
        dconv_decoder=dconv if config.dconv_mode & 2 else None,
    )


def _spectrum_layer(config: HybridConfig, index: int, bins: int, channels: int) -> LayerShape:
    """A layer along frequency while bins are left, then along time with its own stride."""
    layer = _layer(config, index, channels)
    if bins == 1:
        stride = config.time_stride
        return replace(layer, kernel=2 * stride, stride=stride, padding=stride // 2)
    if bins <= config.kernel_size:  # all that is left, at once
        return replace(layer, kernel=bins, padding=0, along_frequency=True)
    return replace(layer, along_frequency=True)


def _check(config: HybridConfig, level: LevelShape) -> None:
    """One level by itself."""
    check_layer(level.spectrum, level.spectrum_outputs)
    if level.wave is not None:
        check_layer(level.wave, level.wave_outputs)
    if level.bins > 1 and not level.meets and level.bins % level.spectrum.stride:
        raise InputError(f"half of nfft is a multiple of stride on every level, not {level.bins}")
    if level.banded:
        outer = level.bins > config.kernel_size and not level.spectrum.groups
        rows = band_rows(level.spectrum, config.band_ratios, level.bins) if outer else []
        if not outer or any(first >= last for first, last in rows):
            raise InputError("multi_freqs: a band has no bins on some level: use fewer or wider")


def check_layer(shape: LayerShape, outputs: int) -> None:
    """Whether a layer can be built. outputs: of its decoder layer, if that has a normalisation.

    Raises:
        InputError: too wide a layer, or groups and heads that do not divide it.
    """
    if not 1 <= shape.channels <= WIDEST:
        raise InputError(f"channels times growth stay within 1 to {WIDEST}")
    if shape.groups and (shape.channels % shape.groups or outputs % shape.groups):
        raise InputError(
            f"norm_groups is a divisor of all channels, {shape.channels} and {outputs}, "
            f"not {shape.groups}"
        )
    for dconv in (shape.dconv_encoder, shape.dconv_decoder):
        hidden = dconv.hidden(shape.channels) if dconv else HEADS
        if not 1 <= hidden <= WIDEST or (dconv and dconv.attention and hidden % HEADS):
            raise InputError(
                f"dconv_comp leaves at least 1 channel, a multiple of {HEADS} for attention, "
                f"not {hidden} of {shape.channels}"
            )


def _check_meeting(config: HybridConfig, found: list[LevelShape]) -> None:
    count = sum(level.wave is not None for level in found)
    hop = (config.kernel_size // 2) ** count
    if hop != config.window_frames // 4:
        raise InputError(
            f"nfft is 4 times stride to the power of the {count} levels along frequency "
            f"({4 * hop}), not {config.window_frames}"
        )
