"""A real HTTP server for the tests of weights: ranges, dropped connections, wrong answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


@dataclass
class Server:
    """Serves `content` at every path but those of `others`; use as a context manager.

    drop_after: of each answer so many bytes are sent, then the connection is closed; one entry is
        used up by each request. ranges: whether Range is understood. etag: None sends no validator.
    linked: the sha256 that it states, as the hub does: by a redirection to another address.
    """

    content: bytes
    ranges: bool = True
    etag: str | None = '"first"'
    drop_after: list[int] = field(default_factory=list)
    status: int | None = None
    chunked: bool = False
    linked: str | None = None
    others: dict[str, bytes] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    sent_bytes: int = 0

    def __enter__(self) -> Server:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *_: object) -> None:
                """Keeps the test output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves nobody at the address."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/model.tar.gz"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(handler.headers))
        handler.close_connection = True
        if self.status is not None:
            handler.send_response(self.status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.linked is not None and not handler.path.startswith("/storage/"):
            handler.send_response(302)
            handler.send_header("Location", f"/storage{handler.path}")
            handler.send_header("X-Linked-ETag", f'"{self.linked}"')
            handler.send_header("ETag", '"of the redirection"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = self._start(handler)
        if start and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.others.get(handler.path, self.content)[start:]
        handler.send_response(206 if start else 200)
        if start:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if not self.chunked:
            handler.send_header("Content-Length", str(len(body)))
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        sent = body[: self.drop_after.pop(0)] if self.drop_after else body
        self.sent_bytes += len(sent)  # first: the client may go on once it has the last byte
        handler.wfile.write(sent)

    def _start(self, handler: BaseHTTPRequestHandler) -> int:
        asked = handler.headers.get("Range")
        if not asked or not self.ranges or handler.headers.get("If-Range") != self.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))
