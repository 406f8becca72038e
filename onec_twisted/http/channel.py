"""HTTP/1.1 with nodes: strict about where a request ends, lenient where real nodes need it, with time-outs.

It uses private names of ``twisted.web.http.HTTPChannel``; ``tests/http/test_http_request.py`` pins them for the
oldest and the newest Twisted:

* ``_abortingCall``: aborts a connection, and is cancelled when it has ended;
* ``_receivedHeaderSize``: 0 before the request line;
* ``_respondToBadRequestAndDisconnect``: called for anything that is not HTTP;
* ``_networkProducer``: the transport, or a stand-in for one that cannot be paused;
* ``_transferDecoder``: finds the end of a body; ``_finishRequestBody`` receives what came after it;
* ``_savedTimeOut``: the idle time-out that is set again when a request is done;
* ``_dataBuffer``: what came while a request was being answered; ``_buffer``: the part of a read not parsed yet.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from onec_twisted.http.acknowledgement import OpenAnswers
from onec_twisted.http.chunked import ChunkedBody
from onec_twisted.http.connections import Entry
from onec_twisted.http.interfaces import IConnection
from onec_twisted.http.server import REST_TIMEOUT
from onec_twisted.http.sockets import RecordReads
from onec_twisted.model.errors import HeadersTimedOut, MalformedRequest, TlsNotSpoken

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.http.server import Server
    from onec_twisted.model.errors import Refused

__all__ = ["ExchangeChannel"]

LONGEST_CONTENT_LENGTH = 64
"""Bytes of a Content-Length header; Python refuses to parse numbers of thousands of digits."""

SURPLUS_TIMEOUT = 5
"""Seconds that a connection over the limit may stay open."""

TLS = b"\x16"
"""First byte from a client that speaks TLS, which no request starts with (RFC 8446 section 5.1)."""

REQUEST_COST = 512
"""Cost of a pipelined request, in units of ``Allowance``."""

MOST_READS = 256
"""Reads that are kept separately while a request is being answered; each costs memory on top of its bytes."""

_RAW = re.compile(rb"[ \x7f-\xff]")


def _first_received(channel: ExchangeChannel, data: bytes) -> None:
    """Take a connection's first bytes: a client that speaks TLS would otherwise wait until it times out."""
    del channel.dataReceived
    if data.startswith(TLS):
        channel.refuse(TlsNotSpoken())
    else:
        channel.dataReceived(data)


