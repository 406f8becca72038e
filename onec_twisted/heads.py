"""Bounds for the beginnings of a site's answers, which Twisted's client takes whatever their size.

It gathers header lines without end, logs each 1xx answer, and waits for the next. Here a connection passes a head on
when all of it is there and it is no 1xx; what is too long ends the connection. Of what follows little is read in one
turn of the reactor, as chunks of one byte cost a call each.
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

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["LONGEST", "MOST_LINES", "BoundedHeads", "BoundedPool", "HeadRefused"]

LONGEST = 64 * 1024
"""Bytes of a head, together with the 1xx answers before it."""

MOST_LINES = 200

READ = 8 * 1024
"""Bytes that are read from a site in one turn of the reactor."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d\.\d ([1-9])\d\d(?:[ \r]|$)")


class HeadRefused(Exception):
    """An answer begins with what nobody should take; the words say what."""


class BoundedHeads(ProtocolWrapper):
    """A connection to a site, between its transport and Twisted's client."""

    _head: bytearray | None = None
    """The head as far as it has come; None while a body does."""
    _seen = 0
    _refused: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        """Read little at once."""
        below = transport
        while isinstance(below, Protocol):  # TLS
            below = below.transport
        below.bufferSize = READ
        super().makeConnection(transport)

    def expect(self) -> None:
        """Take what comes next for the head of an answer."""
        self._head, self._seen = bytearray(), 0

    def dataReceived(self, data: bytes) -> None:
        """Pass a body on; hold a head until it is whole."""
        if self._refused is not None:
            return
        if self._head is None:
            super().dataReceived(data)
            return
        begun = max(0, len(self._head) - 2)
        self._head += data
        while (end := _END.search(self._head, begun)) is not None:
            head = bytes(self._head[: end.end()])
            self._seen += len(head)
            status = _STATUS.match(head.split(b"\n", 1)[0])
            if status is None:
                self._refuse("its answer is not HTTP")
                return
            if self._seen > LONGEST or head.count(b"\n") > MOST_LINES:
                break
            if status[1] != b"1":  # RFC 9110 section 15.2: others may be passed over
                whole, self._head = bytes(self._head), None
                super().dataReceived(whole)
                return
            del self._head[: len(head)]
            begun = 0
        if end is not None or self._seen + len(self._head) > LONGEST:
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
        """See ``IStreamClientEndpoint``: Twisted's client asks for its own protocol."""
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
