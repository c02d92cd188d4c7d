"""Hybrid Transformer Demucs: Hybrid Demucs with a cross-domain transformer in its middle.

Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023, arXiv
2211.08553, section 2: the outer four levels of the two U-Nets are those of Hybrid Demucs; between
encoders and decoders a transformer attends within and across the branches. Released as `htdemucs`,
`htdemucs_ft` and `htdemucs_6s`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from separator.errors import InputError
from separator.models.arguments import Arguments
from separator.models.convolution import as_image, as_tokens
from separator.models.dconv import Branch, Pointwise
from separator.models.hybrid import HybridModel
from separator.models.hybrid_config import (
    COMMON_MIDDLE,
    COMMON_START,
    DEEPEST,
    NEVER,
    HybridConfig,
    common_fields,
    dconv_shape,
    levels,
    segment,
)
from separator.models.transformer import CrossTransformerEncoder, TransformerShape

if TYPE_CHECKING:
    from collections.abc import Mapping

SEGMENT_S = 10  # the official constructor's default

# Limits for arguments from files; the released models have 5 layers of 512, with 2048 inside.
WIDEST_TOKENS = 2048
WIDEST_HIDDEN = 1 << 14
MOST_LAYERS = 32


@dataclass(frozen=True)
class HTDemucsConfig(HybridConfig):
    """The architecture; see `HybridConfig` for the U-Nets.

    bottom_channels: width of the tokens, where it is not that of the U-Nets; 0 for theirs.
    transformer: its width is set by the model. None for no transformer.
    fixed_segment: shorter inputs are filled up to the segment that the model was trained on, as
    positions mean what they meant in training; longer ones are refused [use_train_segment].
    """

    depth: int = 4
    bottom_channels: int = 0
    transformer: TransformerShape | None = None
    hidden_scale: float = 4.0
    fixed_segment: bool = True

    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *COMMON_START,
        *COMMON_MIDDLE,
        *("dconv_init", "bottom_channels", "t_layers", "t_emb", "t_hidden_scale", "t_heads"),
        *("t_dropout", "t_max_positions", "t_norm_in", "t_norm_in_group", "t_group_norm"),
        *("t_norm_first", "t_norm_out", "t_max_period", "t_weight_decay", "t_lr"),
        *("t_layer_scale", "t_gelu", "t_weight_pos_embed", "t_sin_random_shift"),
        *("t_cape_mean_normalize", "t_cape_augment", "t_cape_glob_loc_scale"),
        *("t_sparse_self_attn", "t_sparse_cross_attn", "t_mask_type", "t_mask_random_seed"),
        *("t_sparse_attn_window", "t_global_window", "t_sparsity", "t_auto_sparsity"),
        *("t_cross_first", "rescale", "samplerate", "segment", "use_train_segment"),
    )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> HTDemucsConfig:
        """The official constructor's keywords, defaults included.

        What only training needs is accepted and ignored, as are the settings of what is not
        built: sparse attention, positions other than "sin", randomly shifted positions, and
        iterations of the Wiener filter on magnitudes.

        Raises:
            InputError: an unknown argument, or a value that is not possible or not built.
        """
        given = Arguments("HTDemucs", arguments, cls.OFFICIAL_ORDER)
        given.only("t_emb", "sin")
        given.only("t_sin_random_shift", 0)
        given.only("t_sparse_self_attn", value=False)
        given.only("t_sparse_cross_attn", value=False)
        return cls(
            **common_fields(given, arguments),
            depth=given.integer("depth", 4, 1, DEEPEST),
            band_depth=given.integer("multi_freqs_depth", 3, 0, DEEPEST),
            dconv=dconv_shape(given, 8),
            attention_starts=NEVER,
            lstm_starts=NEVER,
            bottom_channels=given.integer("bottom_channels", 0, 0, WIDEST_TOKENS),
            transformer=_transformer(given),
            hidden_scale=given.number("t_hidden_scale", 4, 0.01, 64),
            fixed_segment=given.flag("use_train_segment", default=True),
            segment_s=segment(given, arguments, SEGMENT_S),
        )


def _transformer(given: Arguments) -> TransformerShape | None:
    layers = given.integer("t_layers", 5, 0, MOST_LAYERS)
    norm_in = "all" if given.flag("t_norm_in_group", default=False) else None
    shape = TransformerShape(
        width=0,
        layers=layers,
        heads=given.integer("t_heads", 8, 1, WIDEST_TOKENS),
        cross_first=given.flag("t_cross_first", default=False),
        norm_in="token" if given.flag("t_norm_in", default=True) else norm_in,
        norm_groups=int(given.flag("t_group_norm", default=False)),
        norm_first=given.flag("t_norm_first", default=True),
        norm_out=given.flag("t_norm_out", default=True),
        layer_scale=given.flag("t_layer_scale", default=True),
        gelu=given.flag("t_gelu", default=True),
        longest_period=given.number("t_max_period", 10_000, 1, 1e9),
        position_weight=given.number("t_weight_pos_embed", 1, 0, 1e3),
    )
    return shape if layers else None


class HTDemucs(HybridModel):
    """HTDemucs as released: (batch, channels, frames) -> (batch, stems, channels, frames).

    segment_frames: the length that it was trained on.
    """

    # Two segments with a core each are a tenth faster than one with both, and twice as fast beside
    # another busy program; each takes about 600 MB.
    concurrent_segments = 2
    takes_bfloat16 = True

    def __init__(self, config: HTDemucsConfig) -> None:
        super().__init__(config)
        deepest = levels(config)[-1]
        if deepest.wave is None or deepest.meets:
            raise InputError(
                f"HTDemucs: depth {config.depth} leaves no frequencies for the transformer"
            )
        self.fixed_segment = config.fixed_segment
        self.segment_frames = int(config.segment_s * config.rate_hz)
        self.crosstransformer: CrossTransformerEncoder | None = None
        self.bottom_channels = config.bottom_channels
        widths = deepest.spectrum.channels, deepest.wave.channels
        if config.bottom_channels:
            self.channel_upsampler = Pointwise(widths[0], config.bottom_channels)
            self.channel_downsampler = Pointwise(config.bottom_channels, widths[0])
            self.channel_upsampler_t = Pointwise(widths[1], config.bottom_channels)
            self.channel_downsampler_t = Pointwise(config.bottom_channels, widths[1])
        elif widths[0] != widths[1]:
            raise InputError("HTDemucs: channels_time is channels where bottom_channels is 0")
        if config.transformer is not None:
            width = config.bottom_channels or widths[0]
            shape = _sized(config.transformer, width, config.hidden_scale)
            self.crosstransformer = CrossTransformerEncoder(shape)

    def to_bfloat16(self) -> None:
        """Both U-Nets but the inner part of their residual branches, and the transformer."""
        exact = {
            parameter
            for branch in self.modules()
            if isinstance(branch, Branch)
            for parameter in branch.exact_parameters()
        }
        for parameter in self.parameters():
            if parameter not in exact:
                parameter.data = parameter.data.bfloat16()

    def valid_frames(self, frames: int) -> int:
        """The segment's length, where it is fixed; else `frames`.

        Raises:
            InputError: more frames than the fixed segment has.
        """
        if not self.fixed_segment:
            return frames
        if frames > self.segment_frames:
            raise InputError(
                f"this model takes at most {self.segment_frames} frames at once, not {frames}"
            )
        return self.segment_frames

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames), float32.

        Raises:
            InputError: more frames than the fixed segment has.
        """
        frames = mixture.shape[-1]
        silence = self.valid_frames(frames) - frames
        return super().forward(nn.functional.pad(mixture, (0, silence)))[..., :frames]

    def middle(self, x: Tensor, wave: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The transformer, in its own width: (batch, channels, bins, columns) and the wave's."""
        if self.crosstransformer is None or wave is None:
            return x, wave
        if not self.bottom_channels:
            return self.crosstransformer(x, wave)  # type: ignore[no-any-return]
        bins = x.shape[2]
        x = as_image(self.channel_upsampler(as_tokens(x)), bins)
        wave = as_image(self.channel_upsampler_t(as_tokens(wave)), bins=1)
        x, wave = self.crosstransformer(x, wave)
        x = as_image(self.channel_downsampler(as_tokens(x)), bins)
        return x, as_image(self.channel_downsampler_t(as_tokens(wave)), bins=1)


def _sized(shape: TransformerShape, width: int, hidden_scale: float) -> TransformerShape:
    """The transformer for tokens of `width`."""
    hidden = int(width * hidden_scale)
    if width > WIDEST_TOKENS or not 1 <= hidden <= WIDEST_HIDDEN:
        raise InputError(
            f"HTDemucs: tokens of up to {WIDEST_TOKENS} channels, {WIDEST_HIDDEN} inside, "
            f"not {width} and {hidden}"
        )
    if width % 4 or width % shape.heads or width < 8:
        raise InputError(f"HTDemucs: t_heads and 4 are divisors of the tokens' width {width}")
    return replace(shape, width=width, hidden=hidden)
