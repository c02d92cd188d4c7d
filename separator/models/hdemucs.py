"""Hybrid Demucs: U-Nets on waveform and spectrogram that meet in the middle.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, section 3
and figure 1. When the spectrogram branch has convolved all frequencies into one, its columns are
in step with the waveform branch's; the waveform branch is added to it there, and leaves it again
in the decoder. The deeper layers, along time, are shared. Released in Demucs v3 (the bags `mdx`
and `mdx_extra`) and v4 (`hdemucs_mmi`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from separator.errors import InputError
from separator.models.arguments import Arguments
from separator.models.hybrid import HybridModel
from separator.models.hybrid_config import (
    COMMON_MIDDLE,
    COMMON_START,
    DEEPEST,
    NEVER,
    HybridConfig,
    common_fields,
    dconv_shape,
    segment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from separator.models.spectrum import Alignment

SEGMENT_S = 40  # the official constructor's default


@dataclass(frozen=True)
class HDemucsConfig(HybridConfig):
    """The architecture; see `HybridConfig`."""

    OFFICIAL_ORDER: ClassVar[tuple[str, ...]] = (
        *COMMON_START,
        *("hybrid", "hybrid_old"),
        *COMMON_MIDDLE,
        *("dconv_attn", "dconv_lstm", "dconv_init", "rescale", "samplerate", "segment"),
    )

    @classmethod
    def from_official(cls, arguments: Mapping[str, Any]) -> HDemucsConfig:
        """The official constructor's keywords, defaults included.

        What only training needs is accepted and ignored. Not built: iterations of the Wiener
        filter on magnitudes (`wiener_iters` above 0 with `cac` false).

        Raises:
            InputError: an unknown argument, or a value that is not possible or not built.
        """
        given = Arguments("Hybrid Demucs", arguments, cls.OFFICIAL_ORDER)
        return cls(
            **common_fields(given, arguments),
            depth=given.integer("depth", 6, 1, DEEPEST),
            band_depth=given.integer("multi_freqs_depth", 2, 0, DEEPEST),
            dconv=dconv_shape(given, 4),
            attention_starts=given.integer("dconv_attn", 4, 0, NEVER),
            lstm_starts=given.integer("dconv_lstm", 4, 0, NEVER),
            alignment=_alignment(given),
            segment_s=segment(given, arguments, SEGMENT_S),
        )


def _alignment(given: Arguments) -> Alignment:
    hybrid = given.flag("hybrid", default=True)
    old = given.flag("hybrid_old", default=False)
    if old and not hybrid:
        raise given.refuse("hybrid_old", "false where hybrid is false")
    if not hybrid:
        return "centred"
    return "hybrid-old" if old else "hybrid"


class HDemucs(HybridModel):
    """Hybrid Demucs as released: (batch, channels, frames) -> (batch, stems, channels, frames)."""

    def __init__(self, config: HDemucsConfig) -> None:
        super().__init__(config)
        if config.waveform_branch and not self.tdecoder[0].bare:
            raise InputError(
                f"depth {config.depth} is too small for the branches to meet: "
                f"{config.window_frames // 2} bins have to become one"
            )

    def middle(self, x: Tensor, wave: Tensor | None) -> tuple[None, None]:
        """None: the decoder starts from silence, with the skip connections only."""
        return None, None
