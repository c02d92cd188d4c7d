"""Downloads from a real HTTP server that drops, lies and forgets."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from separator.weights.download import Download, SourceFailed, Unreachable
from tests.unit.weights_server import Server

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = os.urandom(3_000_000)
HALF = len(CONTENT) // 2


def download(server: Server, folder: Path, *, size_bytes: int | None = None) -> Download:
    return Download(server.url, folder / "model.part", size_bytes, timeout_s=5)


def test_whole(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None, str]] = []
    with Server(CONTENT) as server:
        job = download(server, tmp_path)
        job.run(lambda *call: calls.append(call), "model")
    assert job.part.read_bytes() == CONTENT
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[0] == (0, len(CONTENT), "model")
    assert calls[-1] == (len(CONTENT), len(CONTENT), "model")


def test_goes_on_after_a_drop(tmp_path: Path) -> None:
    with Server(CONTENT, drop_after=[HALF, HALF // 2]) as server:
        job = download(server, tmp_path, size_bytes=len(CONTENT))
        job.run(None, "model")
    assert job.part.read_bytes() == CONTENT
    assert server.sent_bytes == len(CONTENT)  # not a byte came twice
    assert [request.get("Range") for request in server.requests] == [
        None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"
    ]  # fmt: skip
    assert server.requests[1]["If-Range"] == '"first"'


def test_goes_on_in_a_later_run(tmp_path: Path) -> None:
    with Server(CONTENT, drop_after=[HALF, 0]) as server:
        with pytest.raises(SourceFailed, match="dropped"):
            download(server, tmp_path).run(None, "model")
        assert (tmp_path / "model.part").stat().st_size == HALF
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.part.read_bytes() == CONTENT
        assert server.sent_bytes == len(CONTENT)


@pytest.mark.parametrize("change", ["no ranges", "no validator", "another file"])
def test_starts_again_where_the_rest_cannot_be_had(tmp_path: Path, change: str) -> None:
    with Server(CONTENT, drop_after=[HALF, 0]) as server:
        if change == "no validator":
            server.etag = None
        with pytest.raises(SourceFailed):
            download(server, tmp_path).run(None, "model")
        if change == "no ranges":
            server.ranges = False
        elif change == "another file":
            server.etag, server.content = '"second"', CONTENT[::-1]
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.part.read_bytes() == server.content
        assert ("Range" in server.requests[-1]) == (change != "no validator")


def test_a_weak_validator_is_not_used(tmp_path: Path) -> None:
    with Server(CONTENT, etag='W/"first"', drop_after=[HALF]) as server:
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.part.read_bytes() == CONTENT
        assert "Range" not in server.requests[1]


@pytest.mark.parametrize("size_bytes", [None, len(CONTENT)])
def test_a_part_that_is_already_whole(tmp_path: Path, size_bytes: int | None) -> None:
    """The process was killed between the last byte and the check."""
    with Server(CONTENT) as server:
        download(server, tmp_path, size_bytes=size_bytes).run(None, "model")
        job = download(server, tmp_path, size_bytes=size_bytes)
        job.run(None, "model")
        assert job.part.read_bytes() == CONTENT
        assert server.sent_bytes == len(CONTENT)


def test_a_part_longer_than_the_file(tmp_path: Path) -> None:
    with Server(CONTENT) as server:
        download(server, tmp_path).run(None, "model")
        server.content = CONTENT[:HALF]
        with pytest.raises(SourceFailed, match="changed"):
            download(server, tmp_path).run(None, "model")
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.part.read_bytes() == server.content


def test_another_size_is_refused_before_it_comes(tmp_path: Path) -> None:
    """Such as the page of a hotel's network, which must not cost the half that is there."""
    with Server(CONTENT, drop_after=[HALF, 0]) as server:
        with pytest.raises(SourceFailed):
            download(server, tmp_path, size_bytes=len(CONTENT)).run(None, "model")
        server.content, server.etag = b"<html>", None
        with pytest.raises(SourceFailed, match=f"6 bytes on the server, not {len(CONTENT)}"):
            download(server, tmp_path, size_bytes=len(CONTENT)).run(None, "model")
        assert (tmp_path / "model.part").read_bytes() == CONTENT[:HALF]


@pytest.mark.parametrize("length", [HALF, len(CONTENT) + 1_000_000])
def test_a_server_that_states_no_length(tmp_path: Path, length: int) -> None:
    sent = (CONTENT * 2)[:length]
    with (
        Server(sent, chunked=True, etag=None, drop_after=[length, 0]) as server,
        pytest.raises(SourceFailed, match=r"dropped|more bytes than announced"),
    ):
        download(server, tmp_path, size_bytes=len(CONTENT)).run(None, "model")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_http_errors(tmp_path: Path, status: int) -> None:
    with Server(CONTENT, status=status) as server, pytest.raises(SourceFailed, match=str(status)):
        download(server, tmp_path).run(None, "model")
    assert len(server.requests) == 1


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(SourceFailed, match="refused"):
        Download(url, tmp_path / "model.part").run(None, "model")


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/x"
        with pytest.raises(SourceFailed, match="timed out"):
            Download(url, tmp_path / "model.part", timeout_s=0.2).run(None, "model")


def test_something_that_is_not_http(tmp_path: Path) -> None:
    with Server(CONTENT) as server:
        server.answer = lambda handler: handler.wfile.write(b"SSH-2.0-hello\r\n")  # type: ignore[method-assign,assignment]
        with pytest.raises(SourceFailed):
            download(server, tmp_path).run(None, "model")


@pytest.mark.parametrize("drops", [[], [HALF]])
def test_the_sum_that_a_redirection_states(tmp_path: Path, drops: list[int]) -> None:
    """The storage server behind it has its own ETag, with which the download goes on."""
    stated = "0123456789abcdef" * 4
    with Server(CONTENT, linked=stated, drop_after=drops) as server:
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.part.read_bytes() == CONTENT
        assert job.stated_sha256() == stated
        assert server.sent_bytes == len(CONTENT)
        job.discard()
        assert job.stated_sha256() is None


@pytest.mark.parametrize("stated", ["", "W/abc", "0123456789ABCDEF" * 4, "0123456789abcdef" * 5])
def test_what_is_no_sum(tmp_path: Path, stated: str) -> None:
    with Server(CONTENT, linked=stated) as server:
        job = download(server, tmp_path)
        job.run(None, "model")
        assert job.stated_sha256() is None


def test_nobody_there_is_told_apart(tmp_path: Path) -> None:
    with Server(CONTENT, status=503) as server:
        with pytest.raises(SourceFailed, match="503") as caught:
            download(server, tmp_path).run(None, "model")
        assert not isinstance(caught.value, Unreachable)
        server.close()
        with pytest.raises(Unreachable, match="refused"):
            download(server, tmp_path).run(None, "model")
    name = Download("https://name.invalid/x", tmp_path / "x.part", timeout_s=5)
    with pytest.raises(Unreachable):
        name.run(None, "model")
