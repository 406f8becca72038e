"""The requests of one session, each answered in time or not at all."""

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
"""What the platform calls itself; some sites look at it."""

READ_BLOCK = 64 * 1024
"""Bytes of a file that are read at a time, and of a document that is none."""

ANSWER_LIMIT = 1024 * 1024
"""Bytes of an answer that are read; orders have no limit."""


class Part(io.RawIOBase):
    """Bytes of a file from ``start`` on, ``size`` of them; ``told`` hears how many were read so far."""

    def __init__(self, file: BinaryIO, start: int, size: int, told: Callable[[int], None]) -> None:
        """Begin at the part's beginning."""
        self.error: OSError | None = None
        """Why the file could not be read."""
        self._file, self._start, self._size, self._place, self._told = file, start, size, 0, told

    def tell(self) -> int:
        """Return the place, from the part's beginning."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place from the part's beginning, or its end."""
        self._place = offset + (self._size if whence == os.SEEK_END else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes. Raises ``OSError`` when the file has become shorter."""
        left = self._size - self._place
        self._file.seek(self._start + self._place)
        data = self._file.read(min(left, size if size >= 0 else left))
        if len(data) < min(left, size if size >= 0 else left):
            self.error = OSError("the file became shorter while it was sent")
            raise self.error
        self._place += len(data)
        self._told(self._place)
        return data


@define(eq=False)
class Requests:
    """Asks ``url`` as ``user``; ``login`` is the session, when there is one. ``timeout`` is in seconds."""

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
        """Ask once. Raises ``Unreachable``."""
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
        asked: Deferred[Any] = self.client.request(
            method,
            f"{url}?{query}",
            headers=Headers({name: [value] for name, value in sent.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.reactor,
        )
        return await self._in_time(asked)

    async def read(self, response: Any, write: Callable[[bytes], object], limit: int | None) -> bool:
        """Give the body of a response to ``write``; return whether its end is certain. Raises ``Unreachable``."""

        def take(data: bytes) -> None:
            self.alive()
            write(data)

        body = BodyReader(take, limit)
        response.deliverBody(body)
        return await self._in_time(body.ended)

    async def _in_time(self, asked: Deferred[T]) -> T:
        """Return what comes, unless nothing moves for too long. Raises ``Unreachable``.

        Whoever wants the end has it at once: what was asked may need its time for that, or call it by another name,
        as a name server's answer that nobody waits for is no such name.
        """
        late, stopped = [], []

        def give_up() -> None:
            late.append(True)
            asked.cancel()

        def stop(_: Deferred[T]) -> None:
            stopped.append(True)
            asked.cancel()

        self._patience = self.reactor.callLater(self.timeout, give_up)
        coming: Deferred[T] = Deferred(stop)
        asked.addCallbacks(coming.callback, coming.errback)
        try:
            answer = await coming
            if stopped:
                raise CancelledError
            return answer
        except NodeError:
            if stopped:
                raise CancelledError from None
            raise
        except Exception as error:  # whatever a network, a name server, TLS or a broken site can raise
            if stopped or (was_cancelled(error) and not late):
                raise CancelledError from None  # somebody pressed Ctrl-C
            reason = f"it did not answer within {self.timeout:.0f} s" if late else reason_of(error)
            kind = Unreachable if certificate_refused(error) is None else Untrusted
            raise kind(f"The site cannot be asked: {reason}") from error
        finally:
            if self._patience.active():
                self._patience.cancel()

    def alive(self) -> None:
        """Note that something moves."""
        if self._patience is not None and self._patience.active():
            self._patience.reset(self.timeout)


class Document:
    """Passes a document on; what is none is held for a look at it."""

    def __init__(self, write: Callable[[bytes], object], is_ok: bool) -> None:
        """Wait for the first bytes."""
        self._write = write
        self._is_ok = is_ok
        self.held = b""
        self._tail = b""
        self.size = 0
        self.passes = False

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._tail = (self._tail + data)[-200:]
        if not self.passes:
            self.held = data = (self.held + data)[:READ_BLOCK]
            self.passes = self._is_ok and self.held.startswith(b"<?xml")
        if self.passes:
            self._write(data)

    def is_closed(self) -> bool:
        """Return whether it ends as a document does."""
        tail = self._tail.rstrip()
        return tail.endswith((_ends("utf-8"), _ends("cp1251"))) or (
            tail.endswith(b"/>") and self.size <= len(self._tail)
        )


def _ends(encoding: str) -> bytes:
    return "</КоммерческаяИнформация>".encode(encoding)


def without_ipv6(url: str) -> tuple[str, str | None]:
    """Return a URL that treq understands, and the Host header: it takes no IPv6 address, so a name stands for it."""
    parts = urlsplit(url)
    if parts.hostname is None or ":" not in parts.hostname:
        return url, None
    return url.replace(f"[{parts.hostname}]", "ipv6.invalid", 1), parts.netloc


def headers_of(response: Any) -> dict[str, str]:
    """Return the headers of a response, in lower case."""
    raw = response.headers.getAllRawHeaders()
    return {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in raw}


def quoted(name: str) -> str:
    """Return a text fit for a query; 1C writes it as it is."""
    return quote(name, safe="/:()")
