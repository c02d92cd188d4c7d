"""One bounce through separation, chain and encoding, from its path to files in a staging folder.

    survey ─► separate ─► chain ─► encode ─► verify

Every stage reads blocks and writes blocks: memory does not depend on the length of the bounce.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bridge import __version__
from bridge.audio.carry import Carried, carried
from bridge.audio.decode import Decoder, Survey, survey
from bridge.audio.encode import PCM_BITS, StemWriter, output_subtype
from bridge.audio.probe import AudioInfo, probe
from bridge.audio.quantise import quantise_set
from bridge.chain.effects import check_rate, parts
from bridge.chain.levels import common_gain_db, db_to_linear
from bridge.chain.render import Measure, render
from bridge.errors import PromiseBroken, from_separation
from bridge.report import Manifest, SourceFacts, StemFacts, level_dbfs
from bridge.staged import Staged, stage
from separator.errors import SeparatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.chain.preset import Preset
    from separator.separator import Separator

    Audio = NDArray[np.float32]

# Of float files, relative to full scale or the bounce's own peak: -120 dB, some ten roundings.
FLOAT_NULL = 1e-6


@dataclass(frozen=True)
class Order:
    """What to make of one bounce.

    sha256: of the source, for the manifest. file_name: from an output's name to its file's name.
    """

    source: Path
    sha256: str
    preset: Preset
    separator: Separator
    model_version: str
    file_name: Callable[[str], str]


@dataclass
class Stopwatch:
    """Seconds per stage, and the ear of whoever shows progress (stage, 0..1)."""

    listener: Callable[[str, float], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """Times a stage; gives the function to report its share done."""
        self.listener(name, 0.0)
        begun = time.perf_counter()
        yield lambda share: self.listener(name, min(share, 1.0))
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def process(order: Order, folder: Path, watch: Stopwatch) -> Manifest:
    """Makes the files of one bounce.

    Args:
        order: see `Order`.
        folder: empty; afterwards it holds exactly the files that the manifest names.
        watch: takes the time of each stage.

    Raises:
        BounceError: the bounce cannot be used. PresetError: the preset does not fit it.
        OutputError: the disk refuses. ModelError: the separation failed.
        PromiseBroken: a file is not what was promised; nothing must be published.
    """
    with watch.stage("survey") as report:
        info = probe(order.source)
        decoder = Decoder(order.source, info)
        found = survey(decoder, report)
        outputs = order.preset.outputs(order.separator.outputs)
        check_rate(order.preset.chain, info.rate_hz)
    job = _Job(order, info, decoder, found, outputs, folder, watch)
    sources = job.separate()
    sources = {name: job.effects(name, staged) for name, staged in sources.items()}
    gain_db = job.gain_db(sources)
    stems = job.encode(sources, gain_db)
    for staged in sources.values():
        staged.remove()
    return job.manifest(stems, gain_db, job.verify(stems, gain_db))


@dataclass(frozen=True)
class _Job:
    order: Order
    info: AudioInfo
    decoder: Decoder
    found: Survey
    outputs: Mapping[str, Mapping[str, float]]
    folder: Path
    watch: Stopwatch

    def separate(self) -> dict[str, Staged]:
        """Every stem that an output uses, staged."""
        used = {source for gains in self.outputs.values() for source in gains}
        names = [name for name in self.order.separator.outputs if name in used]
        staged = {name: self._stage_file(name, "separated") for name in names}
        done = 0
        with self.watch.stage("separate") as report, _separation():
            for block in self.order.separator.stream(self.decoder, self.info.rate_hz):
                for name in names:
                    staged[name].append(block[name])
                done += block[names[0]].shape[1]
                report(done / self.found.frames)
        for name, stem in staged.items():
            stem.close()
            if stem.measure.frames != self.found.frames:
                raise PromiseBroken(f"{name}: {stem.measure.frames} of {self.found.frames} frames")
        return staged

    def effects(self, name: str, stem: Staged) -> Staged:
        """The stem after the preset's chain, part by part; the stem itself without a chain."""
        for number, part in enumerate(parts(self.order.preset.chain)):
            with self.watch.stage("chain") as report:
                offsets = stem.measure.mean if part[0].effect_name == "dc_removal" else None
                rendered = render(
                    stem,
                    part,
                    rate_hz=self.info.rate_hz,
                    channels=self.info.channels,
                    frames=self.found.frames,
                    offsets=offsets,
                )
                path = self.folder / f"{name}.part{number}"
                blocks = _counted(rendered, report, self.found.frames)
                after = stage(path, self.info.channels, blocks)
                stem.remove()
                stem = after
        return stem

    def gain_db(self, sources: Mapping[str, Staged]) -> float:
        """The one gain that the headroom asks for."""
        bits = PCM_BITS.get(self.subtype)
        highest = 1.0 - 2.0 ** -(bits - 1) if bits else 1.0
        peaks: dict[str, float] = {}
        for output, gains in self.outputs.items():
            if gains == {output: 1.0}:
                peaks[output] = sources[output].measure.reach(highest)
            else:
                measure = Measure(self.info.channels)
                for block in _mixed(sources, gains, 1.0):
                    measure.add(block.astype(np.float32))
                peaks[output] = measure.reach(highest)
        return common_gain_db(peaks, self.order.preset.headroom, can_clip=bits is not None)

    def encode(self, sources: Mapping[str, Staged], gain_db: float) -> tuple[StemFacts, ...]:
        """Writes all outputs side by side, so that their rounding errors cancel in the sum."""
        gain = db_to_linear(gain_db)
        streams = [self._limited(_mixed(sources, g, gain)) for g in self.outputs.values()]
        done = 0
        with self.watch.stage("encode") as report, ExitStack() as stack:
            writers = [stack.enter_context(self._writer(name)) for name in self.outputs]
            for blocks in zip(*streams, strict=True):
                _write(writers, blocks)
                done += blocks[0].shape[1]
                report(done / self.found.frames)
        return tuple(self._facts(*pair) for pair in zip(self.outputs, writers, strict=True))

    def verify(self, stems: tuple[StemFacts, ...], gain_db: float) -> float | None:
        """Reads the files back with a library that did not write them.

        Returns the peak in dBFS of (sum of stems) - gain x bounce, None where the preset does not
        mean them to add up. Raises PromiseBroken for a wrong length, and for a linear preset that
        does not null.
        """
        with self.watch.stage("verify") as report:
            for stem in stems:
                header = soundfile.info(self.folder / stem.path)
                shape = (header.frames, header.samplerate, header.channels, header.subtype)
                if shape != (stem.frames, stem.rate_hz, stem.channels, stem.subtype):
                    raise PromiseBroken(f"{stem.path} reads back as {shape}")
            if not self.order.preset.is_sum:
                return None
            wanted = [stem for stem in stems if stem.name in self.order.separator.outputs]
            paths = [self.folder / s.path for s in wanted]
            left = self._null(paths, db_to_linear(gain_db), report)
        clipped = any(stem.clipped_values for stem in stems)
        if self.order.preset.is_linear and not clipped and left > self._null_bound():
            raise PromiseBroken(
                f"the stems do not null against the bounce: {20 * math.log10(left):.1f} dBFS left"
            )
        return 20 * math.log10(left) if left else -math.inf

    def manifest(
        self, stems: tuple[StemFacts, ...], gain_db: float, null_dbfs: float | None
    ) -> Manifest:
        """The report of this job."""
        order, info = self.order, self.info
        return Manifest(
            source=SourceFacts(
                path=str(order.source),
                sha256=order.sha256,
                frames=self.found.frames,
                rate_hz=info.rate_hz,
                channels=info.channels,
                container=info.container,
                subtype=info.subtype,
                time_reference=info.time_reference,
                peak_dbfs=level_dbfs(self.found.peak),
            ),
            stems=stems,
            gain_db=round(gain_db, 6),
            null_residual_dbfs=null_dbfs if null_dbfs is None else round(null_dbfs, 2),
            model={
                "name": order.separator.name,
                "version": order.model_version,
                "device": str(order.separator.device),
            },
            preset={"name": order.preset.name, "hash": order.preset.content_hash},
            warnings=tuple(self._warnings(stems)),
            not_carried=self._carried.not_carried,
            seconds=dict(self.watch.seconds),
        )

    @property
    def subtype(self) -> str:
        """The depth of the files, as soundfile names it."""
        wanted = self.order.preset.output.subtype
        return output_subtype(self.info)[0] if wanted == "same" else wanted

    @cached_property
    def _carried(self) -> Carried:
        layout = {1: "mono", 2: "stereo"}.get(self.info.channels, "multichannel")
        history = (
            f"A=PCM,F={self.info.rate_hz},W={PCM_BITS.get(self.subtype, 32)},M={layout},"
            f"T=stembridge {__version__} {self.order.separator.name}"
        )
        return carried(self.order.source, history)

    def _stage_file(self, name: str, kind: str) -> Staged:
        return Staged(self.folder / f"{name}.{kind}", self.info.channels)

    def _limited(self, blocks: Iterator[NDArray[np.float64]]) -> Iterable[NDArray[np.floating]]:
        limiter = self.order.preset.limiter
        if limiter is None:
            return blocks
        return render(
            (block.astype(np.float32) for block in blocks),
            (limiter,),
            rate_hz=self.info.rate_hz,
            channels=self.info.channels,
            frames=self.found.frames,
        )

    def _writer(self, output: str) -> StemWriter:
        return StemWriter(
            self.folder / self.order.file_name(output),
            rate_hz=self.info.rate_hz,
            channels=self.info.channels,
            frames=self.found.frames,
            subtype=self.subtype,
            channel_mask=self.info.channel_mask,
            extensible=self.info.extensible,
            chunks=self._carried.chunks,
        )

    def _facts(self, output: str, writer: StemWriter) -> StemFacts:
        return StemFacts(
            name=output,
            path=writer.path.name,
            frames=writer.form.frames,
            rate_hz=writer.form.rate_hz,
            channels=writer.form.channels,
            subtype=writer.form.subtype,
            peak_dbfs=level_dbfs(writer.peak),
            clipped_values=writer.clipped,
            sha256=writer.sha256,
        )

    def _null(self, files: list[Path], gain: float, report: Callable[[float], None]) -> float:
        """Peak of (sum of the files) - gain x bounce, linear."""
        left = 0.0
        with ExitStack() as stack:
            opened = [stack.enter_context(soundfile.SoundFile(file)) for file in files]
            for block in _counted(self.decoder, report, self.found.frames):
                total = -gain * block.astype(np.float64)
                for file in opened:
                    total += file.read(block.shape[1], dtype="float64", always_2d=True).T
                left = max(left, float(np.abs(total).max()))
        return left

    def _null_bound(self) -> float:
        bits = PCM_BITS.get(self.subtype, 32)
        lsb = 2.0 ** -(bits - 1)
        return lsb if bits <= 24 else FLOAT_NULL * max(1.0, self.found.peak)

    def _warnings(self, stems: tuple[StemFacts, ...]) -> Iterator[str]:
        note = output_subtype(self.info)[1]
        if note and self.order.preset.output.subtype == "same":
            yield note
        for stem in stems:
            if stem.clipped_values:
                yield f"{stem.path} clips: {stem.clipped_values} values beyond full scale"


