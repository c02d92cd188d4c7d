"""Warnings of the report about the files of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.audio.encode import PCM_BITS, output_subtype
from bridge.audio.time_reference import implausibility

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.audio.probe import AudioInfo
    from bridge.audio.targets.registry import Target
    from bridge.presets.loader import Preset
    from bridge.presets.output import Normalise
    from bridge.publish.manifest import StemFacts

# A loudness meter shows one decimal (EBU Tech 3341).
_METER_LU = 0.1


def source_bits(info: AudioInfo) -> int | None:
    """Bit depth of the bounce, of a lossy one that of its decoded audio; None for float."""
    return PCM_BITS.get(output_subtype(info)[0])


def time_reference_warnings(time_reference: int | None, rate_hz: int) -> Iterator[str]:
    """Warn about an implausible time reference."""
    reason = implausibility(time_reference, rate_hz)
    if reason:
        yield f"{reason}; the stems carry it as it is: check the start of the render"


def file_warnings(
    preset: Preset, info: AudioInfo, stems: Sequence[StemFacts], tail_frames: int
) -> Iterator[str]:
    """All warnings about the files of one job.

    Args:
        preset: the preset in force.
        info: format of the bounce.
        stems: facts of the written files.
        tail_frames: how much longer than the bounce the files are.
    """
    target = preset.output.target(info.container)
    note = preset.output.depth(info)[1]
    if note:
        yield note
    if target.lossy:
        yield from _codec_warnings(target, info, stems)
    else:
        yield from _depth_warnings(preset, info, stems)
    if tail_frames:
        yield (
            f"the files are {tail_frames} frames longer than the bounce, to hold the tails of "
            "echoes and reverbs"
        )
    if preset.trim is not None:
        yield (
            "the files are trimmed, not aligned with the bounce; start_frame gives their positions"
        )
    for stem in stems:
        yield from _peak_warnings(stem, lossy=target.lossy)
    if preset.normalise is not None and preset.normalise.lufs is not None:
        yield from _loudness_warnings(stems, preset.normalise)


def _codec_warnings(target: Target, info: AudioInfo, stems: Sequence[StemFacts]) -> Iterator[str]:
    """Effects of a lossy format on every file."""
    delay = stems[0].encoder_delay_frames
    skipped = f"; players that ignore its gapless data begin {delay} frames late" if delay else ""
    yield f"{target.title} is lossy: the stems do not add up to the bounce exactly{skipped}"
    rate_hz = target.out_rate_hz(info.rate_hz)
    if rate_hz != info.rate_hz:
        yield (
            f"{target.title} is {rate_hz} Hz inside: the stems are not at the {info.rate_hz} Hz of "
            "the bounce, and a DAW has to convert them"
        )


def _depth_warnings(preset: Preset, info: AudioInfo, stems: Sequence[StemFacts]) -> Iterator[str]:
    subtype = stems[0].subtype
    bits, had_bits = PCM_BITS.get(subtype), source_bits(info)
    shrinks = bits is not None and (had_bits is None or had_bits > bits)
    if shrinks and preset.output.dither == "none":
        yield (
            f"{info.subtype} became {subtype} without dither: soft passages are distorted; leave "
            "`dither: none` out"
        )


def _peak_warnings(facts: StemFacts, *, lossy: bool) -> Iterator[str]:
    """Clipping, and peaks that clip on playback."""
    if facts.clipped_values:
        yield f"{facts.path} clips: {facts.clipped_values} values beyond full scale"
    peak_dbtp = facts.true_peak_dbtp
    if lossy and facts.peak_dbfs is not None and facts.peak_dbfs > 0:
        yield (
            f"{facts.path} rises to {facts.peak_dbfs:+.2f} dBFS when it is decoded, which clips: "
            "leave it some headroom, as in `headroom: {mode: common, ceiling_dbfs: -1}`"
        )
    elif facts.subtype not in PCM_BITS and peak_dbtp is not None and peak_dbtp > 0:
        yield (
            f"{facts.path} has a true peak of {peak_dbtp:+.2f} dBTP: it clips where it is played "
            "or made fixed-point as it is"
        )


def _loudness_warnings(facts: Sequence[StemFacts], normalise: Normalise) -> Iterator[str]:
    """Files that miss the target loudness by more than a meter shows.

    With linked normalisation only the loudest file counts.
    """
    audible = [stem for stem in facts if stem.lufs is not None]
    if normalise.linked:
        audible = sorted(audible, key=lambda stem: stem.lufs or 0.0)[-1:]
    for stem in audible:
        if abs((stem.lufs or 0.0) - normalise.target) > _METER_LU:
            yield (
                f"{stem.path} has {stem.lufs:.1f} LUFS instead of {normalise.target:.1f}: headroom "
                "or the limiter held its peaks; ask for less loudness"
            )
