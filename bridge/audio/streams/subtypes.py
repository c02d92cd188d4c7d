"""Names of the codecs that FFmpeg's libraries decode: soundfile's, or similar ones."""

from __future__ import annotations

_NAMES = {
    "mp1": "MPEG_LAYER_I",
    "mp2": "MPEG_LAYER_II",
    "mp3": "MPEG_LAYER_III",
    "amrnb": "AMR_NB",
    "amrwb": "AMR_WB",
    "dca": "DTS",
    "pcm_alaw": "ALAW",
    "pcm_mulaw": "ULAW",
}
_PCM = {
    "s8": "PCM_S8",
    "u8": "PCM_U8",
    "f32": "FLOAT",
    "f64": "DOUBLE",
    **{f"{kind}{bits}": f"PCM_{bits}" for kind in "su" for bits in (16, 24, 32)},
}
# Without loss, and as deep as what they are decoded to; 24 bits come in 32.
_LOSSLESS = {"wmalossless", "truehd", "mlp", "tta", "ape", "wavpack", "pcm_bluray", "pcm_dvd"}
_DEPTHS = {"s16": "PCM_16", "s32": "PCM_24", "flt": "FLOAT", "dbl": "DOUBLE", "u8": "PCM_U8"}

_ALAC_BITS_AT = 17  # in its cookie: 12 bytes of atom, 4 of frame length and one of version
_FLAC_BITS_AT = 12  # in STREAMINFO (RFC 9639 section 8.2)


def subtype_name(codec: str, sample_format: str, extradata: bytes) -> str:
    """Name a codec.

    Args:
        codec: ffmpeg's name of it or of its decoder.
        sample_format: ffmpeg's name of the decoded sample format.
        extradata: codec configuration for the decoder.
    """
    codec = codec.removesuffix("float")
    if codec in _NAMES:
        return _NAMES[codec]
    if codec == "alac" and len(extradata) > _ALAC_BITS_AT:
        return f"ALAC_{extradata[_ALAC_BITS_AT]}"
    if codec == "flac" and len(extradata) > _FLAC_BITS_AT + 1:
        packed = int.from_bytes(extradata[_FLAC_BITS_AT : _FLAC_BITS_AT + 2], "big")
        return "PCM_16" if (packed >> 4 & 31) < 16 else "PCM_24"
    if codec in _LOSSLESS:
        return _DEPTHS.get(sample_format.removesuffix("p"), "PCM_24")
    if codec.startswith("pcm_"):
        return _PCM.get(codec[4:].rstrip("lbe").removesuffix("_planar").rstrip("lbe"), "PCM_24")
    return codec.upper()
