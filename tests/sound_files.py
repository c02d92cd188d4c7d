"""Sound files of known values, built byte for byte in every variant that writers make of a format.

Nothing here is the bridge's: the headers follow the formats' own descriptions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.audio_files import chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float32]

RATE_HZ = 48_000
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")


@dataclass(frozen=True)
class Form:
    """How one value is stored: "int" or "float" of `bits`."""

    kind: str
    bits: int

    @property
    def value_bytes(self) -> int:
        return self.bits // 8


FORMS = (Form("int", 16), Form("int", 24), Form("int", 32), Form("float", 32), Form("float", 64))


def values(frames: int, channels: int, form: Form, *, seed: int = 0) -> Values:
    """(channels, frames) float32 that the form holds exactly."""
    random = np.random.default_rng(seed)
    if form.kind == "float":
        return random.uniform(-0.9, 0.9, (channels, frames)).astype(np.float32)
    steps = 2 ** (min(form.bits, 24) - 1)
    whole = random.integers(-steps, steps, (channels, frames))
    return (whole / steps).astype(np.float32)


def packed(wave: Values, form: Form, order: str) -> bytes:
    """The frames as they lie in a file."""
    frames = wave.T.astype(np.float64)
    if form.kind == "float":
        return frames.astype(f"{order}f{form.value_bytes}").tobytes()
    whole = np.ascontiguousarray(np.rint(frames * 2.0 ** (form.bits - 1)), f"{order}i4")
    if form.bits != 24:
        return whole.astype(f"{order}i{form.value_bytes}").tobytes()
    four = whole.view(np.uint8).reshape(*whole.shape, 4)
    return (four[..., :3] if order == "<" else four[..., 1:]).tobytes()


def pieces(wave: Values, cuts: Sequence[int]) -> list[Values]:
    """The frames cut in several, one behind the other."""
    return np.split(wave, sorted(min(cut, wave.shape[1]) for cut in cuts), axis=1)


@dataclass(frozen=True)
class Variant:
    """What is odd about a file.

    cuts: frames at which its sound goes on in another chunk. size: by which its writer says that it
    does not know the length; None for the true one. before, after: chunks around the sound, ids and
    data. padded: chunks of odd size have a pad byte.
    """

    cuts: tuple[int, ...] = ()
    size: int | None = None
    before: tuple[tuple[bytes, bytes], ...] = ()
    after: tuple[tuple[bytes, bytes], ...] = ()


def wav(wave: Values, form: Form, variant: Variant, magic: bytes = b"RIFF") -> bytes:
    """RIFF, RIFX, RF64 or BW64."""
    order = ">" if magic == b"RIFX" else "<"
    channels = len(wave)
    block = channels * form.value_bytes
    tag = 3 if form.kind == "float" else 1
    fmt = struct.pack(order + "HHIIHH", tag, channels, RATE_HZ, RATE_HZ * block, block, form.bits)
    body = b"".join(chunk(name, data, order=order) for name, data in variant.before)
    body += chunk(b"fmt ", fmt, order=order)
    data = [packed(part, form, order) for part in pieces(wave, variant.cuts)]
    long = magic in {b"RF64", b"BW64"}
    sizes = [len(part) for part in data]
    for part, size in zip(data, sizes, strict=True):
        stated = variant.size if variant.size is not None else size
        body += chunk(
            b"data", part, size=0xFFFFFFFF if long and len(data) == 1 else stated, order=order
        )
    body += b"".join(chunk(name, data, order=order) for name, data in variant.after)
    if not long:
        total = len(body) + 4 if variant.size is None else min(variant.size + 36, 0xFFFFFFFF)
        return magic + struct.pack(order + "I", total) + b"WAVE" + body
    riff_bytes = len(body) + 4 + 36
    first = variant.size if variant.size is not None else sizes[0]
    ds64 = chunk(b"ds64", struct.pack("<QQQI", riff_bytes, first, wave.shape[1], 0))
    return magic + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + ds64 + body


def wave_list(wave: Values, form: Form, silences: Sequence[int]) -> bytes:
    """A WAV whose sound is in a LIST `wavl`: data and silences by turns."""
    channels, block = len(wave), len(wave) * form.value_bytes
    fmt = struct.pack("<HHIIHH", 1, channels, RATE_HZ, RATE_HZ * block, block, form.bits)
    inside = b"wavl"
    for part, silence in zip(pieces(wave, [wave.shape[1] // 2]), silences, strict=True):
        inside += chunk(b"data", packed(part, form, "<"))
        inside += chunk(b"slnt", struct.pack("<I", silence))
    body = b"WAVE" + chunk(b"fmt ", fmt) + chunk(b"LIST", inside)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def w64(wave: Values, form: Form, variant: Variant) -> bytes:
    """Sony Wave64."""
    channels, block = len(wave), len(wave) * form.value_bytes
    tag = 3 if form.kind == "float" else 1
    fmt = struct.pack("<HHIIHH", tag, channels, RATE_HZ, RATE_HZ * block, block, form.bits)
    body = b"".join(_w64_chunk(name, data) for name, data in variant.before)
    body += _w64_chunk(b"fmt ", fmt)
    for part in pieces(wave, variant.cuts):
        body += _w64_chunk(b"data", packed(part, form, "<"), variant.size)
    body += b"".join(_w64_chunk(name, data) for name, data in variant.after)
    total = 40 + len(body) if variant.size is None else variant.size
    return W64_RIFF + struct.pack("<Q", total) + b"wave" + W64_TAIL + body


def _w64_chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    if size is not None:
        return name + W64_TAIL + struct.pack("<Q", size) + data
    return name + W64_TAIL + struct.pack("<Q", 24 + len(data)) + data + bytes(-len(data) % 8)


def aiff(wave: Values, form: Form, variant: Variant, *, little: bool = False) -> bytes:
    """AIFF, or AIFF-C where the form needs it."""
    order = "<" if little else ">"
    compression = b""
    if form.kind == "float":
        compression = b"fl32" if form.bits == 32 else b"fl64"
    elif little:
        compression = b"sowt"
    comm = struct.pack(">HIH", len(wave), wave.shape[1], form.bits) + _extended(RATE_HZ)
    comm += compression + (b"\0\0" if compression else b"")
    body = b"AIFC" if compression else b"AIFF"
    body += b"".join(chunk(name, data, order=">") for name, data in variant.before)
    body += chunk(b"COMM", comm, order=">")
    for part in pieces(wave, variant.cuts):
        body += chunk(b"SSND", bytes(8) + packed(part, form, order), size=variant.size, order=">")
    body += b"".join(chunk(name, data, order=">") for name, data in variant.after)
    total = len(body) if variant.size is None else min(variant.size + 46, 0xFFFFFFFF)
    return b"FORM" + struct.pack(">I", total) + body


def _extended(value: int) -> bytes:
    exponent = value.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, value << 63 - exponent)


def caf(wave: Values, form: Form, variant: Variant, *, little: bool = False) -> bytes:
    """Core Audio."""
    flags = (1 if form.kind == "float" else 0) | (2 if little else 0)
    block = len(wave) * form.value_bytes
    desc = struct.pack(">d4s5I", RATE_HZ, b"lpcm", flags, block, 1, len(wave), form.bits)
    body = b"desc" + struct.pack(">q", len(desc)) + desc
    for name, data in variant.before:
        body += name + struct.pack(">q", len(data)) + data
    for part in pieces(wave, variant.cuts):
        data = bytes(4) + packed(part, form, "<" if little else ">")
        body += b"data" + struct.pack(">q", len(data) if variant.size is None else -1) + data
    for name, data in variant.after:
        body += name + struct.pack(">q", len(data)) + data
    return b"caff" + struct.pack(">HH", 1, 0) + body


def au(wave: Values, form: Form, variant: Variant, *, little: bool = False) -> bytes:
    """Sun's, or DEC's of the other byte order."""
    order = "<" if little else ">"
    encoding = {("int", 16): 3, ("int", 24): 4, ("int", 32): 5, ("float", 32): 6, ("float", 64): 7}
    note = b"a note\0\0"
    data = packed(wave, form, order)
    size = len(data) if variant.size is None else variant.size
    code = encoding[form.kind, form.bits]
    head = struct.pack(order + "5I", 24 + len(note), size, code, RATE_HZ, len(wave))
    return (b"dns." if little else b".snd") + head + note + data


def voc(wave: Values, form: Form, variant: Variant) -> bytes:
    """Creative Voice of 16 bits: a new block for the first piece, and continuations."""
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x114, 0x111F)
    body = b""
    for number, part in enumerate(pieces(wave, variant.cuts)):
        data = packed(part, form, "<")
        if not number:
            data = struct.pack("<IBBHI", RATE_HZ, form.bits, len(wave), 4, 0) + data
        body += bytes([2 if number else 9]) + len(data).to_bytes(3, "little") + data
    return head + body + b"\0"


def nist(wave: Values, form: Form, variant: Variant) -> bytes:
    """NIST SPHERE."""
    fields = [
        "sample_rate -i " + str(RATE_HZ),
        "channel_count -i " + str(len(wave)),
        "sample_n_bytes -i " + str(form.value_bytes),
        f"sample_byte_format -s{form.value_bytes} " + "10" * (form.value_bytes // 2),
        "sample_coding -s3 pcm",
    ]
    if variant.size is None:
        fields.append(f"sample_count -i {wave.shape[1]}")
    head = "NIST_1A\n   1024\n" + "\n".join(fields) + "\nend_head\n"
    return head.encode().ljust(1024) + packed(wave, form, ">")


@dataclass(frozen=True)
class Builder:
    """A container: how it is built, and what its formats, chunks and writers allow.

    sizes: by which writers say that they do not know the length.
    """

    name: str
    build: Callable[[Values, Form, Variant], bytes]
    forms: tuple[Form, ...] = FORMS
    cuts: bool = True
    sizes: tuple[int, ...] = ()
    chunks: tuple[bytes, ...] = ()


_RIFF_SIZES = (0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFF00, 0x80000000)
_WAV_CHUNKS = (b"JUNK", b"bext", b"note", b"PAD ")

BUILDERS = (
    Builder("WAV", wav, sizes=_RIFF_SIZES, chunks=_WAV_CHUNKS),
    Builder("RIFX", lambda w, f, v: wav(w, f, v, b"RIFX"), sizes=_RIFF_SIZES, chunks=_WAV_CHUNKS),
    Builder(
        "RF64", lambda w, f, v: wav(w, f, v, b"RF64"), sizes=((1 << 64) - 1,), chunks=_WAV_CHUNKS
    ),
    Builder("BW64", lambda w, f, v: wav(w, f, v, b"BW64"), chunks=_WAV_CHUNKS),
    Builder("W64", w64, sizes=((1 << 63) - 1, (1 << 64) - 1), chunks=(b"bext", b"junk")),
    Builder("AIFF", aiff, sizes=(0x7F000008, 0xFFFFFFFF), chunks=(b"NAME", b"ANNO", b"APPL")),
    Builder("sowt", lambda w, f, v: aiff(w, f, v, little=True), forms=FORMS[:3]),
    Builder("CAF", caf, sizes=(-1,), chunks=(b"free", b"uuid")),
    Builder("CAF little", lambda w, f, v: caf(w, f, v, little=True), sizes=(-1,)),
    Builder("AU", au, cuts=False, sizes=(0xFFFFFFFF,)),
    Builder("AU little", lambda w, f, v: au(w, f, v, little=True), cuts=False),
    Builder("VOC", voc, forms=FORMS[:1]),
    Builder("NIST", nist, forms=FORMS[:3], cuts=False, sizes=(0,)),
)
