"""Decision whether a bounce is finished, and lengths in headers."""

from __future__ import annotations

import csv
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bridge.intake import settle
from bridge.intake.settle import LOCAL, POLLING, CheckAgain, FileHistory, Observation, Ready, Reason
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

FACTS = st.sampled_from([True, False, None])
TIMES = st.sampled_from([LOCAL, POLLING])
# A file state is (size, mtime_ns); few values, so that states also come back.
STATES = st.tuples(st.integers(1, 3), st.integers(1, 3))


def _tracked(looks: list[Observation]) -> FileHistory:
    track = FileHistory.first(looks[0])
    for look in looks[1:]:
        track = track.seen(look)
    return track


@given(FACTS, TIMES, st.floats(0, 1e6), STATES)
def test_one_look_without_a_close_is_never_enough(
    fact: bool | None, times: settle.SettleTimes, time_s: float, state: tuple[int, int]
) -> None:
    decision = settle.decide(FileHistory.first(Observation(*state, time_s)), fact, times)
    assert isinstance(decision, CheckAgain)
    assert decision.at_s > time_s


@given(
    st.lists(st.tuples(STATES, st.floats(0.001, 20)), min_size=2, max_size=30),
    FACTS,
    TIMES,
    st.floats(0, 1e5),
)
def test_ready_without_a_close_means_unchanged_for_the_stated_time(
    steps: list[tuple[tuple[int, int], float]],
    fact: bool | None,
    times: settle.SettleTimes,
    start_s: float,
) -> None:
    looks, now_s = list[Observation](), start_s
    for state, gap_s in steps:
        now_s += gap_s
        looks.append(Observation(*state, now_s))
    decision = settle.decide(_tracked(looks), fact, times)
    unchanged_since_s = now_s
    for look in reversed(looks):
        if not look.same_file_state(looks[-1]):
            break
        unchanged_since_s = look.time_s
    needed_s = times.riff_quiet_s if fact else times.quiet_s
    assert isinstance(decision, Ready) == (now_s >= unchanged_since_s + needed_s)


@given(st.lists(STATES, max_size=10), FACTS, TIMES, st.floats(0, 1e6), st.booleans())
def test_a_file_at_rest_becomes_ready(
    past: list[tuple[int, int]],
    fact: bool | None,
    times: settle.SettleTimes,
    now_s: float,
    closed: bool,
) -> None:
    track = _tracked([Observation(*state, now_s) for state in [*past, (9, 9)]])
    track = track.close() if closed else track
    began_s, looks = now_s, 0
    while isinstance(decision := settle.decide(track, fact, times), CheckAgain):
        assert decision.at_s > now_s  # or the caller would spin
        now_s = decision.at_s
        track = track.seen(Observation(9, 9, now_s))
        looks += 1
    assert now_s - began_s <= times.quiet_s + 1e-6
    assert looks <= 10


@given(st.lists(STATES, min_size=1, max_size=10), st.sampled_from([True, None]), TIMES)
def test_a_close_with_a_sound_header_is_enough_at_once(
    states: list[tuple[int, int]], fact: bool | None, times: settle.SettleTimes
) -> None:
    track = _tracked([Observation(*state, float(i)) for i, state in enumerate(states)]).close()
    assert settle.decide(track, fact, times) == Ready(Reason.CLOSED)


def test_a_close_does_not_vouch_for_a_header_that_disagrees() -> None:
    track = FileHistory.first(Observation(100, 1, 0.0)).close()
    assert settle.decide(track, riff_complete=False) == CheckAgain(0.5)
    track = track.seen(Observation(100, 1, 3.0))
    assert settle.decide(track, riff_complete=False) == Ready(Reason.QUIET)


def test_growth_after_a_close_cancels_it() -> None:
    track = FileHistory.first(Observation(100, 1, 0.0)).close().seen(Observation(200, 2, 0.1))
    assert isinstance(settle.decide(track, riff_complete=None), CheckAgain)
    # ... and so does a rewrite that ends at the same size
    track = FileHistory.first(Observation(100, 1, 0.0)).close().seen(Observation(100, 2, 0.1))
    assert isinstance(settle.decide(track, riff_complete=True), CheckAgain)


def test_a_close_outlasts_looks_that_find_nothing_new() -> None:
    track = FileHistory.first(Observation(100, 1, 0.0)).close().seen(Observation(100, 1, 0.2))
    assert settle.decide(track, riff_complete=True) == Ready(Reason.CLOSED)


