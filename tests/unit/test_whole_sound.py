"""Sound of known values, in every container and variant: whole, refused or warned of.

Never short and silent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.decode import Decoder, survey
from bridge.audio.leniency import STRICT, Leniency
from bridge.audio.probe import probe
from bridge.errors import BounceError
from tests.hypothesis_profiles import examples
from tests.sound_files import BUILDERS, FORMS, Form, Variant, values, wave_list

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES = 3000


def id3(padding: int, version: int = 4) -> bytes:
    size = bytes(padding >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + size + bytes(padding)


def ape(*, header: bool) -> bytes:
    item = struct.pack("<II", 4, 0) + b"Title\0Song"
    fields = struct.pack("<4I8x", 2000, len(item) + 32, 1, 0)
    flags = 0xA0000000 if header else 0
    head = b"APETAGEX" + struct.pack("<4I8x", 2000, len(item) + 32, 1, flags)
    foot = b"APETAGEX" + fields[:12] + struct.pack("<I8x", 0x80000000 if header else 0)
    return (head if header else b"") + item + foot


FRONT = {
    "": b"",
    "ID3": id3(50),
    "two ID3": id3(30) + id3(99, 3),
    "APE": ape(header=True),
    "ID3 and zeros": id3(20) + bytes(77),
    "zeros": bytes(512),
}
JUNK = {"bytes": bytes(range(128, 256)) * 3, "text": b"no chunk \0 at all", "one": b"\xff" * 9}
BEHIND = {
    "": b"",
    "ID3v1": b"TAG" + b"Song".ljust(125, b"\0"),
    "APE": ape(header=False),
    "APE and ID3v1": ape(header=True) + b"TAG" + bytes(125),
    "zeros": bytes(1000),
}


@dataclass(frozen=True)
class Made:
    """A file that is in order in its own way: how it was made, its bytes, its sound."""

    name: str
    data: bytes = field(repr=False)
    wave: NDArray[np.float32] = field(repr=False)
    open_ended: bool


def outcome(path: Path, data: bytes, leniency: Leniency = STRICT) -> NDArray[np.float32] | str:
    """The sound without a word, "warned" or "refused"."""
    path.write_bytes(data)
    try:
        decoder = Decoder(path, probe(path, leniency), block_frames=1000, leniency=leniency)
        blocks = list(decoder)
        found = survey(decoder)
    except BounceError:
        return "refused"
    sound = np.concatenate(blocks, axis=1)
    assert found.frames == sound.shape[1]
    return "warned" if list(found.all_warnings()) else sound


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "bounce"


@st.composite
def files(draw: st.DrawFn, *, plain: bool = False) -> Made:
    """plain: in one piece, so that nothing is worth a warning."""
    builder = draw(st.sampled_from(BUILDERS))
    form = draw(st.sampled_from(builder.forms))
    frames, channels = draw(st.integers(1300, FRAMES)), draw(st.integers(1, 3))
    wave = values(frames, channels, form, seed=draw(st.integers(0, 5)))
    size = draw(st.sampled_from((None, *builder.sizes)))
    cuts: tuple[int, ...] = ()
    if builder.cuts and size is None and not plain:
        cuts = tuple(draw(st.lists(st.integers(1, frames - 1), max_size=3, unique=True)))
    named = st.tuples(st.sampled_from(builder.chunks or (b"x",)), st.binary(max_size=40))
    some = st.lists(named, max_size=2).map(tuple) if builder.chunks else st.just(())
    after = () if size is not None else draw(some)
    variant = Variant(cuts=cuts, size=size, before=draw(some), after=after)
    front = draw(st.sampled_from(sorted(FRONT)))
    behind = draw(st.sampled_from(sorted(BEHIND)))
    data = FRONT[front] + builder.build(wave, form, variant) + BEHIND[behind]
    name = f"{front} + {builder.name} {form} {variant} + {behind}"
    return Made(name, data, wave, open_ended=size is not None)


@settings(max_examples=examples(300))
@given(files())
def test_every_variant_comes_back_whole(path: Path, made: Made) -> None:
    path.write_bytes(made.data)
    decoder = Decoder(path, probe(path), block_frames=1000)
    sound = np.concatenate(list(decoder), axis=1)
    rest = sound[:, made.wave.shape[1] :]
    assert np.array_equal(sound[:, : made.wave.shape[1]], made.wave)
    # Zeros behind sound of unknown length are silence.
    assert not rest.size or (made.open_ended and made.name.endswith("zeros") and not rest.any())


@settings(max_examples=examples(300))
@given(files(), st.sampled_from(sorted(JUNK)))
def test_junk_behind_a_file_is_reported(path: Path, made: Made, junk: str) -> None:
    found = outcome(path, made.data + JUNK[junk])
    if not isinstance(found, str):
        # Behind sound of unknown length there is no junk but sound.
        assert made.open_ended
        assert np.array_equal(found[:, : made.wave.shape[1]], made.wave)


@settings(max_examples=examples(300))
@given(files(), files(), st.sampled_from(["", "ID3v1", "zeros"]))
def test_joined_files_are_never_short_and_silent(
    path: Path, first: Made, second: Made, between: str
) -> None:
    found = outcome(path, first.data + BEHIND[between] + second.data)
    if not isinstance(found, str):
        # Nothing tells where sound of unknown length ends, and all that follows is in it.
        assert first.open_ended
        assert np.array_equal(found[:, : first.wave.shape[1]], first.wave)
        assert found.shape[1] > first.wave.shape[1]


@settings(max_examples=examples(300))
@given(st.data())
def test_joined_files_of_one_form_are_read_as_one(path: Path, data: st.DataObject) -> None:
    builder = data.draw(st.sampled_from(BUILDERS))
    form = data.draw(st.sampled_from(builder.forms))
    sizes = data.draw(st.lists(st.integers(1300, 2000), min_size=2, max_size=4))
    waves = [values(frames, 2, form, seed=frames) for frames in sizes]
    between = data.draw(st.sampled_from(["", "ID3v1", "zeros"]))
    parts = [builder.build(wave, form, Variant()) for wave in waves]
    path.write_bytes(BEHIND[between].join(parts))
    info = probe(path)
    decoder = Decoder(path, info, block_frames=1000)
    assert np.array_equal(np.concatenate(list(decoder), axis=1), np.concatenate(waves, axis=1))
    assert any("joined into one" in warning for warning in survey(decoder).all_warnings())


@settings(max_examples=examples(300))
@given(files(), st.floats(0, 1), st.booleans())
def test_a_cut_file_is_refused_or_reported(
    path: Path, made: Made, share: float, lenient: bool
) -> None:
    if made.open_ended:
        return  # nobody can tell where such a file was cut
    cut = made.data[: int(len(made.data) * share)]
    found = outcome(path, cut, Leniency(accept_truncated=lenient))
    if not isinstance(found, str):
        assert np.array_equal(found, made.wave)


def test_a_silence_without_measure_is_refused(tmp_path: Path) -> None:
    """Twelve bytes can claim a day of it, which is no sound that is missing."""
    path = tmp_path / "bounce.wav"
    path.write_bytes(wave_list(values(100, 2, FORMS[0]), FORMS[0], [0xFFFFFFF0, 1]))
    for leniency in (STRICT, Leniency(accept_truncated=True)):
        with pytest.raises(BounceError, match=r"claims 4,294,967,281 frames of silence"):
            probe(path, leniency)


@pytest.mark.parametrize("form", FORMS[:3])
def test_a_wave_list_has_its_silences(tmp_path: Path, form: Form) -> None:
    """The standard: a silence holds the last value before it, so that it does not click."""
    wave = values(2000, 2, form)
    path = tmp_path / "bounce.wav"
    path.write_bytes(wave_list(wave, form, [500, 700]))
    sound = np.concatenate(list(Decoder(path, probe(path), block_frames=333)), axis=1)
    first, second = wave[:, :1000], wave[:, 1000:]
    held = [np.repeat(part[:, -1:], count, 1) for part, count in ((first, 500), (second, 700))]
    assert np.array_equal(sound, np.concatenate([first, held[0], second, held[1]], axis=1))
