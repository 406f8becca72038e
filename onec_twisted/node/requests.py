"""The requests of one session, each with a time-out."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.http_headers import Headers

from onec_twisted.http.client import BodyReader, reason_of, was_cancelled
from onec_twisted.http.trust import certificate_refused
from onec_twisted.node.answers import NodeError, RawAnswer, Unreachable, Untrusted, busy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from treq.client import HTTPClient
    from twisted.internet.interfaces import IDelayedCall

    from onec_twisted.node.answers import Login

__all__ = ["Document", "Part", "Requests", "headers_of", "quoted"]

T = TypeVar("T")

USER_AGENT = "1C+Enterprise/8.3"
"""The platform's own User-Agent, which some sites check."""

READ_BLOCK = 64 * 1024
"""Bytes of a file read at a time, and most bytes held of a response that is not a document."""

ANSWER_LIMIT = 1024 * 1024
"""Most bytes read of an answer; orders have no limit."""


class Part(io.RawIOBase):
    """The ``size`` bytes of a file from ``start`` on; ``report`` receives the number of bytes read so far."""

    def __init__(self, file: BinaryIO, start: int, size: int, report: Callable[[int], None]) -> None:
        """Position at the start of the part."""
        self.error: OSError | None = None
        """Why the file could not be read."""
        self._file, self._start, self._size, self._place, self._report = file, start, size, 0, report

    def tell(self) -> int:
        """Return the position, relative to the start of the part."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, relative to the start or the end of the part."""
        self._place = offset + (self._size if whence == os.SEEK_END else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes. Raises ``OSError`` if the file became shorter."""
        left = self._size - self._place
        self._file.seek(self._start + self._place)
        data = self._file.read(min(left, size if size >= 0 else left))
        if len(data) < min(left, size if size >= 0 else left):
            self.error = OSError("the file became shorter while it was sent")
            raise self.error
        self._place += len(data)
        self._report(self._place)
        return data


@define(eq=False)
class Requests:
    """Sends requests to ``url`` as ``user``; ``login`` is the session, if any. ``timeout`` is in seconds."""

    reactor: Any
    client: HTTPClient
    url: str
    user: str
    password: str = field(repr=False)
    timeout: float
    login: Login | None = field(default=None, repr=False)
    _patience: IDelayedCall | None = field(default=None, init=False, repr=False)

    async def ask(
        self, method: str, query: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> RawAnswer:
        """Send a request once; return the answer. Raises ``Unreachable``."""
        response = await self.request(method, query, body, headers)
        received = bytearray()
        await self.read(response, received.extend, ANSWER_LIMIT)
        answer = RawAnswer(response.code, bytes(received), headers_of(response))
        busy = busy_of(answer)
        if busy is not None:
            raise busy
        return answer

    async def request(self, method: str, query: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Send a request; return the response, its body not read yet. Raises ``Unreachable``."""
        sent = {
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Authorization": "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii"),
            **(headers or {}),
        }
        url, host = without_ipv6(self.url)
        if host is not None:
            sent["Host"] = host
        if self.login is not None:
            sent["Cookie"] = self.login.cookie
            query += f"&sessid={quoted(self.login.sessid)}"
        requested: Deferred[Any] = self.client.request(
            method,
            f"{url}?{query}",
            headers=Headers({name: [value] for name, value in sent.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.reactor,
        )
        return await self._in_time(requested)

    async def read(self, response: Any, write: Callable[[bytes], object], limit: int | None) -> bool:
        """Pass the body of a response to ``write``; return whether its end is certain. Raises ``Unreachable``."""

        def take(data: bytes) -> None:
            self.alive()
            write(data)

        body = BodyReader(take, limit)
        response.deliverBody(body)
        return await self._in_time(body.ended)

    async def _in_time(self, requested: Deferred[T]) -> T:
        """Return the result, unless there is no activity within the time-out. Raises ``Unreachable``.

        Cancellation takes effect at once: the request itself may take time to end, or report another error; a
        cancelled DNS look-up, for instance, fails as an unknown name.
        """
        late, stopped = [], []

        def give_up() -> None:
            late.append(True)
            requested.cancel()

        def stop(_: Deferred[T]) -> None:
            stopped.append(True)
            requested.cancel()

        self._patience = self.reactor.callLater(self.timeout, give_up)
        coming: Deferred[T] = Deferred(stop)
        requested.addCallbacks(coming.callback, coming.errback)
        try:
            answer = await coming
            if stopped:
                raise CancelledError
            return answer
        except NodeError:
            if stopped:
                raise CancelledError from None
            raise
        except Exception as error:  # anything that the network, DNS, TLS or a broken site may raise
            if stopped or (was_cancelled(error) and not late):
                raise CancelledError from None  # the user pressed Ctrl-C
            reason = f"it did not answer within {self.timeout:.0f} s" if late else reason_of(error)
            kind = Unreachable if certificate_refused(error) is None else Untrusted
            raise kind(f"The site cannot be asked: {reason}") from error
        finally:
            if self._patience.active():
                self._patience.cancel()

    def alive(self) -> None:
        """Note activity: restart the time-out."""
        if self._patience is not None and self._patience.active():
            self._patience.reset(self.timeout)


class Document:
    """Passes a document on; the beginning of anything else is held for inspection."""

    def __init__(self, write: Callable[[bytes], object], is_ok: bool) -> None:
        """Wait for the first bytes."""
        self._write = write
        self._is_ok = is_ok
        self.held = b""
        self._tail = b""
        self.size = 0
        self.passes = False

    def take(self, data: bytes) -> None:
        """Process the next bytes."""
        self.size += len(data)
        self._tail = (self._tail + data)[-200:]
        if not self.passes:
            self.held = data = (self.held + data)[:READ_BLOCK]
            self.passes = self._is_ok and self.held.startswith(b"<?xml")
        if self.passes:
            self._write(data)

    def is_closed(self) -> bool:
        """Return whether the data ends like a complete document."""
        tail = self._tail.rstrip()
        return tail.endswith((_ends("utf-8"), _ends("cp1251"))) or (
            tail.endswith(b"/>") and self.size <= len(self._tail)
        )


def _ends(encoding: str) -> bytes:
    return "</КоммерческаяИнформация>".encode(encoding)


def without_ipv6(url: str) -> tuple[str, str | None]:
    """Return a URL for treq, and the Host header: treq rejects IPv6 addresses, so a name replaces them."""
    parts = urlsplit(url)
    if parts.hostname is None or ":" not in parts.hostname:
        return url, None
    return url.replace(f"[{parts.hostname}]", "ipv6.invalid", 1), parts.netloc


def headers_of(response: Any) -> dict[str, str]:
    """Return the headers of a response, in lower case."""
    raw = response.headers.getAllRawHeaders()
    return {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in raw}


def quoted(name: str) -> str:
    """Return a text percent-encoded for a query; 1C sends it unencoded."""
    return quote(name, safe="/:()")
