"""Resumable HTTP download, also across runs (RFC 9110, sections 13.1.5 and 14).

The server's validator (ETag or date) is kept beside the partial file, so that the server sends
the rest only if its file is unchanged, and the whole file otherwise.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

from separator.errors import WeightsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPMessage, HTTPResponse
    from pathlib import Path
    from typing import IO

    Progress = Callable[[int, int | None, str], None]

CONNECT_S = 10.0  # timeout of the connection and of each read
BLOCK_BYTES = 1 << 18
MAX_BYTES = 4 << 30  # limit for files without a catalogued size; the largest has 2.6 GB
MAX_DROPS = 20  # lost connections in one call; a later call resumes
LINKED_ETAG = "X-Linked-ETag"  # the Hugging Face hub's header with a large file's sha256
SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class SourceFailed(WeightsUnavailable):
    """One source failed; the message is the bare reason."""


class Unreachable(SourceFailed):
    """No connection to the host; other files there need no attempt."""


class _DropError(Exception):
    """The connection was lost during the transfer."""


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    url: its address. part: the partial file, complete when `run` returns. size_bytes: its expected
    size, if known. timeout_s: of the connection and of each read.
    """

    url: str
    part: Path
    size_bytes: int | None = None
    timeout_s: float = CONNECT_S

    def run(self, progress: Progress | None, label: str) -> None:
        """Fetch the file, resuming after lost connections; checks the size, not the content.

        Raises:
            SourceFailed: no connection, an HTTP error, or another size than expected.
        """
        for _ in range(MAX_DROPS):
            before = self._have()
            if before and before == self.size_bytes:
                return
            try:
                self._attempt(before, progress, label)
            except _DropError as drop:
                if self._have() <= before:
                    raise SourceFailed(f"the connection dropped ({drop})") from None
            else:
                return
        raise SourceFailed(f"the connection dropped {MAX_DROPS} times")

    def discard(self) -> None:
        """Delete the partial file and its validator."""
        self.part.unlink(missing_ok=True)
        self._validator_file.unlink(missing_ok=True)

    def stated_sha256(self) -> str | None:
        """The file's sha256 from the server's headers, or None; valid after `run`."""
        found = SHA256.fullmatch(self._saved().get("sha256", ""))
        return found[1] if found else None

    @property
    def _validator_file(self) -> Path:
        return self.part.with_suffix(".validator")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _saved(self) -> dict[str, str]:
        """Headers of the response that the partial file came from; empty for another address."""
        try:
            saved = json.loads(self._validator_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = isinstance(saved, dict) and saved.get("url") == self.url
        return {str(key): str(value) for key, value in saved.items()} if known else {}

    def _attempt(self, have: int, progress: Progress | None, label: str) -> None:
        request = urllib.request.Request(self.url)
        validator = self._saved().get("validator")
        if have and validator:
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", validator)
        try:
            redirects = _Redirects()
            opener = urllib.request.build_opener(redirects)
            with opener.open(request, timeout=self.timeout_s) as response:
                start, total = self._accept(response, have)
                self._keep(response, response.headers.get(LINKED_ETAG) or redirects.linked)
                self._receive(response, start, total, progress, label)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 416 or not have:
                raise SourceFailed(f"HTTP {error.code} {one_line_reason(error.reason)}") from None
            if error.headers.get("Content-Range") != f"bytes */{have}":  # else it is complete
                self.discard()
                raise SourceFailed("the file has changed on the server; try again") from None
        except urllib.error.URLError as error:
            raise Unreachable(one_line_reason(error.reason)) from None
        except (TimeoutError, ConnectionError, HTTPException) as error:
            raise SourceFailed(one_line_reason(error)) from None

    def _accept(self, response: HTTPResponse, have: int) -> tuple[int, int | None]:
        """Start of this response in the file, and the file's total size or None."""
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        start = 0
        if response.status == 206:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != have:
                self.discard()
                raise SourceFailed("the server sent another range than requested; try again")
            start, total = have, int(found[3])
        if self.size_bytes is not None and total not in {None, self.size_bytes}:
            raise SourceFailed(f"it has {total} bytes on the server, not {self.size_bytes}")
        if (total or 0) > MAX_BYTES:
            raise SourceFailed(f"it has {total} bytes on the server, more than any model")
        return start, total

    def _receive(
        self,
        response: HTTPResponse,
        start: int,
        total: int | None,
        progress: Progress | None,
        label: str,
    ) -> None:
        limit = total or self.size_bytes or MAX_BYTES
        done = start
        with self.part.open("ab" if start else "wb") as file:
            while True:
                if progress is not None:
                    progress(done, total or self.size_bytes, label)
                try:
                    block = response.read1(BLOCK_BYTES)
                except (OSError, HTTPException) as error:
                    raise _DropError(one_line_reason(error)) from None
                if not block:
                    break
                done += len(block)
                if done > limit:
                    raise SourceFailed("the server sends more bytes than announced")
                file.write(block)
        whole = total or self.size_bytes
        if whole is not None and done < whole:
            raise _DropError(f"{done} of {whole} bytes received")

    def _keep(self, response: HTTPResponse, linked: str | None) -> None:
        tag = response.headers.get("ETag")
        if not tag or tag.startswith("W/"):  # weak tags are not allowed for ranges
            tag = response.headers.get("Last-Modified")
        facts = {"url": self.url, "validator": tag, "sha256": linked}
        known = {key: value for key, value in facts.items() if value is not None}
        self._validator_file.write_text(json.dumps(known), encoding="utf-8")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirect handler that keeps the sha256 from the first response.

    The hub redirects to a storage server, which does not send the sum.
    """

    linked: str | None = None

    def redirect_request(  # noqa: PLR0917  (the signature is the standard library's)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.linked = self.linked or headers.get(LINKED_ETAG)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def one_line_reason(error: object) -> str:
    """One short line of text from an exception or a message."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:160]
