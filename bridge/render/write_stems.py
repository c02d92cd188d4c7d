"""From the audio of the outputs to their files: gain, limiter, cut, dither, rounding, levels."""

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
from bridge.audio.metadata.shifted import cut as cut_metadata
from bridge.audio.metadata.shifted import whole
from bridge.audio.quantise import quantise_set
from bridge.audio.targets.opening import writing
from bridge.audio.targets.spec import Spec
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

    from bridge.audio.dither import Kind
    from bridge.audio.metadata.model import Metadata
    from bridge.audio.probe import AudioInfo
    from bridge.effects.registry import Limiter
    from bridge.presets.output import Output as Delivery

    Audio = NDArray[np.float32]
    Block = NDArray[np.floating]

Made = TypeVar("Made")


@dataclass(frozen=True)
class EncodeSettings:
    """What all files of a job have in common. frames: of a file that is not cut."""

    info: AudioInfo
    frames: int
    delivery: Delivery
    subtype: str
    metadata: Metadata
    limiter: Limiter | None
    seed: str

    @property
    def bits(self) -> int | None:
        """Of one value; None for floating point."""
        return PCM_BITS.get(self.subtype)


@dataclass(frozen=True)
class OutputFile:
    """One file to write: where, of what, how loud, from where to where in the bounce.

    peak: before the gain, linear, or somewhat more.
    """

    name: str
    path: Path
    signal: Callable[[], Iterator[NDArray[np.float64]]]
    gain_db: float
    peak: float
    span: Span

    def blocks(self, form: EncodeSettings) -> Iterator[Block]:
        """The audio as it is to be rounded."""
        gain = db_to_linear(self.gain_db)
        same = gain == 1.0
        scaled: Iterator[Block] = self.signal() if same else (gain * b for b in self.signal())
        if form.limiter is not None:
            scaled = render(
                (block.astype(np.float32) for block in scaled),
                (form.limiter.for_peak(self.peak * gain),),
                rate_hz=form.info.rate_hz,
                channels=form.info.channels,
                frames=form.frames,
            )
        whole = self.span == Span(0, form.frames)
        yield from scaled if whole else cut(scaled, self.span)


def write_outputs(
    outputs: Sequence[OutputFile], form: EncodeSettings, dither: Kind, told: Callable[[int], None]
) -> tuple[StemFacts, ...]:
    """Writes outputs side by side: their rounding errors cancel in the sum.

    told: hears how many frames of each were done. All must have the same span.
    """
    from separator.parallel import set_threads

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(outputs), "pen", set_threads, (1,)))
        pens = [_StemWriter(output, form, dither, stack) for output in outputs]
        writing: list[Future[None]] = []
        for blocks in _together([output.blocks(form) for output in outputs], pool):
            takes = _takes(pens, blocks)
            _done(writing)
            writing = [pool.submit(take) for take in takes]
            told(blocks[0].shape[1])
        _done(writing)
        for pen in pens:
            pen.finish()
            pen.writer.close()  # each waits for the disk, which may be slow: tell that we live
            told(0)
    return tuple(pen.facts() for pen in pens)


def _together(
    streams: Sequence[Iterator[Block]], pool: ThreadPoolExecutor
) -> Iterator[list[Block]]:
    """A block of each stream until all have ended; the next ones are made meanwhile.

    Stems know nothing of each other, so limiting, metering and hashing, most of the work here, go
    on side by side. Only rounding needs all of them.
    """
    making = [pool.submit(next, stream, None) for stream in streams]
    while (blocks := _done(making))[0] is not None:
        making = [pool.submit(next, stream, None) for stream in streams]
        yield [block for block in blocks if block is not None]


def _done(futures: Sequence[Future[Made]]) -> list[Made]:
    return [future.result() for future in futures]


class _StemWriter:
    """A writer with its meter and its dither."""

    def __init__(
        self, output: OutputFile, form: EncodeSettings, dither: Kind, stack: ExitStack
    ) -> None:
        self.output, self._dither = output, dither
        info = form.info
        self.spec = _spec(output, form)
        self.writer = stack.enter_context(writing(output.path, self.spec))
        self.meter = Meter(info.rate_hz, info.channels, mask=info.channel_mask)
        self._clips = not output.peak * db_to_linear(output.gain_db) <= 1.0  # not for NaN either
        self.dither = Dither(dither, f"{form.seed} {output.name}", info.channels)

    def take_float(self, block: Block) -> None:
        """A block of a floating-point file."""
        self.writer.write_float(block)
        self.meter.add(block.astype(np.float32))

    def take_rounded(self, exact: Block, steps: NDArray[np.int32]) -> None:
        """A block of a fixed-point file. The meter hears what was rounded, clipped as there."""
        self.writer.write_int(steps)
        heard = np.clip(exact, -1.0, 1.0) if self._clips else exact
        self.meter.add(heard.astype(np.float32))

    def finish(self) -> None:
        """Once all audio was heard: the loudness that the bounce states is this file's own."""
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
        self.writer.restate(bext.parse(data).with_loudness(stated).to_bytes())

    def facts(self) -> StemFacts:
        """Once it is written."""
        levels, spec = self.meter.levels, self.spec
        return StemFacts(
            name=self.output.name,
            path=self.writer.path.name,
            frames=spec.out_frames,
            rate_hz=spec.out_rate_hz,
            channels=spec.channels,
            subtype=spec.subtype,
            peak_dbfs=level_dbfs(self.writer.peak),
            clipped_values=self.writer.clipped,
            sha256=self.writer.sha256,
            true_peak_dbtp=rounded(levels.true_peak_dbtp),
            lufs=rounded(levels.lufs),
            dc_dbfs=rounded(linear_to_dbfs(levels.dc)),
            gain_db=round(self.output.gain_db, 9),  # half of 1e-6 dB is half a step at 24 bit
            dither=self._dither,
            start_frame=self.output.span.start_frame,
            encoder_delay_frames=self.writer.encoder_delay_frames,
        )


def _takes(pens: Sequence[_StemWriter], blocks: Sequence[Block]) -> list[Callable[[], None]]:
    """What is left to do for each pen once the blocks are rounded together."""
    bits = PCM_BITS.get(pens[0].spec.subtype)
    if bits is None:
        return [partial(pen.take_float, block) for pen, block in zip(pens, blocks, strict=True)]
    named = {pen.output.name: block for pen, block in zip(pens, blocks, strict=True)}
    dithers = {pen.output.name: pen.dither for pen in pens if pen.dither.kind != "none"}
    done = quantise_set(named, bits, dithers or None)
    for pen in pens:
        pen.writer.clipped += done.clipped[pen.output.name]
    return [
        partial(pen.take_rounded, block, done.stems[pen.output.name])
        for pen, block in zip(pens, blocks, strict=True)
    ]


def _spec(output: OutputFile, form: EncodeSettings) -> Spec:
    info, delivery = form.info, form.delivery
    return Spec(
        target=delivery.target(info.container),
        rate_hz=info.rate_hz,
        channels=info.channels,
        frames=output.span.frames,
        subtype=form.subtype,
        channel_mask=info.channel_mask,
        extensible=info.extensible,
        rf64=info.container in LONG_FORMS,
        metadata=_metadata(output, form),
        bitrate_kbps=delivery.bitrate_kbps,
        quality=delivery.vorbis_quality,
    )


def _metadata(output: OutputFile, form: EncodeSettings) -> Metadata:
    span, rate_hz = output.span, form.info.rate_hz
    if span == Span(0, form.frames):
        return whole(form.metadata, span.frames, rate_hz)
    return cut_metadata(form.metadata, span.start_frame, span.frames, rate_hz)
