"""Writing of output files: gain, limiter, trim, dither, quantisation and metering."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bridge.audio.dither import Dither
from bridge.audio.encode import LONG_FORMS, PCM_BITS
from bridge.audio.metadata import bext
from bridge.audio.metadata.trimming import of_trimmed_file as cut_metadata
from bridge.audio.metadata.trimming import of_whole_file
from bridge.audio.quantise import quantise_set
from bridge.audio.targets.spec import Spec
from bridge.audio.targets.writers import open_writer
from bridge.dsp.decibel import db_to_linear, linear_to_dbfs
from bridge.dsp.meter import Meter
from bridge.effects.chain import render
from bridge.publish.manifest import StemFacts, level_dbfs, rounded
from bridge.render.trim import Span, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.dither import DitherKind
    from bridge.audio.metadata.model import Metadata
    from bridge.audio.probe import AudioInfo
    from bridge.effects.registry import Limiter
    from bridge.presets.output import Output

    Audio = NDArray[np.float32]
    Block = NDArray[np.floating]

Result = TypeVar("Result")


@dataclass(frozen=True)
class EncodeSettings:
    """Settings shared by all files of a job; `frames` is the length of an untrimmed file."""

    info: AudioInfo
    frames: int
    output: Output
    subtype: str
    metadata: Metadata
    limiter: Limiter | None
    seed: str

    @property
    def bits(self) -> int | None:
        """Bits per value; None for floating point."""
        return PCM_BITS.get(self.subtype)


@dataclass(frozen=True)
class OutputFile:
    """One file to write.

    Attributes:
        name: name of the output.
        path: the file.
        signal: starts the audio, float64 blocks before the gain.
        gain_db: gain of the output.
        peak: linear peak before the gain, or an upper bound.
        span: frames to write.
    """

    name: str
    path: Path
    signal: Callable[[], Iterator[NDArray[np.float64]]]
    gain_db: float
    peak: float
    span: Span

    def blocks(self, settings: EncodeSettings) -> Iterator[Block]:
        """The audio before quantisation: with gain, limiter and trim."""
        gain = db_to_linear(self.gain_db)
        same = gain == 1.0
        scaled: Iterator[Block] = self.signal() if same else (gain * b for b in self.signal())
        if settings.limiter is not None:
            scaled = render(
                (block.astype(np.float32) for block in scaled),
                (settings.limiter.for_peak(self.peak * gain),),
                rate_hz=settings.info.rate_hz,
                channels=settings.info.channels,
                frames=settings.frames,
            )
        is_whole = self.span == Span(0, settings.frames)
        yield from scaled if is_whole else cut(scaled, self.span)


def write_outputs(
    outputs: Sequence[OutputFile],
    settings: EncodeSettings,
    dither: DitherKind,
    on_frames: Callable[[int], None],
) -> tuple[StemFacts, ...]:
    """Write outputs in parallel, quantised together so that rounding errors cancel in the sum.

    Args:
        outputs: files of the same span.
        settings: shared by all files.
        dither: kind of dither.
        on_frames: called with the frames written to each file since the last call.
    """
    from separator.parallel import set_threads

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(outputs), "writer", set_threads, (1,)))
        writers = [_StemWriter(output, settings, dither, stack) for output in outputs]
        pending: list[Future[None]] = []
        for blocks in _synchronised([output.blocks(settings) for output in outputs], pool):
            tasks = _write_tasks(writers, blocks)
            _results(pending)
            pending = [pool.submit(task) for task in tasks]
            on_frames(blocks[0].shape[1])
        _results(pending)
        for writer in writers:
            writer.finish()
            writer.file.close()  # may wait long for a slow disk: report progress
            on_frames(0)
    return tuple(writer.facts() for writer in writers)


def _synchronised(
    streams: Sequence[Iterator[Block]], pool: ThreadPoolExecutor
) -> Iterator[list[Block]]:
    """Yield a block of each stream until all have ended; compute the next ones meanwhile.

    Limiting, metering and hashing, most of the work, run in parallel. Only quantisation needs all
    streams.
    """
    pending = [pool.submit(next, stream, None) for stream in streams]
    while (blocks := _results(pending))[0] is not None:
        pending = [pool.submit(next, stream, None) for stream in streams]
        yield [block for block in blocks if block is not None]


def _results(futures: Sequence[Future[Result]]) -> list[Result]:
    return [future.result() for future in futures]


class _StemWriter:
    """Writer of one file with its meter and its dither."""

    def __init__(
        self, output: OutputFile, settings: EncodeSettings, dither: DitherKind, stack: ExitStack
    ) -> None:
        self.output, self._dither = output, dither
        info = settings.info
        self.spec = _spec(output, settings)
        self.file = stack.enter_context(open_writer(output.path, self.spec))
        self.meter = Meter(info.rate_hz, info.channels, mask=info.channel_mask)
        self._clips = not output.peak * db_to_linear(output.gain_db) <= 1.0  # also true for NaN
        self.dither = Dither(dither, f"{settings.seed} {output.name}", info.channels)

    def write_float_block(self, block: Block) -> None:
        """Write and meter a block of a floating-point file."""
        self.file.write_float(block)
        self.meter.add(block.astype(np.float32))

    def write_quantised_block(self, exact: Block, steps: NDArray[np.int32]) -> None:
        """Write a block of a fixed-point file; meter the values before rounding, clipped alike."""
        self.file.write_int(steps)
        metered = np.clip(exact, -1.0, 1.0) if self._clips else exact
        self.meter.add(metered.astype(np.float32))

    def finish(self) -> None:
        """Replace the loudness in the bext chunk by that of this file, after the last block."""
        data = self.spec.metadata.find(b"bext")
        if not self.spec.metadata.states_loudness or data is None:
            return
        levels, programme = self.meter.levels, self.meter.programme
        stated = (
            levels.lufs,
            programme.range_lu,
            levels.true_peak_dbtp,
            programme.max_momentary_lufs,
            programme.max_short_term_lufs,
        )
        self.file.replace_bext(bext.parse(data).with_loudness(stated).to_bytes())

    def facts(self) -> StemFacts:
        """Facts about the file, after it is closed."""
        levels, spec = self.meter.levels, self.spec
        return StemFacts(
            name=self.output.name,
            path=self.file.path.name,
            frames=spec.out_frames,
            rate_hz=spec.out_rate_hz,
            channels=spec.channels,
            subtype=spec.subtype,
            peak_dbfs=level_dbfs(self.file.peak),
            clipped_values=self.file.clipped,
            sha256=self.file.sha256,
            true_peak_dbtp=rounded(levels.true_peak_dbtp),
            lufs=rounded(levels.lufs),
            dc_dbfs=rounded(linear_to_dbfs(levels.dc)),
            gain_db=round(self.output.gain_db, 9),  # half of 1e-6 dB is half a step at 24 bit
            dither=self._dither,
            start_frame=self.output.span.start_frame,
            encoder_delay_frames=self.file.encoder_delay_frames,
        )


def _write_tasks(
    writers: Sequence[_StemWriter], blocks: Sequence[Block]
) -> list[Callable[[], None]]:
    """Quantise blocks together; return the write task of each file."""
    bits = PCM_BITS.get(writers[0].spec.subtype)
    if bits is None:
        return [
            partial(writer.write_float_block, block)
            for writer, block in zip(writers, blocks, strict=True)
        ]
    named = {writer.output.name: block for writer, block in zip(writers, blocks, strict=True)}
    dithers = {
        writer.output.name: writer.dither for writer in writers if writer.dither.kind != "none"
    }
    done = quantise_set(named, bits, dithers or None)
    for writer in writers:
        writer.file.clipped += done.clipped[writer.output.name]
    return [
        partial(writer.write_quantised_block, block, done.stems[writer.output.name])
        for writer, block in zip(writers, blocks, strict=True)
    ]


def _spec(output: OutputFile, settings: EncodeSettings) -> Spec:
    info, chosen = settings.info, settings.output
    return Spec(
        target=chosen.target(info.container),
        rate_hz=info.rate_hz,
        channels=info.channels,
        frames=output.span.frames,
        subtype=settings.subtype,
        channel_mask=info.channel_mask,
        extensible=info.extensible,
        rf64=info.container in LONG_FORMS,
        metadata=_metadata(output, settings),
        bitrate_kbps=chosen.bitrate_kbps,
        quality=chosen.vorbis_quality,
    )


def _metadata(output: OutputFile, settings: EncodeSettings) -> Metadata:
    span, rate_hz = output.span, settings.info.rate_hz
    if span == Span(0, settings.frames):
        return of_whole_file(settings.metadata, span.frames, rate_hz)
    return cut_metadata(settings.metadata, span.start_frame, span.frames, rate_hz)
