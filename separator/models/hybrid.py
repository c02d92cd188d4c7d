"""Common base of Hybrid Demucs and Hybrid Transformer Demucs: two parallel U-Nets.

Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021, arXiv 2111.03600, section 3:
one U-Net works along time on the waveform, one along frequency on the spectrogram, whose complex
values are pairs of channels; the outputs of both are added. The models differ in the middle.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from separator.models.base import WaveformModel
from separator.models.convolution import channels_last, several
from separator.models.dconv import rename_branches
from separator.models.fused import may_overwrite
from separator.models.hybrid_config import HybridConfig, levels
from separator.models.spectrum import Spectrogram, turned
from separator.models.unet import (
    BandDecoder,
    BandEncoder,
    DecoderLayer,
    EncoderLayer,
    deviation_and_mean,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from separator.models.hybrid_config import LevelShape

EPSILON = 1e-5  # added to the deviations that the inputs are divided by
PHASE_EPSILON = 1e-8  # added to a magnitude for the "soft" phase


class HybridModel(WaveformModel):
    """(batch, channels, frames) -> (batch, stems, channels, frames), both U-Nets' sum.

    encoder, decoder: the spectrogram branch's layers, the decoder's from the deepest;
    tencoder, tdecoder: the waveform branch's.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.config: HybridConfig = config
        self.sources = config.sources
        self.rate_hz = config.rate_hz
        self.channels = config.channels
        self.segment_s = float(config.segment_s)
        self.spectrogram = Spectrogram(config.window_frames, config.alignment)
        plan = levels(config)
        outermost = plan[0]
        self.encoder = nn.ModuleList(_spectrum_encoder(config, level) for level in plan)
        self.decoder = nn.ModuleList(
            _spectrum_decoder(config, level, last=level is outermost) for level in reversed(plan)
        )
        waves = [(level, level.wave) for level in plan if level.wave is not None]
        self.tencoder = nn.ModuleList(
            EncoderLayer(shape, level.wave_inputs, bare=level.meets) for level, shape in waves
        )
        self.tdecoder = nn.ModuleList(
            DecoderLayer(shape, level.wave_outputs, last=level is outermost, bare=level.meets)
            for level, shape in reversed(waves)
        )
        self.frequency_embedding: nn.Parameter | None = None
        if config.embedding_weight:
            bins = plan[1].bins if len(plan) > 1 else outermost.bins // outermost.spectrum.stride
            self.frequency_embedding = nn.Parameter(torch.empty(bins, outermost.spectrum.channels))

    @staticmethod
    def from_official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official state dict by our names."""
        names = {"freq_emb.embedding.weight": "frequency_embedding"}
        return rename_branches({names.get(name, name): value for name, value in state.items()})

    @abstractmethod
    def middle(self, x: Tensor, wave: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Transform the deepest layers' outputs before decoding; None is silence."""

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames), float32."""
        frames = mixture.shape[-1]
        x, statistics, phase = self._analysed(mixture)
        if not self.config.waveform_branch:
            x, _ = self._unets(x, None)
            return self._waves(x, statistics, phase, frames)
        wave, wave_statistics = _normalised(channels_last(mixture[:, :, None]))
        x, decoded = self._unets(x, wave.to(self._dtype))
        assert decoded is not None
        stems = self._waves(x, statistics, phase, frames)
        return stems.add_(wave_statistics.restored(decoded)[:, :, 0].reshape(stems.shape))

    def _analysed(self, mixture: Tensor) -> tuple[Tensor, _InputStatistics, Tensor | None]:
        """Normalised input planes, their statistics, and the phase for magnitude models."""
        spectrum = self.spectrogram.analyse(mixture)
        x, statistics = _normalised(self._planes(spectrum))
        phase = None if self.config.complex_as_channels else self._phase(spectrum)
        return x.to(self._dtype), statistics, phase

    def _unets(self, x: Tensor, wave: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Both branches, normalised: images of the spectrum and of the wave in and out."""
        skips: list[tuple[Tensor, int]] = []
        wave_skips: list[tuple[Tensor | None, int]] = []
        for index, layer in enumerate(self.encoder):
            meeting = None
            if wave is not None and index < len(self.tencoder):
                frames = wave.shape[-1]
                wave = self.tencoder[index](wave)
                meeting = wave if self.tencoder[index].bare else None
                wave_skips.append((wave if meeting is None else None, frames))
            frames = x.shape[-1]
            x = layer(x, meeting)
            if index == 0 and self.frequency_embedding is not None:
                x = self._placed(x, self.frequency_embedding)
            skips.append((x, frames))
        decoded, wave = self.middle(x, wave)
        for index, layer in enumerate(self.decoder):
            skip, frames = skips.pop()
            decoded = joined(decoded, skip)  # an argument of a call is kept until its end
            decoded, before = layer(decoded, frames)
            place = index - len(self.decoder) + len(self.tdecoder)
            if place >= 0:
                wave_skip, frames = wave_skips.pop()
                bare = self.tdecoder[place].bare  # the waveform branch begins where it had ended
                wave = joined(before if bare else wave, wave_skip)
                wave, _ = self.tdecoder[place](wave, frames)
        assert decoded is not None
        return decoded, wave

    def _placed(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, channels, bins, frames) with what tells its bins apart added; overwrites x."""
        weight = self.config.embedding_weight * self.config.embedding_scale
        tokens = x.permute(0, 2, 3, 1)
        wide, each = several(tokens, (weight * embedding).to(x.dtype)[:, None])
        added = wide.add_(each) if may_overwrite() else wide + each
        return added.view_as(tokens).permute(0, 3, 1, 2)

    @property
    def _dtype(self) -> torch.dtype:
        """Number format of the U-Nets; spectra and waves are float32."""
        return next(self.encoder.parameters()).dtype

    def _planes(self, spectrum: Tensor) -> Tensor:
        """The spectrogram as input planes (batch, planes, bins, columns), channels last."""
        batch, columns, channels, bins = spectrum.shape
        values = spectrum if self.config.complex_as_channels else spectrum.abs()
        tokens = turned(values.reshape(batch, columns * channels, bins))
        if self.config.complex_as_channels:
            tokens = torch.view_as_real(tokens)
        return tokens.reshape(batch, bins, columns, -1).permute(0, 3, 1, 2)

    def _waves(
        self, planes: Tensor, statistics: _InputStatistics, phase: Tensor | None, frames: int
    ) -> Tensor:
        """Waveforms (batch, stems, channels, frames) float32, stem by stem to save memory."""
        batch, _, bins, columns = planes.shape
        count, channels = len(self.sources), self.channels
        waves = statistics.mean.new_empty(batch, count, channels, frames)
        rows = self._rows(planes).view(batch, columns, count, channels, -1)
        for stem in range(count):
            values = statistics.restored(rows[:, :, stem])
            if phase is None:
                spectrum = torch.view_as_complex(values.view(batch, columns, channels, bins, 2))
            else:
                spectrum = values * phase
            waves[:, stem] = self.spectrogram.synthesise(spectrum.transpose(1, 2), frames)
        return waves

    def _rows(self, planes: Tensor) -> Tensor:
        """Inverse layout of `_planes`: bins last, after columns and planes, in the same precision.

        Real and imaginary planes are moved in pairs and become adjacent.
        """
        batch, _, bins, _ = planes.shape
        tokens = planes.permute(0, 2, 3, 1).reshape(batch, bins, -1)
        if not self.config.complex_as_channels:
            return turned(tokens)
        if tokens.dtype is torch.bfloat16:  # torch has no complex bfloat16
            return turned(tokens.view(torch.float32)).view(torch.bfloat16)
        pairs = torch.view_as_complex(tokens.view(batch, bins, -1, 2))
        return torch.view_as_real(turned(pairs)).flatten(2)

    def _phase(self, mixture: Tensor) -> Tensor:
        """Phase factor of the mixture: complex64 of magnitude 1, or nearly so."""
        if self.config.soft_phase:
            return mixture / (mixture.abs() + PHASE_EPSILON)
        return torch.polar(torch.ones_like(mixture.real), mixture.angle())


@dataclass(frozen=True)
class _InputStatistics:
    """Statistics of a normalised input: (batch, 1, 1, 1) each, float32."""

    mean: Tensor
    deviation: Tensor

    def restored(self, x: Tensor) -> Tensor:
        """Undo the normalisation of an output in any precision; float32. Overwrites x.

        In two steps: with broadcast scalars `torch.addcmul` takes four times as long.
        """
        y = x.to(self.mean.dtype)
        if may_overwrite():
            return y.mul_(self.deviation).add_(self.mean)
        return y * self.deviation + self.mean


def _normalised(x: Tensor) -> tuple[Tensor, _InputStatistics]:
    """Normalise each item of a batch to mean 0 and deviation 1; returns the statistics too."""
    deviation, mean = deviation_and_mean(x)
    return (x - mean).div_(deviation + EPSILON), _InputStatistics(mean, deviation)


def _spectrum_encoder(config: HybridConfig, level: LevelShape) -> nn.Module:
    if level.banded:
        return BandEncoder(level.spectrum, level.spectrum_inputs, config.band_ratios)
    return EncoderLayer(level.spectrum, level.spectrum_inputs)


def _spectrum_decoder(config: HybridConfig, level: LevelShape, *, last: bool) -> nn.Module:
    if level.banded:
        return BandDecoder(level.spectrum, level.spectrum_outputs, config.band_ratios, last=last)
    return DecoderLayer(level.spectrum, level.spectrum_outputs, last=last)
