"""Rendering of one bounce: from its path to verified files in a staging folder.

    survey ─► separate ─► chain ─► encode ─► verify ─► session files

Every stage works in blocks, so that memory does not depend on the length of the bounce.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio import dither
from bridge.audio.decode import Decoder, SurveyResult, survey
from bridge.audio.encode import PCM_BITS
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.metadata.trimming import lost_by_trimming
from bridge.audio.probe import AudioInfo, probe
from bridge.audio.targets.writers import not_carried
from bridge.dsp.decibel import db_to_linear
from bridge.dsp.meter import Levels, Meter, Statistics
from bridge.effects.conditions import JobFacts
from bridge.errors import PresetError, PromiseBroken, SilentBounce, from_separation
from bridge.publish.manifest import Manifest, StemFacts
from bridge.render.alignment import checked_tail_frames
from bridge.render.disk_estimate import peak_disk_bytes
from bridge.render.gain_staging import gains_db
from bridge.render.mixing import (
    StagedAudio,
    changed_sources,
    mix_bus,
    used_sources,
    with_silence,
)
from bridge.render.passes import ChainRunner, with_progress
from bridge.render.provenance import coding_history, plugin_versions, source_facts
from bridge.render.session_files import add_sessions
from bridge.render.staged import Staged, stage
from bridge.render.trim import Span, locate
from bridge.render.verify import (
    check_shapes,
    max_null_residual,
    null_residual_peak,
    readback_errors,
)
from bridge.render.warnings import file_warnings, source_bits, time_reference_warnings
from bridge.render.write_stems import EncodeSettings, OutputFile, write_outputs
from bridge.system.disk import check_space
from separator.errors import SeparatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.metadata.model import Metadata
    from bridge.audio.targets.registry import Target
    from bridge.presets.loader import Preset
    from bridge.presets.mixdown import Mixdown
    from bridge.render.request import RenderRequest
    from bridge.render.stopwatch import Stopwatch
    from separator.separator import Separator

    Audio = NDArray[np.float32]


def render_bounce(
    request: RenderRequest, separator: Separator, folder: Path, watch: Stopwatch
) -> Manifest:
    """Render the files of one bounce. Call it on the main thread, which some plugins need.

    Args:
        request: the bounce, the preset and the file names.
        separator: the loaded model.
        folder: empty staging folder; afterwards it holds exactly the files of the manifest.
        watch: measures the time of each stage and reports progress.

    Raises:
        BounceError: the bounce cannot be read.
        SilentBounce: the bounce is silent and the preset skips silent ones.
        PresetError: the preset does not fit the bounce or the model.
        PluginError: a plugin does not load or fails.
        ModelError: the separation failed.
        OutputError: a file cannot be written.
        PromiseBroken: a file is not as specified; nothing must be published.
    """
    from separator.parallel import single_threaded

    with watch.stage("survey") as report:
        leniency = request.preset.bounce
        info = probe(request.source, leniency)
        sources = tuple(separator.outputs)
        preset = request.preset.resolved(JobFacts(sources, info.channels, info.rate_hz))
        decoder = Decoder(request.source, info, leniency=leniency)
        found = survey(decoder, report)
        if found.is_silent and leniency.skip_silent:
            advice = "leave skip_silent out to have its stems"
            raise SilentBounce(f"skipped: silent, {found.silence}; {advice}")
        outputs, buses = tuple(preset.outputs(sources)), preset.buses(sources)
        tail = checked_tail_frames(preset, outputs, buses, sources, info)
        if reason := preset.output.refusal(info, found.frames + tail):
            raise PresetError(f"preset '{preset.name}': {reason}")
        check_space(folder, peak_disk_bytes(preset, sources, info, found.frames, tail))
    job = _Job(
        request, preset, separator, info, decoder, found, outputs, buses, tail, folder, watch
    )
    staged_audio = job.separate()
    with single_threaded():  # once for all blocks: changing the count costs 0.2 ms
        job.render(staged_audio)
        levels = job.levels(staged_audio)
        gains = job.gains_db(levels)
        stems = job.encode(staged_audio, levels, gains)
    staged_audio.remove()
    manifest = job.manifest(stems, job.verify(stems, gains))
    return add_sessions(manifest, request, folder, watch)


@dataclass(frozen=True)
class _Job:
    """State of one render: the request, the resolved preset and the surveyed bounce."""

    request: RenderRequest
    preset: Preset
    separator: Separator
    info: AudioInfo
    decoder: Decoder
    survey: SurveyResult
    outputs: Sequence[str]
    buses: Mapping[str, Mixdown]
    tail_frames: int
    folder: Path
    watch: Stopwatch

    @property
    def frames(self) -> int:
        """Length of every file that is not trimmed."""
        return self.survey.frames + self.tail_frames

    def separate(self) -> StagedAudio:
        """Stage every stem that an output uses, and the bounce where a mixdown starts from it."""
        used = used_sources(self.outputs, self.buses, self.separator.outputs)
        names = [name for name in self.separator.outputs if name in used]
        staged_audio = StagedAudio({name: self._stage_file(name, "separated") for name in names})
        if any(bus.base == "mixture" for bus in self.buses.values()):
            staged_audio.bounce = self._stage_file("bounce", "decoded")
        done = 0
        with self.watch.stage("separate") as report, _separation():
            for block in self._stems(names):
                for name in names:
                    staged_audio.separated[name].append(block[name])
                done += next(iter(block.values())).shape[1]
                report(done / self.survey.frames)
            if staged_audio.bounce is not None:
                for decoded in with_progress(self.decoder, report, self.survey.frames):
                    staged_audio.bounce.append(decoded)
        for name, stem in staged_audio.separated.items():
            stem.close()
            if stem.statistics.frames != self.survey.frames:
                raise PromiseBroken(
                    f"{name}: {stem.statistics.frames} of {self.survey.frames} frames"
                )
        if staged_audio.bounce is not None:
            for silence in with_silence((), self.info.channels, self.tail_frames):
                staged_audio.bounce.append(silence)
            staged_audio.bounce.close()
        return staged_audio

    def _stems(self, names: Sequence[str]) -> Iterator[Mapping[str, Audio]]:
        """Blocks of the stems. Digital silence skips the model, which would add noise."""
        if self.survey.is_silent:
            silence = with_silence((), self.info.channels, self.survey.frames)
            return (dict.fromkeys(names, block) for block in silence)
        # The decoder can be iterated again, as some models read the bounce twice.
        return self.separator.stream(self.decoder, self.info.rate_hz)

    def render(self, staged_audio: StagedAudio) -> None:
        """Render all stems through their chains, then the buses that have a chain."""
        info = self.info
        runner = ChainRunner(self.folder, info.rate_hz, info.channels, self.frames, self.watch)
        from_bounce = [bus for bus in self.buses.values() if bus.base == "mixture"]
        kept = {
            name for bus in from_bounce for name in changed_sources(bus, self.separator.outputs)
        }
        for name, stem in staged_audio.separated.items():
            chain = self.preset.chain_of(name)
            staged_audio.rendered[name] = runner.render_chain(name, stem, chain, keep=name in kept)
        for number, (name, bus) in enumerate(self.buses.items()):
            if bus.chain:
                summed = (block.astype(np.float32) for block in self._signal(staged_audio, name))
                first = stage(self.folder / f"bus{number}.mixed", info.channels, summed)
                staged_audio.buses[name] = runner.render_chain(
                    f"bus{number}", first, bus.chain, keep=False
                )

    def levels(self, staged_audio: StagedAudio) -> dict[str, Levels]:
        """Levels of every output relative to the range of its file."""
        bits = PCM_BITS.get(self.subtype)
        highest = 1.0 - 2.0 ** -(bits - 1) if bits else 1.0
        return {name: self._levels(staged_audio, name, highest) for name in self.outputs}

    def gains_db(self, levels: Mapping[str, Levels]) -> dict[str, float]:
        """Gain of every output in dB from headroom and normalisation."""
        # Lossy files are decoded to fixed-point on playback.
        preset, can_clip = self.preset, self.subtype in PCM_BITS or self.target.lossy
        return gains_db(levels, preset.headroom, preset.normalise, can_clip=can_clip)

    def _levels(self, staged_audio: StagedAudio, name: str, highest: float) -> Levels:
        """Levels of an output before its gain; only the peak where nothing is normalised."""
        staged = staged_audio.buses.get(name) if name in self.buses else staged_audio.rendered[name]
        if self.preset.normalise is None and staged is not None:
            return Levels(relative_peak=staged.statistics.relative_peak(highest))
        info = self.info
        meter = Meter(info.rate_hz, info.channels, mask=info.channel_mask, highest=highest)
        measure, done = Statistics(info.channels), 0
        with self.watch.stage("chain") as report:
            for exact in self._signal(staged_audio, name):
                (measure if self.preset.normalise is None else meter).add(exact.astype(np.float32))
                done += exact.shape[1]
                report(done / self.frames)
        if self.preset.normalise is None:
            return Levels(relative_peak=measure.relative_peak(highest))
        return meter.levels

    def _signal(self, staged_audio: StagedAudio, name: str) -> Iterator[NDArray[np.float64]]:
        """Audio of an output before gain and limiter."""
        staged = staged_audio.buses.get(name) if name in self.buses else staged_audio.rendered[name]
        if staged is None:
            return mix_bus(self.buses[name], staged_audio, self.separator.outputs)
        return (block.astype(np.float64) for block in staged)

    def encode(
        self, staged_audio: StagedAudio, levels: Mapping[str, Levels], gains: Mapping[str, float]
    ) -> tuple[StemFacts, ...]:
        """Write all outputs; outputs of one group together.

        Args:
            staged_audio: the audio of the outputs.
            levels: levels of the outputs before their gain.
            gains: gains of the outputs in dB.
        """
        settings = self._settings
        done = 0
        facts: list[StemFacts] = []
        with self.watch.stage("encode") as report:

            def on_frames(frames: int) -> None:
                nonlocal done
                done += frames
                report(done / (self.frames * len(groups)))

            groups = self._groups()
            for group in groups:
                outputs = [
                    self._output(staged_audio, name, gains[name], levels[name].relative_peak)
                    for name in group
                ]
                made = write_outputs(outputs, settings, self._dither(group, levels), on_frames)
                facts += [replace(stem, mixdown=stem.name in self.buses) for stem in made]
        return tuple(facts)

    def _groups(self) -> list[list[str]]:
        """Groups of outputs to quantise together: the stems, where they sum to the bounce."""
        stems = [name for name in self.outputs if name not in self.buses]
        if self.preset.trim is not None or not self.preset.has_one_gain:
            return [[name] for name in self.outputs]
        return [*([stems] if stems else []), *([name] for name in self.buses)]

    def _output(
        self, staged_audio: StagedAudio, name: str, gain_db: float, peak: float
    ) -> OutputFile:
        span = Span(0, self.frames)
        if self.preset.trim is not None:
            gain = db_to_linear(gain_db)
            audio = (
                (gain * block).astype(np.float32) for block in self._signal(staged_audio, name)
            )
            span = locate(audio, self.preset.trim, self.info.rate_hz)
        path = self.folder / self.request.file_names[name]
        return OutputFile(name, path, lambda: self._signal(staged_audio, name), gain_db, peak, span)

    def _dither(self, names: Sequence[str], levels: Mapping[str, Levels]) -> dither.DitherKind:
        preset = self.preset
        processed = preset.limiter is not None or not preset.has_one_gain
        processed = processed or preset.normalise is not None
        return dither.choose(
            preset.output.dither,
            source_bits=source_bits(self.info),
            target_bits=PCM_BITS.get(self.subtype),
            processed=processed or any(n in self.buses or preset.chain_of(n) for n in names),
            silent=not any(levels[name].relative_peak for name in names),
        )

    def verify(self, stems: tuple[StemFacts, ...], gains: Mapping[str, float]) -> float | None:
        """Read the files back with another library and run the null test.

        Returns the peak in dBFS of (sum of stems) - gain x bounce, None where the stems do not sum
        to the bounce. Raises PromiseBroken for a wrong length, and for a linear preset that does
        not null.
        """
        preset = self.preset
        with self.watch.stage("verify") as report, readback_errors():
            check_shapes(self.folder, stems, self.target)
            if self.target.lossy:
                return None
            if not preset.is_sum or not preset.has_one_gain or preset.trim is not None:
                return None
            summed = [stem for stem in stems if stem.name in self.separator.outputs]
            paths = [self.folder / stem.path for stem in summed]
            bounce = with_progress(self.decoder, report, self.survey.frames)
            residual = null_residual_peak(paths, bounce, db_to_linear(gains[summed[0].name]))
        clipped = any(stem.clipped_values for stem in stems)
        bound = max_null_residual(self.subtype, summed[0].dither, self.survey.peak)
        if preset.is_linear and not clipped and residual > bound:
            raise PromiseBroken(
                "the stems do not null against the bounce: "
                f"{20 * math.log10(residual):.1f} dBFS left"
            )
        return 20 * math.log10(residual) if residual else -math.inf

    def manifest(self, stems: tuple[StemFacts, ...], null_dbfs: float | None) -> Manifest:
        """The manifest of this job."""
        request, info = self.request, self.info
        gains = {stem.gain_db for stem in stems}
        return Manifest(
            source=source_facts(request, info, self.survey, self._carried),
            stems=stems,
            gain_db=gains.pop() if len(gains) == 1 else None,
            null_residual_dbfs=null_dbfs if null_dbfs is None else round(null_dbfs, 2),
            model={
                "name": self.separator.name,
                "version": request.model_version,
                "device": str(self.separator.device),
                "precision": self.separator.precision,
            },
            preset={"name": request.preset.name, "hash": request.preset.content_hash},
            warnings=(
                *self.survey.all_warnings(),
                *self.separator.notes,
                *time_reference_warnings(self._carried.time_reference, info.rate_hz),
                *file_warnings(self.preset, info, stems, self.tail_frames),
            ),
            not_carried=self._not_carried,
            seconds=dict(self.watch.seconds),
            aligned=self.preset.trim is None,
            tail_frames=self.tail_frames,
            plugins=plugin_versions(self.preset.plugin_files),
        )

    @property
    def subtype(self) -> str:
        """Sample format of the files, as soundfile names it."""
        return self.preset.output.depth(self.info)[0]

    @property
    def target(self) -> Target:
        """The format of the files."""
        return self.preset.output.target(self.info.container)

    @property
    def _settings(self) -> EncodeSettings:
        return EncodeSettings(
            info=self.info,
            frames=self.frames,
            output=self.preset.output,
            subtype=self.subtype,
            metadata=self._carried,
            limiter=self.preset.limiter,
            seed=self.request.sha256,
        )

    @cached_property
    def _carried(self) -> Metadata:
        line = coding_history(self.target, self.info, self.subtype, self.separator.name)
        return stem_metadata(self.request.source, line)

    @property
    def _not_carried(self) -> tuple[str, ...]:
        lost = lost_by_trimming(self._carried) if self.preset.trim is not None else ()
        lost += not_carried(self.target, self._carried, self.info, self.subtype)
        return (*self._carried.not_carried, *lost)

    def _stage_file(self, name: str, kind: str) -> Staged:
        return Staged(self.folder / f"{name}.{kind}", self.info.channels)


@contextmanager
def _separation() -> Iterator[None]:
    try:
        yield
    except SeparatorError as error:
        raise from_separation(error) from error