def test_the_reason_names_the_sign() -> None:
    track = FileHistory.first(Observation(100, 1, 0.0)).seen(Observation(100, 1, 0.5))
    assert settle.decide(track, riff_complete=True) == Ready(Reason.COMPLETE)
    assert settle.decide(track, riff_complete=None) == CheckAgain(3.0)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        *(("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "FLOAT"), ("WAV", "PCM_U8")),
        *(("RF64", "PCM_24"), ("W64", "PCM_24"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT")),
    ],
)
def test_headers_of_real_writers_agree_only_with_the_whole_file(
    tmp_path: Path, container: str, subtype: str
) -> None:
    path = tmp_path / "bounce"
    soundfile.write(path, np.full(101, 0.5, np.float32), 48000, format=container, subtype=subtype)
    whole = path.read_bytes()
    header = whole[: settle.HEADER_BYTES]
    assert settle.header_complete(header, len(whole)) is True
    for size in (*range(len(header), len(whole) - 1), len(whole) + 2, len(whole) + 128):
        assert settle.header_complete(header, size) is False, size


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3", "CAF"])
def test_other_containers_say_nothing(tmp_path: Path, container: str) -> None:
    path = tmp_path / "bounce"
    soundfile.write(path, np.zeros(4800, np.float32), 48000, format=container)
    data = path.read_bytes()
    assert settle.header_complete(data[: settle.HEADER_BYTES], len(data)) is None


@pytest.mark.parametrize("claimed", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [44, 8 + 36, 4096, 1 << 20])
def test_a_riff_header_that_was_not_patched_yet_is_incomplete(claimed: int, size: int) -> None:
    header = b"RIFF" + struct.pack("<I", claimed) + b"WAVEfmt " + bytes(12)
    assert settle.header_complete(header, size) is False


@pytest.mark.parametrize(
    "header",
    [
        *(b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " for size in (
            *(0x7FFFF024, 0x7FFFFF24, 0x7FFFFFFF, 0x80000023, 0xFFFFFFDB),
        )),
        b"FORM" + struct.pack(">I", 0x7F000050) + b"AIFFCOMM",
        bytes.fromhex("726966662e91cf11a5d628db04c10000") + bytes([255] * 7 + [127]),
        bytes.fromhex("726966662e91cf11a5d628db04c10000") + bytes([255] * 8),
    ],
)  # fmt: skip
def test_a_length_that_is_not_known_waits_for_quiet(header: bytes) -> None:
    """Such a file is read to its end: nothing in it says that this is the end, only time does."""
    for size in (100, 88_244, 1 << 30):
        complete = settle.header_complete(header.ljust(settle.HEADER_BYTES, b"\0"), size)
        assert complete is False
    track = FileHistory.first(Observation(100, 1, 0.0)).close()
    assert isinstance(settle.decide(track, riff_complete=False), CheckAgain)


def test_an_rf64_is_measured_by_its_64_bit_length() -> None:
    size = 5_000_000_000

    def header(length: int) -> bytes:
        return b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<IQ", 28, length)

    assert settle.header_complete(header(size - 8), size) is True
    assert settle.header_complete(header(size - 8), size - 4096) is False
    assert settle.header_complete(header(0), size) is False


@given(st.binary(max_size=settle.HEADER_BYTES), st.integers(0, 1 << 40))
def test_any_bytes_give_an_answer(header: bytes, size: int) -> None:
    assert settle.header_complete(header, size) in {True, False, None}
    assert settle.header_complete(b"RIFF" + header, size) in {True, False}
    assert settle.header_complete(header, 0) is False


# Files of the corpus whose RIFF length is wrong by more than a pad byte: cut off, or with bytes
# behind the end. Every other RIFF there, all real bounces among them, is complete.
INCOMPLETE = {
    "crash-24728523ef4be15c838293b676f6853e73723bf4.wav",
    "crash-b8447179832529c48f9c6bf17feab6337bbc78ea.wav",
    "crash-cbd757427cea12bd8a21f86cd8cf74d98ce56bee.wav",
    "crash-e879de4eb4d206c59e21f0e01def16457af80fdc.wav",
    "oom-48ae4cd061ff8578ad3f23dc87624bd365cf5216.wav",
    "test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav",
    "test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav",
    "test-44100Hz-le-1ch-4bytes-early-eof.wav",
    "test-44100Hz-le-1ch-4bytes.wav",
    "waveformatex-8bit-11025Hz-mono.wav",
    "nonstandard-01.wav",
    "rect_24bit_nods64.wav",
    "noise_24bit_uneven_data_chunk_size.wav",
    "8bit-mulaw-8kHz-noBext-mono-encoded.wav",
}


def test_headers_of_the_corpus() -> None:
    corpus = require.corpus()
    incomplete, bounces = set(), 0
    with (corpus / "manifest.tsv").open(newline="") as listing:
        for row in csv.DictReader(listing, delimiter="\t"):
            path = corpus / row["file"]
            data = path.read_bytes()
            fact = settle.header_complete(data[: settle.HEADER_BYTES], len(data))
            if fact is False:
                incomplete.add(path.name)
            if "real DAW/recorder output" in row["odd"]:
                bounces += 1
                assert fact is True, path.name
    assert incomplete == INCOMPLETE
    assert bounces == 14
