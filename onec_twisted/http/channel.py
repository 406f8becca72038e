"""Speaks HTTP/1.1 with nodes: to the letter where a request ends, patiently where real nodes need it, and in time.

It uses private names of ``twisted.web.http.HTTPChannel``; ``tests/test_request.py`` pins them for the oldest and the
newest Twisted:

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
from twisted.web.http import RESPONSES, HTTPChannel
from zope.interface import implementer

from onec_twisted.http.answer import head_of
from onec_twisted.http.chunked import ChunkedBody
from onec_twisted.http.sockets import (
    RecordReads,
    SocketLine,
    WrittenLine,
    is_plain,
    line_of,
    write_now,
    write_through,
)
from onec_twisted.model.errors import HeadersTimedOut, MalformedRequest

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.site import GuardedSite
    from onec_twisted.model.errors import Refused

__all__ = ["REASONS", "ExchangeChannel"]

LONGEST_CONTENT_LENGTH = 64
"""Bytes of a Content-Length header; Python refuses to read numbers of thousands of digits."""

HURRY = 5
"""Seconds that a connection has that is one too many."""

REASONS = {423: b"Locked", 429: b"Too Many Requests", 460: b"Checksum Mismatch"}
"""What Twisted has no words for (RFC 4918 section 11.3, RFC 6585 section 4, tus 1.0.0)."""

REQUEST = 512
"""What a request costs that came behind another, in units of ``Allowance``."""

MOST_READS = 256
"""Reads that are kept one by one, while a request is being answered; each costs memory beside its bytes."""

_RAW = re.compile(rb"[ \x7f-\xff]")


@implementer(IHandshakeListener)
class ExchangeChannel(HTTPChannel):
    """Speaks HTTP/1.1 with a node, and says ``failure`` to whatever is none."""

    _acknowledgements: tuple[Acknowledgement, ...] = ()
    _line: SocketLine | None = None
    _reads: RecordReads
    _address: str | None = None
    _is_counted = False
    _one_too_many = False
    _head_begun = False
    _shakes_hands = False

    site: GuardedSite
    factory: GuardedSite
    abortTimeout = 5
    """Seconds after which a connection that we closed is gone, whatever its peer does."""

    is_open = False
    """Whether its peer is there, and we have not closed it."""

    def connectionMade(self) -> None:
        """Count the connection; one too many has little time to say what it wants, and to hear why not."""
        super().connectionMade()
        self.is_open = True
        self.site.connections.total += 1
        self._enter(getattr(self.getPeer(), "host", None))
        self._shakes_hands = self.isSecure()
        if self._one_too_many:
            self.setTimeout(HURRY)
        elif self._shakes_hands:
            self.setTimeout(self.site.limits.header_timeout)
        if self._shakes_hands:
            self._reads = RecordReads(self.transport)
            self.dataReceived = self._record_received  # type: ignore[method-assign]
        self.site.newcomers.comes(self, self._address)

    def _record_received(self, data: bytes) -> None:
        """Take what a record of TLS has brought."""
        self._reads.came(len(data))
        super().dataReceived(data)

    def handshakeCompleted(self) -> None:
        """See ``IHandshakeListener``: from here on it is a connection like any other."""
        self._shakes_hands = False
        if not self._one_too_many:
            self.setTimeout(self.site.timeOut)

    def _enter(self, address: str | None) -> None:
        """Count the connection for an address, unless that is a trusted proxy's or a unix socket."""
        connections = self.site.connections
        self._leave()
        self._address = address
        if address is not None and not connections.trusts(address):
            self._is_counted = connections.enter(address)
            self._one_too_many = not self._is_counted

    def _leave(self) -> None:
        """Count the connection no more."""
        if self._is_counted and self._address is not None:
            self.site.connections.leave(self._address)
        self._is_counted = self._one_too_many = False

    def is_one_too_many(self, address: str | None) -> bool:
        """Return whether an address, which a PROXY header may have told since, has more connections than it may."""
        if address != self._address:
            self._enter(address)
        return self._one_too_many

    def resetTimeout(self) -> None:
        """Count the time of a head from its first byte on: what drips in does not prolong it."""
        if self.timeOut is not None and not self._head_begun:
            self._head_begun = True
            if not self._one_too_many:
                self.setTimeout(self.site.limits.header_timeout)

    def head_ended(self) -> None:
        """Stop the time of the head: while a body comes, the time-outs are the body's."""
        self.site.newcomers.leaves(self)
        self.setTimeout(None)
        self._head_begun = False

    def body_ended(self) -> None:
        """Note that all of a request has come: once it is answered, the connection may rest again."""
        self.head_ended()
        self._savedTimeOut = self.site.timeOut

    def timeoutConnection(self) -> None:
        """Close a connection that nobody uses; tell the sender of half a head why."""
        if self._shakes_hands:
            self._told(HeadersTimedOut())
            self.abort()
        elif self._head_begun:
            self.refuse(HeadersTimedOut())
        else:
            self.loseConnection()

    def send(self, data: bytes) -> None:
        """Write an answer, at once where nothing waits to be written before it: that spares the reactor a turn."""
        transport: Any = self.transport
        sent = write_now(transport, data)
        if sent < len(data):
            transport.write(data[sent:])

    def watch(self, acknowledgement: Acknowledgement) -> None:
        """See an answer that was written arrive."""
        self._acknowledgements = (*(one for one in self._acknowledgements if one.arrived is None), acknowledgement)
        try:
            self._line = self._line or line_of(self.transport)
        except OSError:
            return  # no descriptor left to ask by: it counts as open, and as lost when the connection ends
        line = self._line.shared() if self._line is not None else None
        if line is not None and not is_plain(self.transport):
            write_through(self.transport)
            acknowledgement.sent(WrittenLine(line))
        else:
            acknowledgement.sent(line)

    def look_at_acknowledgements(self) -> None:
        """Ask for answers that are on their way: a request that comes brings their acknowledgement with it."""
        for acknowledgement in self._acknowledgements:
            acknowledgement.look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the requests, and the answers on their way."""
        super().connectionLost(reason)
        self.is_open = False
        self.site.connections.total -= 1
        self.site.newcomers.leaves(self)
        self._leave()
        for acknowledgement in self._acknowledgements:
            acknowledgement.lost()
        if self._line is not None:
            self._line.close()

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

        Nodes put file names into the URL as they are (protocol.md, A.5 and B.1).
        """
        if self._receivedHeaderSize == 0 and not line:
            self._head_begun = False  # an empty line behind the request before it begins nothing
            if self.timeOut is not None and not self._one_too_many:
                self.setTimeout(self.site.timeOut)
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
                self.site.allowance,
                self.requests[-1].handleContentChunk,
                self._finishRequestBody,
                self._respondToBadRequestAndDisconnect,
                lambda: self.is_open,
            )
        super().allHeadersReceived()

    def body_producer(self) -> Any:
        """Return what holds the sender of the body back that comes next."""
        return self._networkProducer if self.length is not None else self._transferDecoder

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body, or what comes while a request is being answered."""
        if len(self._dataBuffer) > MOST_READS:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        super().rawDataReceived(data)

    def requestDone(self, request: Any) -> None:
        """Go on with the next request; of those that have come already, so many are taken at a time."""
        has_come = bool(self._buffer) or any(self._dataBuffer)
        if self.persistent and not has_come:
            self.site.newcomers.rests(self, self._address)
        if has_come and self.persistent and not self.site.allowance.take(REQUEST):
            self.site.allowance.wait(partial(self._next_request, request))
        else:
            super().requestDone(request)

    def _next_request(self, request: Any, _: int) -> None:
        """Go on with a request whose turn it is."""
        self.site.allowance.spend(REQUEST)
        if self.is_open:
            super().requestDone(request)

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
            answer = self._told(refused)
            reason = RESPONSES.get(answer.status) or REASONS[answer.status]
            self.write(head_of(answer, b"HTTP/1.1", reason, self.site.date(), closes=True) + answer.body)
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS still passes data on
        self.loseConnection()

    def _told(self, refused: Refused) -> Answer:
        """Return the answer to what is no whole request; it is counted, and told the log."""
        return self.site.refusal(refused, str(getattr(self.getPeer(), "host", "-")))