@implementer(IConnection, IHandshakeListener)
class ExchangeChannel(HTTPChannel):
    """Speaks HTTP/1.1 with a node, and answers ``failure`` to anything that is not HTTP."""

    server: Server
    open_answers: OpenAnswers
    _entry: Entry
    _head_begun = False
    _shakes_hands = False

    abortTimeout = 5
    """Seconds after which a connection that we closed is aborted, whatever its peer does."""

    is_open = False
    """Whether the peer is connected, and we have not closed the connection."""

    def connectionMade(self) -> None:
        """Count the connection; one over the limit has little time to send a request and receive the refusal."""
        super().connectionMade()
        server = self.server
        self.is_open = True
        self.open_answers = OpenAnswers(self.transport)
        self._entry = Entry(server.connections)
        server.connections.total += 1
        self._entry.enter(getattr(self.getPeer(), "host", None))
        self._shakes_hands = self.isSecure()
        if self._entry.is_one_too_many:
            self.setTimeout(SURPLUS_TIMEOUT)
        elif self._shakes_hands:
            self.setTimeout(server.limits.header_timeout)
        if self._shakes_hands:
            self.dataReceived = RecordReads(self.transport).before(self.dataReceived)  # type: ignore[method-assign]
        else:
            self.dataReceived = partial(_first_received, self)  # type: ignore[method-assign]
        server.newcomers.comes(self, self._entry.address)

    def handshakeCompleted(self) -> None:
        """Treat it like any other connection from now on."""
        self._shakes_hands = False
        if not self._entry.is_one_too_many:
            self.setTimeout(REST_TIMEOUT)

    def is_one_too_many(self, address: str | None) -> bool:
        """Return whether an address, which a PROXY header may have reported meanwhile, is over its limit."""
        if address != self._entry.address:
            self._entry.enter(address)
        return self._entry.is_one_too_many

    def resetTimeout(self) -> None:
        """Start the head's time-out at its first byte: bytes that trickle in do not extend it."""
        if self.timeOut is not None and not self._head_begun:
            self._head_begun = True
            if not self._entry.is_one_too_many:
                self.setTimeout(self.server.limits.header_timeout)

    def head_ended(self) -> None:
        """Stop the head's time-out: while a body is received, the body's time-outs apply."""
        newcomers = self.server.newcomers
        newcomers.leaves(self)
        self.setTimeout(None)
        self._head_begun = False

    def body_ended(self) -> None:
        """Note that the request is complete: once it is answered, the connection may be idle again."""
        self.head_ended()
        self._savedTimeOut = REST_TIMEOUT

    def timeoutConnection(self) -> None:
        """Close an idle connection; report the reason to the sender of an incomplete head."""
        if self._shakes_hands:
            self.server.refuse(HeadersTimedOut(), self.getPeer())  # only counted and logged: the peer cannot read it
            self.abort()
        elif self._head_begun:
            self.refuse(HeadersTimedOut())
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notify the requests, and the answers in transit."""
        super().connectionLost(reason)
        server = self.server
        self.is_open = False
        server.connections.total -= 1
        server.newcomers.leaves(self)
        self._entry.leave()
        self.open_answers.lost()

    def loseConnection(self) -> None:
        """Close the connection once everything written is sent, and abort it if that takes too long.

        TLS waits for the peer's close alert, and reads what it sends meanwhile; TCP waits for it to read our answer.
        """
        self.is_open = False
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def abort(self) -> None:
        """Abort the connection without an answer, and accept nothing more from it."""
        self.is_open = False
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS still passes data on
        transport: Any = self.transport
        transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head; percent-encode raw spaces and non-ASCII bytes in a request line.

        Nodes put file names into the URL unencoded (docs/protocol.md).
        """
        if self._receivedHeaderSize == 0 and not line:
            self._head_begun = False  # an empty line after the previous request starts no head
            if self.timeOut is not None and not self._entry.is_one_too_many:
                self.setTimeout(REST_TIMEOUT)
            if self._buffer:
                self.resetTimeout()
        elif self._receivedHeaderSize == 0:
            self.resetTimeout()  # for a head that came with the previous request
            if _RAW.search(line):
                method, _, rest = line.partition(b" ")
                target, _, version = rest.rpartition(b" ")
                line = b" ".join((method, _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], target), version))
        super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; refuse a Content-Length of too many digits."""
        if line[:15].lower() == b"content-length:" and len(line) > LONGEST_CONTENT_LENGTH:
            self._respondToBadRequestAndDisconnect()
            return False
        taken: bool = super().headerReceived(line)
        return taken

    def allHeadersReceived(self) -> None:
        """Refuse a head that is ambiguous about its request's end or host; use our own decoder for chunks.

        What follows such a head could be the next request to us, and a body to a proxy in front of us (RFC 9112
        sections 3.2, 6.1 and 11.2).
        """
        headers, is_newest = self.requests[-1].requestHeaders, self._version == b"HTTP/1.1"
        coding = headers.getRawHeaders(b"transfer-encoding")
        hosts = len(headers.getRawHeaders(b"host", ()))
        is_sound = coding is None or (
            is_newest and [one.lower() for one in coding] == [b"chunked"] and not headers.hasHeader(b"content-length")
        )
        if not is_sound or hosts > 1 or (is_newest and not hosts):
            self._respondToBadRequestAndDisconnect()
            self.length = None  # nothing is taken as its body
            return
        if coding is not None:
            self._transferDecoder = ChunkedBody(
                self._networkProducer,
                self.server.allowance,
                self.requests[-1].handleContentChunk,
                self._finishRequestBody,
                self._respondToBadRequestAndDisconnect,
                lambda: self.is_open,
            )
        super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body, or data that arrives while a request is being answered."""
        if len(self._dataBuffer) > MOST_READS:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        super().rawDataReceived(data)

    def requestDone(self, request: Any) -> None:
        """Continue with the next request; pipelined requests are limited by the allowance."""
        allowance = self.server.allowance
        has_come = bool(self._buffer) or any(self._dataBuffer)
        if has_come and self.persistent and not allowance.take(REQUEST_COST):
            allowance.wait(partial(self._next_request, request))
        else:
            self._next_request(request)

    def _next_request(self, request: Any, granted: int = 0) -> None:
        """Continue once the allowance has ``granted`` it, or at once if not needed; idle until a head is complete."""
        server = self.server
        if granted:
            allowance = server.allowance
            allowance.spend(REQUEST_COST)
            if not self.is_open:
                return
        if self.persistent:
            newcomers = server.newcomers
            newcomers.rests(self, self._entry.address)
        super().requestDone(request)
        if self._buffer:
            self.resetTimeout()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer anything that is not HTTP in the protocol's words."""
        self.refuse(MalformedRequest())

    def refuse(self, refused: Refused) -> None:
        """Answer an incomplete or malformed request, unless it has been answered already, and close."""
        self.setTimeout(None)
        for request in self.requests:
            request.give_up()
        if not (self.requests and self.requests[-1].startedWriting):
            self.write(self.server.refuse(refused, self.getPeer()))
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS still passes data on
        self.loseConnection()
