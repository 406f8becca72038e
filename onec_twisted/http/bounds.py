"""Bounds for a site's answers, which Twisted's client takes whatever they begin with.

It gathers header lines without end, logs each 1xx answer and waits for the next, and has several calls for each chunk
of a byte. Here a connection passes a head on when all of it is there and it is no 1xx, and chunks as few large ones;
what is too long ends the connection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.http.chunked import Chunked, MalformedChunks

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["LONGEST_HEAD", "MOST_LINES", "BoundedHeads", "BoundedPool", "HeadRefused"]

LONGEST_HEAD = 64 * 1024
"""Bytes of a head, together with the 1xx answers before it."""

MOST_LINES = 200

READ_SIZE = 8 * 1024
"""Bytes that are read from a site in one turn of the reactor."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d\.\d ([1-9])\d\d(?:[ \r]|$)")

_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*chunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class HeadRefused(Exception):
    """An answer begins, or goes on, with what nobody should take; the words say what."""


class BoundedHeads(ProtocolWrapper):
    """A connection to a site, between its transport and Twisted's client."""

    _head: bytearray | None = None
    """The head as far as it has come; None while a body does."""
    _seen = 0
    _chunks: Chunked | None = None
    """The chunks of a body that has some."""
    _refused: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        """Read little at once."""
        below = transport
        while isinstance(below, Protocol):  # TLS
            below = below.transport
        below.bufferSize = READ_SIZE
        super().makeConnection(transport)

    def expect(self) -> None:
        """Take what comes next for the head of an answer."""
        self._head, self._seen, self._chunks = bytearray(), 0, None

    def dataReceived(self, data: bytes) -> None:
        """Pass a body on; hold a head until it is whole."""
        if self._refused is None:
            if self._head is None:
                self._pass_on(data)
            else:
                self._head += data
                self._look(self._head, max(0, len(self._head) - len(data) - 2))

    def _pass_on(self, data: bytes, head: bytes = b"") -> None:
        """Pass on what has come of a body, behind its head."""
        if self._chunks is not None:
            self._chunks.feed(data)
            try:
                decoded, _ = self._chunks.decode(LONGEST_HEAD)  # more than can be in what is read at once
            except MalformedChunks as error:
                self._refuse(f"its answer is malformed: {error}")
                return
            data = b"%x\r\n%s\r\n" % (len(decoded), decoded) if decoded else b""
            if self._chunks.ended:
                data += b"0\r\n\r\n" + self._chunks.rest
                self._chunks = None
        if head or data:
            super().dataReceived(head + data)

    def _look(self, held: bytearray, begun: int) -> None:
        """Look for the end of a head in what is held, from ``begun`` on."""
        while (end := _END.search(held, begun)) is not None:
            head = bytes(held[: end.end()])
            self._seen += len(head)
            status = _STATUS.match(head.split(b"\n", 1)[0])
            if status is None:
                self._refuse("its answer is not HTTP")
                return
            if self._seen > LONGEST_HEAD or head.count(b"\n") > MOST_LINES:
                break
            if status[1] != b"1":  # RFC 9110 section 15.2: others may be passed over
                self._head = None
                self._chunks = Chunked() if _CHUNKED.search(head) is not None else None
                self._pass_on(bytes(held[len(head) :]), head)
                return
            del held[: len(head)]
            begun = 0
        if end is not None or self._seen + len(held) > LONGEST_HEAD:
            self._refuse("the headers of its answer are too long")

    def _refuse(self, words: str) -> None:
        self._refused = Failure(HeadRefused(words))
        self._head = None
        self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell why; a head that broke off is passed on first, as it shows that there was an answer."""
        if self._refused is None and self._head:
            head, self._head = bytes(self._head), None
            super().dataReceived(head)
        super().connectionLost(self._refused or reason)


@implementer(IStreamClientEndpoint)
@frozen
class _Bounded:
    """An endpoint whose connections are bounded, and no events in the log."""

    endpoint: Any

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect with bounds around the protocol that Twisted's client asks for."""
        factory.noisy = False
        wrapping: Any = WrappingFactory(factory)
        wrapping.noisy = False
        wrapping.protocol = BoundedHeads
        connected: Deferred[Any] = self.endpoint.connect(wrapping)
        return connected.addCallback(lambda made: made.wrappedProtocol)


@frozen
class BoundedPool:
    """A pool for an Agent, around an ``HTTPConnectionPool`` that does not retry by itself."""

    pool: Any

    @property
    def persistent(self) -> bool:
        """Return whether connections serve more than one request."""
        return bool(self.pool.persistent)

    def getConnection(self, key: Any, endpoint: Any) -> Deferred[Any]:
        """Return a connection for one request."""
        connected: Deferred[Any] = self.pool.getConnection(key, _Bounded(endpoint))
        return connected.addCallback(_expecting)


def _expecting(connection: Any) -> Any:
    connection.transport.expect()
    return connection
