"""Limits on a site's answers, which Twisted's client does not have.

Twisted's client collects header lines without end, logs each 1xx answer and waits for the next, and makes several
calls for each one-byte chunk. A connection here passes on a head once it is complete and not 1xx, and merges chunks
into few large ones; an answer that is too long ends the connection.
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
"""Bytes of a head, including the 1xx answers before it."""

MOST_LINES = 200

READ_SIZE = 8 * 1024
"""Bytes that are read from a site in one iteration of the reactor."""

TINY_READ = 2 * 1024
"""As many while it sends tiny chunks: each chunk takes as long as hundreds of bytes, and others wait meanwhile."""

TINY_CHUNK = 64
"""Bytes; smaller chunks are tiny."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d\.\d ([1-9])\d\d(?:[ \r]|$)")

_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*chunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class HeadRefused(Exception):
    """An answer has an unacceptable head or malformed chunks; the message says what is wrong."""


class BoundedHeads(ProtocolWrapper):
    """A connection to a site, between its transport and Twisted's client."""

    _head: bytearray | None = None
    """The head as far as received; None while a body is being received."""
    _seen = 0
    _chunks: Chunked | None = None
    """The decoder of a chunked body."""
    _refused: Failure | None = None
    _below: Any
    """The transport without TLS."""

    def makeConnection(self, transport: Any) -> None:
        """Read a little at a time."""
        below = transport
        while isinstance(below, Protocol):  # TLS
            below = below.transport
        self._below = below
        below.bufferSize = READ_SIZE
        super().makeConnection(transport)

    def expect(self) -> None:
        """Parse the following bytes as the head of an answer."""
        self._head, self._seen, self._chunks = bytearray(), 0, None

    def dataReceived(self, data: bytes) -> None:
        """Pass a body on; hold a head until it is complete."""
        if self._refused is None:
            if self._head is None:
                self._pass_on(data)
            else:
                self._head += data
                self._look(self._head, max(0, len(self._head) - len(data) - 2))

    def _pass_on(self, data: bytes, head: bytes = b"") -> None:
        """Pass on received bytes of a body, after its head."""
        if self._chunks is not None:
            self._chunks.feed(data)
            try:
                decoded, count = self._chunks.decode(LONGEST_HEAD)  # more than one read can contain
            except MalformedChunks as error:
                self._refuse(f"its answer is malformed: {error}")
                return
            self._below.bufferSize = TINY_READ if count * TINY_CHUNK > len(decoded) else READ_SIZE
            data = b"%x\r\n%s\r\n" % (len(decoded), decoded) if decoded else b""
            if self._chunks.ended:
                data += b"0\r\n\r\n" + self._chunks.rest
                self._chunks = None
        if head or data:
            super().dataReceived(head + data)

    def _look(self, held: bytearray, begun: int) -> None:
        """Search the held bytes for the end of a head, from ``begun`` on."""
        while (end := _END.search(held, begun)) is not None:
            head = bytes(held[: end.end()])
            self._seen += len(head)
            status = _STATUS.match(head.split(b"\n", 1)[0])
            if status is None:
                self._refuse("its answer is not HTTP")
                return
            if self._seen > LONGEST_HEAD or head.count(b"\n") > MOST_LINES:
                break
            if status[1] != b"1":  # RFC 9110 section 15.2: 1xx may be ignored
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
        """Report why; an incomplete head is passed on first, as it shows that there was an answer."""
        if self._refused is None and self._head:
            head, self._head = bytes(self._head), None
            super().dataReceived(head)
        super().connectionLost(self._refused or reason)


@implementer(IStreamClientEndpoint)
@frozen
class _Bounded:
    """An endpoint whose connections have limits, and are not logged."""

    endpoint: Any

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, with limits around the protocol that Twisted's client requests."""
        factory.noisy = False
        wrapping: Any = WrappingFactory(factory)
        wrapping.noisy = False
        wrapping.protocol = BoundedHeads
        connected: Deferred[Any] = self.endpoint.connect(wrapping)
        return connected.addCallback(lambda made: made.wrappedProtocol)


@frozen
class BoundedPool:
    """A pool for an Agent, wrapping an ``HTTPConnectionPool`` that does not retry."""

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
