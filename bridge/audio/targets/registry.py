"""Every format that stems can have, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bridge.audio.encode import PCM_BITS, SUBTYPES, output_subtype

if TYPE_CHECKING:
    from bridge.audio.probe import AudioInfo

Name = Literal["wav", "aiff", "caf", "w64", "flac", "mp3", "ogg", "opus", "m4a"]
Subtype = Literal["same", "PCM_16", "PCM_24", "FLOAT"]

OPUS_HZ = 48_000
"""Opus is decoded at this rate whatever went in (RFC 7845 section 5.1)."""

# ISO/IEC 11172-3 and 13818-3, with LAME's extension downwards.
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# ISO/IEC 14496-3 table 1.16.
_AAC_RATES_HZ = (*_MP3_RATES_HZ, 64_000, 88_200, 96_000)
# ISO/IEC 11172-3 section 2.4.2.3, layer III.
_MP3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
# AIFF states its size in 32 bits ("AIFF 1.3": ckSize).
_AIFF_LIMIT_BYTES = 0xFFFFFFFF


@dataclass(frozen=True)
class Target:
    """File format of stems.

    Attributes:
        name: in presets.
        title: for users.
        suffix: of its files.
        subtypes: possible depths, by soundfile's names; of a lossy format, its codec.
        rates_hz: possible rates; None for all that a bounce may have.
        coding: coding algorithm in a coding history (EBU R 98).
        bitrates_kbps: range of a preset's choice; empty without one.
        default_kbps: where the preset gives none.
    """

    name: Name
    title: str
    suffix: str
    subtypes: tuple[str, ...]
    lossy: bool = False
    max_channels: int = 64
    rates_hz: tuple[int, ...] | None = None
    limit_bytes: int | None = None
    coding: str = "PCM"
    bitrates_kbps: tuple[int, ...] | range = field(default=())
    default_kbps: int | None = None

    def out_rate_hz(self, rate_hz: int) -> int:
        """Return the rate of a file with audio of `rate_hz`."""
        return OPUS_HZ if self.name == "opus" else rate_hz

    def out_frames(self, frames: int, rate_hz: int) -> int:
        """Return the length of a file with `frames` at `rate_hz`, rounded up."""
        return -(-frames * self.out_rate_hz(rate_hz) // rate_hz)

    def depth(self, wanted: Subtype, info: AudioInfo) -> tuple[str, str | None]:
        """Return the subtype for stems of a bounce, and a note if it differs from `wanted`."""
        if self.lossy:
            return self.subtypes[0], None
        chosen, note = output_subtype(info) if wanted == "same" else (wanted, None)
        if chosen in self.subtypes:
            return chosen, note
        bits = PCM_BITS.get(chosen, 64)
        deeper = [name for name in self.subtypes if PCM_BITS.get(name, 32) >= bits]
        nearest = deeper[0] if deeper else self.subtypes[-1]
        return nearest, f"{self.title} is not written in {chosen}: the stems are {nearest}"


# 8 bits are signed in these, and unsigned in a WAV: 16 hold both.
_UNCOMPRESSED = tuple(name for name in SUBTYPES if name != "PCM_U8")

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("wav", "WAV", ".wav", SUBTYPES),
        Target("aiff", "AIFF", ".aiff", _UNCOMPRESSED, limit_bytes=_AIFF_LIMIT_BYTES),
        Target("caf", "CAF", ".caf", _UNCOMPRESSED),
        Target("w64", "Wave64", ".w64", SUBTYPES),
        Target("flac", "FLAC", ".flac", ("PCM_16", "PCM_24"), max_channels=8),
        Target(
            "mp3",
            "MP3",
            ".mp3",
            ("MPEG_LAYER_III",),
            lossy=True,
            coding="MPEG1L3",
            max_channels=2,
            rates_hz=_MP3_RATES_HZ,
            bitrates_kbps=_MP3_KBPS,
            default_kbps=320,
        ),
        Target(
            "ogg", "Ogg Vorbis", ".ogg", ("VORBIS",), lossy=True, coding="VORBIS", max_channels=2
        ),
        Target(
            "opus",
            "Opus",
            ".opus",
            ("OPUS",),
            lossy=True,
            coding="OPUS",
            max_channels=2,
            bitrates_kbps=range(12, 511),
            default_kbps=192,
        ),
        Target(
            "m4a",
            "M4A (AAC)",
            ".m4a",
            ("AAC",),
            lossy=True,
            coding="AAC",
            max_channels=2,
            rates_hz=_AAC_RATES_HZ,
            bitrates_kbps=range(32, 513),
            default_kbps=256,
        ),
    )
}

# Lossy sources and rare containers have no target of their own: their stems are WAV.
_SAME = {"AIFF": "aiff", "CAF": "caf", "W64": "w64", "FLAC": "flac"}


def target_for(wanted: str, container: str) -> Target:
    """Return the target of a preset; for `same` the bounce's format, if lossless.

    container: of the bounce, as `headers.sniff` names it.
    """
    return TARGETS[_SAME.get(container, "wav") if wanted == "same" else wanted]


def missing_requirement(target: Target) -> str | None:
    """Return what this machine lacks for a target, and what to do; None if nothing."""
    if target.name in _LIBSNDFILE:
        import soundfile  # late: presets are read where nothing is written

        container, subtype = _LIBSNDFILE[target.name]
        if subtype not in soundfile.available_subtypes(container):
            return f"{target.title} needs libsndfile 1.1 or newer: update it, or choose FLAC"
    return None


_LIBSNDFILE = {
    "flac": ("FLAC", "PCM_24"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


def unsupported_reason(target: Target, info: AudioInfo, frames: int, subtype: str) -> str | None:
    """Return why stems of a bounce cannot have this format, and what to do; None if they can.

    Args:
        target: format of the stems.
        info: of the bounce.
        frames: of the stems.
        subtype: of the stems.
    """
    lossless = "choose flac or wav"
    if info.channels > target.max_channels:
        choice = lossless if info.channels <= TARGETS["flac"].max_channels else "choose wav"
        return (
            f"{target.title} is written with up to {target.max_channels} channels, this bounce has "
            f"{info.channels}: {choice}"
        )
    if target.rates_hz is not None and info.rate_hz not in target.rates_hz:
        return (
            f"{target.title} does not hold {info.rate_hz} Hz, and stems keep the rate of their "
            f"bounce: {lossless}, or render it at 48000 Hz"
        )
    if target.limit_bytes is not None:
        value_bytes = PCM_BITS.get(subtype, 64 if subtype == "DOUBLE" else 32) // 8
        if frames * info.channels * value_bytes + _HEAD_BYTES > target.limit_bytes:
            limit = f"{target.title} ends at {target.limit_bytes / 1e9:.1f} GB"
            return f"{limit}, and each stem of this bounce is longer: choose wav, w64 or caf"
    return missing_requirement(target)


# Headers and metadata, of which 16 MiB are carried at most.
_HEAD_BYTES = 17 << 20
