"""The half of a channel that sends: what Twisted's ``Request`` and ours write their answers to.

It has the methods that Twisted's ``HTTPChannel`` has for its requests.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from onec_twisted.http.peer import peer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IAddress
    from twisted.web.http import Request
    from twisted.web.http_headers import Headers

    from onec_twisted.http.head import Head
    from onec_twisted.http.interfaces import IPeer

__all__ = ["Sending", "show_headers"]


def show_headers(request: Request, head: Head) -> None:
    """Give the headers and cookies of a head to a ``Request`` of Twisted's, which its own channel would give it."""
    for name, values in head.fields.items():
        request.requestHeaders.setRawHeaders(name, values)
    request.parseCookies()


@implementer(IPushProducer)
class Sending(Protocol):
    """A connection that answers are written to; it holds a peer back that does not read them.

    To its transport it is a producer: a peer that does not read its answers cannot have further requests answered.
    """

    transport: Any
    persistent = True
    """Whether the connection may serve another request after this one."""

    is_answering = False
    """Whether the whole request has been received, and its answer is not complete."""

    is_full = False
    """Whether the peer does not read what we have written."""

    _peer: IAddress | None = None
    _stream: Any = None
    """The producer of an answer that is streamed."""

    def connectionMade(self) -> None:
        """Send small answers at once, and hear when the peer does not read."""
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            with suppress(OSError):  # Twisted 24 takes a unix socket for TCP
                transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)

    def getPeer(self) -> IAddress:
        """Return the address of the client; call it only once data has come, as a PROXY header may report another."""
        if self._peer is None:
            self._peer = self.transport.getPeer()
        return self._peer

    def peer(self) -> IPeer:
        """Return the peer, to ask whether it still waits; see ``IBody.peer``."""
        return peer_of(self.transport)

    def getHost(self) -> IAddress:
        """Return the address that the client has connected to."""
        host: IAddress = self.transport.getHost()
        return host

    def isSecure(self) -> bool:
        """Return whether the connection is TLS."""
        return bool(ISSLTransport.providedBy(self.transport))

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        self.transport.write(data)

    def writeSequence(self, parts: Iterable[bytes]) -> None:
        """Send bytes of an answer, in parts."""
        self.transport.writeSequence(parts)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send the head of an answer, for Twisted's ``Request``."""
        lines = [b"%s %s %s" % (version, code, reason)]
        lines += [b"%s: %s" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        if not self.persistent and version == b"HTTP/1.1":
            lines.append(b"Connection: close")
        self.transport.write(b"\r\n".join((*lines, b"", b"")))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause and resume the producer of an answer as the peer reads it; ``streaming`` is true."""
        self._stream = producer

    def unregisterProducer(self) -> None:
        """Forget the producer: the answer has been written."""
        self._stream = None

    def pauseProducing(self) -> None:
        """Produce nothing more, and receive no more requests."""
        self.is_full = True
        if self._stream is not None:
            self._stream.pauseProducing()
        if not self.is_answering:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: the peer has read what was written."""
        self.is_full = False
        if self._stream is not None:
            self._stream.resumeProducing()
        if not self.is_answering:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Produce nothing more: the connection has ended."""
        if self._stream is not None:
            self._stream.stopProducing()
