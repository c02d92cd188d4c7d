"""Guarded streams: writes that fail are noted, characters that are lacking become ASCII."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.show import json_result
from bridge.system import standard_streams

ENCODINGS = ["ascii", "cp1252", "iso8859-15", "cp437", "koi8-r", "utf-8", "shift_jis", "utf-16-le"]


class Raw(io.RawIOBase):
    """A raw stream that answers writes from a list: a count, None, or an error to raise."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers = list(answers)
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int | None:
        answer = self.answers.pop(0) if self.answers else len(data)
        if isinstance(answer, Exception):
            raise answer
        self.taken += bytes(data)[: answer or 0]
        return answer


def text_over(device: standard_streams.Device, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(device), encoding, standard_streams.ERRORS)


@pytest.fixture(autouse=True)
def _handler() -> None:
    codecs.register_error(standard_streams.ERRORS, standard_streams.in_ascii)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EBADF, "Bad file descriptor"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("I/O operation on closed file"),
    ],
)
def test_a_write_that_fails_is_noted_and_the_next_one_tried(error: Exception) -> None:
    raw = Raw(error)
    device = standard_streams.Device(raw)
    heard: list[Exception] = []
    device.on_loss = heard.append
    out = text_over(device)
    for line in ("one\n", "two\n", "three\n"):
        out.write(line)
        out.flush()
    assert raw.taken == b"two\nthree\n"
    assert device.lost is error
    assert heard == [error]


def test_short_writes_are_completed() -> None:
    raw = Raw(1, 2)
    out = text_over(standard_streams.Device(raw))
    out.write("a long line\n")
    out.flush()
    assert raw.taken == b"a long line\n"


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    """As of a parent program that has set our end to non-blocking."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    device = standard_streams.Device(io.FileIO(write, "wb"))
    text, taken = "x" * 300_000, bytearray()

    def take() -> None:
        while data := os.read(read, 4096):
            taken.extend(data)

    reader = threading.Thread(target=take)
    reader.start()
    out = text_over(device)
    out.write(text)
    out.flush()
    os.close(write)
    reader.join()
    os.close(read)
    assert device.lost is None
    assert taken.decode() == text


def test_a_stream_that_was_closed_at_the_start_is_lost_with_the_first_write() -> None:
    raw = Raw()
    device = standard_streams.Device(raw, closed=True)
    out = text_over(device)
    out.flush()
    assert device.lost is None
    out.write("x")
    out.flush()
    assert isinstance(device.lost, OSError)
    assert raw.taken == b""


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(deadline=None)
@given(text=st.text(st.characters()))  # lone surrogates too
def test_every_text_can_be_printed_in_every_encoding(encoding: str, text: str) -> None:
    raw = Raw()
    out = text_over(standard_streams.Device(raw), encoding)
    out.write(text)
    out.flush()
    raw.taken.decode(encoding)


def test_what_we_print_is_readable_in_ascii() -> None:
    raw = Raw()
    out = text_over(standard_streams.Device(raw), "ascii")
    out.write("Mix é → Stems (5.4× real time) ╭─┬─╮│ █░ …")
    out.flush()
    assert raw.taken.decode() == r"Mix \xe9 -> Stems (5.4x real time) +-+-+| #. ..."


def test_a_decoding_error_is_not_ours() -> None:
    error = UnicodeDecodeError("ascii", b"\xff", 0, 1, "no")
    with pytest.raises(UnicodeDecodeError):
        standard_streams.in_ascii(error)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]) | st.just("\udce9")))
def test_json_stays_what_it_says_in_every_encoding(encoding: str, text: str) -> None:
    raw = Raw()
    with pytest.MonkeyPatch.context() as patch:
        out = text_over(standard_streams.Device(raw), encoding)
        patch.setattr("sys.stdout", out)
        json_result({"path": text})
        out.flush()
    assert json.loads(raw.taken.decode(encoding)) == {"path": text}


@pytest.mark.parametrize(
    ("error", "code", "after"),
    [
        (OSError(errno.ENOSPC, "full"), 0, 1),
        (OSError(errno.ENOSPC, "full"), 2, 2),
        (OSError(errno.EPIPE, "gone"), 0, standard_streams.READER_GONE),
        (OSError(errno.EPIPE, "gone"), 1, 1),
        (None, 0, 0),
        (None, 1, 1),
    ],
)
def test_the_exit_code_follows_from_what_was_lost(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError | None,
    code: int,
    after: int,
) -> None:
    device = standard_streams.Device(Raw())
    device.lost = error
    monkeypatch.setattr(standard_streams, "_output", device)
    assert standard_streams.finish(code) == after
    said = capsys.readouterr().err
    full = error is not None and error.errno == errno.ENOSPC
    assert said == ("stembridge: standard output cannot be written (full)\n" if full else "")


def test_where_the_work_counts_a_loss_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for early in (True, False):
        device = standard_streams.Device(Raw(OSError(errno.EIO, "terminal gone")))
        monkeypatch.setattr(standard_streams, "_output", device)
        if early:
            device.write(b"x")
        standard_streams.keep_exit_code()
        device.write(b"x")
        device.write(b"x")
        assert standard_streams.finish(0) == 0
        assert capsys.readouterr().err.splitlines() == [
            "stembridge: standard output cannot be written (terminal gone); the work goes on"
        ]