def _mixed(
    sources: Mapping[str, Staged], gains: Mapping[str, float], gain: float
) -> Iterator[NDArray[np.float64]]:
    """The weighted sum of staged stems, in float64."""
    for blocks in zip(*(sources[name] for name in gains), strict=True):
        weighted = (
            block * np.float64(weight * gain)
            for block, weight in zip(blocks, gains.values(), strict=True)
        )
        yield sum(weighted, np.zeros(blocks[0].shape))


def _counted(
    blocks: Iterable[Audio], report: Callable[[float], None], frames: int
) -> Iterator[Audio]:
    """The same blocks; `report` hears the share of `frames` done after each."""
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        report(done / frames)


def _write(writers: list[StemWriter], blocks: Iterable[NDArray[np.floating]]) -> None:
    bits = PCM_BITS.get(writers[0].form.subtype)
    named = {writer.path.name: block for writer, block in zip(writers, blocks, strict=True)}
    if bits is None:
        for writer in writers:
            writer.write_float(named[writer.path.name])
        return
    rounded = quantise_set(named, bits)
    for writer in writers:
        writer.clipped += rounded.clipped[writer.path.name]
        writer.write_int(rounded.stems[writer.path.name])


@contextmanager
def _separation() -> Iterator[None]:
    try:
        yield
    except SeparatorError as error:
        raise from_separation(error) from error
