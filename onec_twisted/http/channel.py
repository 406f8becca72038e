"""HTTP/1.1 with nodes: strict about where a request ends, lenient where real nodes need it, with time-outs.

Twisted's own channel parses a head line by line, and for each copies the rest of what was read: with a small piece
behind it, that is most of the work. This one parses a head at once. Its requests find what Twisted's channel would
show them, so that Twisted's ``Request`` works with it as well as ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from zope.interface import implementer

from onec_twisted.http.acknowledgement import OpenAnswers
from onec_twisted.http.alarm import Alarm
from onec_twisted.http.chunked import ChunkedBody
from onec_twisted.http.connections import Entry
from onec_twisted.http.handshakes import note_failed_handshake
from onec_twisted.http.head import MalformedHead, head_in
from onec_twisted.http.interfaces import IConnection
from onec_twisted.http.sending import Sending
from onec_twisted.http.server import REST_TIMEOUT
from onec_twisted.http.sockets import RecordReads
from onec_twisted.model.errors import HeadersTimedOut, MalformedRequest, TlsNotSpoken

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from onec_twisted.http.head import Head
    from onec_twisted.http.server import Server
    from onec_twisted.model.errors import Refused

__all__ = ["ExchangeChannel"]

SURPLUS_TIMEOUT = 5
"""Seconds that a connection over the limit may stay open."""

TLS = b"\x16"
"""First byte from a client that speaks TLS, which no request starts with (RFC 8446 section 5.1)."""

REQUEST_COST = 512
"""Cost of a pipelined request, in units of ``Allowance``."""

MOST_AHEAD = 16 * 1024
"""Bytes that may come while a request is being answered, before the sender is paused."""


@implementer(IConnection, IHandshakeListener)
class ExchangeChannel(Sending):
    """Speaks HTTP/1.1 with a node, and answers ``failure`` to anything that is not HTTP."""

    server: Server
    site: Any
    requestFactory: Any
    open_answers: OpenAnswers
    head: Head
    """The head of the last request."""
    record_reads: RecordReads
    """How much is read at a time with TLS."""

    request: Any = None
    """The request that is being received or answered."""

    sender: Any = None
    """What pauses and resumes the sender of its body."""

    is_open = False
    """Whether the peer is connected, and we have not closed the connection."""

    abortTimeout: float = 5
    """Seconds after which a connection that we closed is aborted, whatever its peer does."""

    _entry: Entry
    _alarm: Alarm
    _aborting: IDelayedCall | None = None
    _shakes_hands = False
    _head_begun = False
    _has_skipped = False
    """Whether there was an empty line before the head; one does no harm (RFC 9112 section 2.2)."""
    _came = b""
    """What was received and is still to be taken."""
    _searched = 0
    """Bytes of it that have been searched for the end of a head."""
    _is_taking = False
    _left = 0
    """Bytes of the body that are still to come, unless it comes in chunks."""
    _chunks: ChunkedBody | None = None

    def connectionMade(self) -> None:
        """Count the connection; one over the limit has little time to send a request and receive the refusal."""
        super().connectionMade()
        server = self.server
        self.is_open = True
        self.open_answers = OpenAnswers(self.transport)
        self._alarm = Alarm(server.clock, self._timed_out)
        self._entry = Entry(server.connections)
        server.connections.total += 1
        self._entry.enter(getattr(self.transport.getPeer(), "host", None))
        self._shakes_hands = self.isSecure()
        if self._shakes_hands:
            self._allow(server.limits.header_timeout)
            self.record_reads = RecordReads(self.transport)
            take_record: Any = self.record_reads.before(self.dataReceived)
            self.dataReceived = take_record  # type: ignore[method-assign]
        else:
            self._allow(REST_TIMEOUT)
        newcomers = server.newcomers
        newcomers.comes(self, self._entry.address)

    def _allow(self, seconds: float) -> None:
        """Time out in so many seconds; a connection over the limit has no more time than it had at first."""
        if not self._entry.is_one_too_many:
            self._alarm.set(seconds)
        elif not self._alarm.is_set:
            self._alarm.set(SURPLUS_TIMEOUT)

    def handshakeCompleted(self) -> None:
        """Treat it like any other connection from now on."""
        self._shakes_hands = False
        self._allow(REST_TIMEOUT)

    def is_one_too_many(self, address: str | None) -> bool:
        """Return whether an address, which a PROXY header may have reported meanwhile, is over its limit."""
        if address != self._entry.address:
            self._entry.enter(address)
        return self._entry.is_one_too_many

    def dataReceived(self, data: bytes) -> None:
        """Take heads, bodies, and what comes while a request is being answered; TLS also delivers after the end."""
        if self.is_open:
            self._came = self._came + data if self._came else data
            if not self._is_taking:
                self._take()

    def _take(self) -> None:
        """Take what has come, as far as possible now."""
        self._is_taking = goes_on = True
        try:
            while goes_on and self._came and self.is_open:
                if self.request is None:
                    goes_on = self._take_head()
                elif self.is_answering:
                    goes_on = False
                    if len(self._came) > MOST_AHEAD:
                        self.transport.pauseProducing()
                elif self._chunks is not None:
                    came, self._came = self._came, b""
                    self._chunks.dataReceived(came)
                else:
                    self.request.handleContentChunk(self.take_part())
                    if not self._left:
                        self._end_body()
        finally:
            self._is_taking = False

    def _take_head(self) -> bool:
        """Begin a request if its head is complete; return whether anything was taken."""
        came = self._came
        if came.startswith(b"\r\n") and not self._has_skipped:
            self._came, self._has_skipped, self._head_begun, self._searched = came[2:], True, False, 0
            self._allow(REST_TIMEOUT)
            return True
        if not self._head_begun:
            self._head_begun = True  # bytes that trickle in do not extend its time
            self._allow(self.server.limits.header_timeout)
            if came.startswith(TLS):
                self.refuse(TlsNotSpoken())  # it would wait until it times out
                return False
        searched, self._searched = self._searched, len(came)
        try:
            found = head_in(came, searched)
        except MalformedHead:
            self.refuse(MalformedRequest())
            return False
        if found is None:
            return False
        head, end = found
        self._came, self._searched, self._has_skipped = came[end:], 0, False
        self._begin(head)
        return True

    def _begin(self, head: Head) -> None:
        """Begin a request: its headers are complete."""
        self.head, self.persistent = head, head.stays
        self.request = request = self.requestFactory(self)
        if head.length is None:
            self.sender = self._chunks = ChunkedBody(
                self.transport,
                self.server.allowance,
                request.handleContentChunk,
                self._end_chunks,
                lambda: self.refuse(MalformedRequest()),
                lambda: self.is_open,
            )
        else:
            self.sender, self._left = self.transport, head.length
        request.gotLength(head.length)
        if not self._left and self._chunks is None:
            self._end_body()

    def take_part(self) -> bytes:
        """Take what has come of a body of known length, and return it."""
        part, left = self._came, self._left
        self._came = b""
        if len(part) > left:
            part, self._came = part[:left], part[left:]
        self._left = left - len(part)
        return part

    def body_moved(self, size: int) -> None:
        """Note that ``size`` bytes of the body were taken from the socket."""
        self._left -= size
        if not self._left:
            self._end_body()

    def _end_chunks(self, rest: bytes) -> None:
        """Note the end of a body in chunks, and what came after it."""
        self._chunks = None
        self._came = rest + self._came
        self._end_body()

    def _end_body(self) -> None:
        """Note that all of a request has come."""
        self.is_answering = True
        head = self.head
        self.request.requestReceived(head.method, head.target, head.version)

    def head_ended(self) -> None:
        """Stop the head's time-out: while a body is received, the body's time-outs apply."""
        newcomers = self.server.newcomers
        newcomers.leaves(self)
        self._alarm.stop()
        self._head_begun = False

    def requestDone(self, request: Any) -> None:
        """Continue with the next request; pipelined requests are limited by the allowance."""
        allowance = self.server.allowance
        if self._came and self.persistent and not allowance.take(REQUEST_COST):
            allowance.wait(self._next_request)
        else:
            self._next_request()

    def _next_request(self, granted: int = 0) -> None:
        """Continue once the allowance has ``granted`` it, or at once if not needed; idle until a head is complete."""
        newcomers = self.server.newcomers
        if granted:
            allowance = self.server.allowance
            allowance.spend(REQUEST_COST)
            if not self.is_open:
                return
        self.request, self.is_answering = None, False
        if not self.is_full:
            self.transport.resumeProducing()
        if not self.persistent:
            self.loseConnection()
            return
        newcomers.rests(self, self._entry.address)
        self._allow(REST_TIMEOUT)
        if not self._is_taking:
            self._take()

    def _timed_out(self) -> None:
        """Close an idle connection; report the reason to the sender of an incomplete head."""
        if self._shakes_hands:
            self.server.refuse(HeadersTimedOut(), self.getPeer())  # only counted and logged: the peer cannot read it
            self.abort()
        elif self._head_begun:
            self.refuse(HeadersTimedOut())
        else:
            self.loseConnection()

    def refuse(self, refused: Refused) -> None:
        """Answer an incomplete or malformed request, unless it has been answered already, and close."""
        request = self.request
        if request is not None:
            request.give_up()
        if request is None or not request.startedWriting:
            self.write(self.server.refuse(refused, self.getPeer()))
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close the connection once everything written is sent, and abort it if that takes too long.

        TLS waits for the peer's close alert, and reads what it sends meanwhile; TCP waits for it to read our answer.
        """
        self.is_open = False
        self._alarm.stop()
        transport, clock = self.transport, self.server.clock
        if self._aborting is None:
            self._aborting = clock.callLater(self.abortTimeout, transport.abortConnection)
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """Abort the connection without an answer, and accept nothing more from it."""
        self.is_open = False
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notify the request, and the answers in transit."""
        connections, newcomers = self.server.connections, self.server.newcomers
        self.is_open = False
        self._alarm.end()
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        connections.total -= 1
        newcomers.leaves(self)
        self._entry.leave()
        if self._shakes_hands:
            note_failed_handshake(reason, self._entry.address or "-", self.server.seldom)
        if self.request is not None:
            self.request.connectionLost(reason)
        self.open_answers.lost()
