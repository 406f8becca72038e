"""Speaks HTTP/1.1 with nodes: to the letter where a request ends, patiently where real nodes need it, and in time.

It uses private names of ``twisted.web.http.HTTPChannel``; ``tests/http/test_http_request.py`` pins them for the
oldest and the newest Twisted:

* ``_abortingCall``: ends a connection by force, and is cancelled when it has ended;
* ``_receivedHeaderSize``: 0 before the request line;
* ``_respondToBadRequestAndDisconnect``: called for whatever is no HTTP;
* ``_networkProducer``: the transport, or what stands for one that cannot be paused;
* ``_transferDecoder``: finds the end of a body; ``_finishRequestBody`` is told what came behind it;
* ``_savedTimeOut``: the idle time-out that it sets again when a request is done;
* ``_dataBuffer``: what came while a request was being answered; ``_buffer``: what of a read is still to be looked at.
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
"""Bytes of a Content-Length header; Python refuses to read numbers of thousands of digits."""

SURPLUS_TIMEOUT = 5
"""Seconds that a connection has that is one too many."""

TLS = b"\x16"
"""What a client that speaks TLS begins with, and no request does (RFC 8446 section 5.1)."""

REQUEST_COST = 512
"""What a request costs that came behind another, in units of ``Allowance``."""

MOST_READS = 256
"""Reads that are kept one by one, while a request is being answered; each costs memory beside its bytes."""

_RAW = re.compile(rb"[ \x7f-\xff]")


def _first_received(channel: ExchangeChannel, data: bytes) -> None:
    """Take what a connection brings first: who speaks TLS would wait for an answer until its time is over."""
    del channel.dataReceived
    if data.startswith(TLS):
        channel.refuse(TlsNotSpoken())
    else:
        channel.dataReceived(data)


@implementer(IConnection, IHandshakeListener)
class ExchangeChannel(HTTPChannel):
    """Speaks HTTP/1.1 with a node, and says ``failure`` to whatever is none."""

    server: Server
    open_answers: OpenAnswers
    _entry: Entry
    _head_begun = False
    _shakes_hands = False

    abortTimeout = 5
    """Seconds after which a connection that we closed is gone, whatever its peer does."""

    is_open = False
    """Whether its peer is there, and we have not closed it."""

    def connectionMade(self) -> None:
        """Count the connection; one too many has little time to say what it wants, and to hear why not."""
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
        """Treat it as any other connection from here on."""
        self._shakes_hands = False
        if not self._entry.is_one_too_many:
            self.setTimeout(REST_TIMEOUT)

    def is_one_too_many(self, address: str | None) -> bool:
        """Return whether an address, which a PROXY header may have told since, has more connections than it may."""
        if address != self._entry.address:
            self._entry.enter(address)
        return self._entry.is_one_too_many

    def resetTimeout(self) -> None:
        """Count the time of a head from its first byte on: what drips in does not prolong it."""
        if self.timeOut is not None and not self._head_begun:
            self._head_begun = True
            if not self._entry.is_one_too_many:
                self.setTimeout(self.server.limits.header_timeout)

    def head_ended(self) -> None:
        """Stop the time of the head: while a body comes, the time-outs are the body's."""
        newcomers = self.server.newcomers
        newcomers.leaves(self)
        self.setTimeout(None)
        self._head_begun = False

    def body_ended(self) -> None:
        """Note that all of a request has come: once it is answered, the connection may rest again."""
        self.head_ended()
        self._savedTimeOut = REST_TIMEOUT

    def timeoutConnection(self) -> None:
        """Close a connection that nobody uses; tell the sender of half a head why."""
        if self._shakes_hands:
            self.server.refuse(HeadersTimedOut(), self.getPeer())  # nobody can read it: it is counted and logged
            self.abort()
        elif self._head_begun:
            self.refuse(HeadersTimedOut())
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass it on to the requests, and to the answers on their way."""
        super().connectionLost(reason)
        server = self.server
        self.is_open = False
        server.connections.total -= 1
        server.newcomers.leaves(self)
        self._entry.leave()
        self.open_answers.lost()

    def loseConnection(self) -> None:
        """Close the connection: when what was written is on its way, or by force.

        TLS waits for the peer's word, and reads what it sends meanwhile; TCP waits for it to read our answer.
        """
        self.is_open = False
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def abort(self) -> None:
        """End the connection at once, without a word, and take nothing more from it."""
        self.is_open = False
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS still passes data on
        transport: Any = self.transport
        transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head; in a request line, blanks and letters that are not encoded are encoded.

        Nodes put file names into the URL as they are (docs/protocol.md).
        """
        if self._receivedHeaderSize == 0 and not line:
            self._head_begun = False  # an empty line behind the request before it begins nothing
            if self.timeOut is not None and not self._entry.is_one_too_many:
                self.setTimeout(REST_TIMEOUT)
            if self._buffer:
                self.resetTimeout()
        elif self._receivedHeaderSize == 0:
            self.resetTimeout()  # of a head that came with the request before it
            if _RAW.search(line):
                method, _, rest = line.partition(b" ")
                target, _, version = rest.rpartition(b" ")
                line = b" ".join((method, _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], target), version))
        super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; the number of a Content-Length has a reasonable length."""
        if line[:15].lower() == b"content-length:" and len(line) > LONGEST_CONTENT_LENGTH:
            self._respondToBadRequestAndDisconnect()
            return False
        taken: bool = super().headerReceived(line)
        return taken

    def allHeadersReceived(self) -> None:
        """Refuse a head that leaves open where its request ends, or whom it is for; decode chunks in our own way.

        What follows such a head would be the next request to us, and a body to a proxy before us (RFC 9112 sections
        3.2, 6.1 and 11.2).
        """
        headers, is_newest = self.requests[-1].requestHeaders, self._version == b"HTTP/1.1"
        coding = headers.getRawHeaders(b"transfer-encoding")
        hosts = len(headers.getRawHeaders(b"host", ()))
        is_sound = coding is None or (
            is_newest and [one.lower() for one in coding] == [b"chunked"] and not headers.hasHeader(b"content-length")
        )
        if not is_sound or hosts > 1 or (is_newest and not hosts):
            self._respondToBadRequestAndDisconnect()
            self.length = None  # nothing is taken for its body
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
        """Take bytes of a body, or what comes while a request is being answered."""
        if len(self._dataBuffer) > MOST_READS:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        super().rawDataReceived(data)

    def requestDone(self, request: Any) -> None:
        """Go on with the next request; of those that have come already, so many are taken at a time."""
        allowance = self.server.allowance
        has_come = bool(self._buffer) or any(self._dataBuffer)
        if has_come and self.persistent and not allowance.take(REQUEST_COST):
            allowance.wait(partial(self._next_request, request))
        else:
            self._next_request(request)

    def _next_request(self, request: Any, granted: int = 0) -> None:
        """Go on, where the allowance has ``granted`` that or did not need to; rest until a head has come whole."""
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
        """Refuse a line that does not end."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer what is no HTTP in the protocol's words."""
        self.refuse(MalformedRequest())

    def refuse(self, refused: Refused) -> None:
        """Answer what is no whole request, unless it has been answered already, and close."""
        self.setTimeout(None)
        for request in self.requests:
            request.give_up()
        if not (self.requests and self.requests[-1].startedWriting):
            self.write(self.server.refuse(refused, self.getPeer()))
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS still passes data on
        self.loseConnection()
