"""Speaks HTTP/1.1 with nodes: takes request lines that Twisted refuses and real nodes send, and watches over time.

It uses private names of ``twisted.web.http.HTTPChannel``; ``tests/test_request.py`` pins them for the oldest and the
newest Twisted:

* ``_abortingCall``: ends a connection by force, and is cancelled when it has ended;
* ``_receivedHeaderSize``: 0 before the request line;
* ``_respondToBadRequestAndDisconnect``: called for whatever is no HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.web.http import RESPONSES, HTTPChannel

from onec_twisted.errors import HeadersTimedOut, MalformedRequest
from onec_twisted.sockets import SocketLine, is_plain, line_of, write_now
from onec_twisted.wire import head_of

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.delivery import Delivery
    from onec_twisted.errors import Refused
    from onec_twisted.site import ExchangeSite

__all__ = ["ExchangeChannel"]

TLS_FLUSH = 0.01
"""Seconds after which Twisted's TLS has handed an answer to TCP: it gathers small writes for a turn."""

LONGEST_CONTENT_LENGTH = 64
"""Bytes of a Content-Length header; Python refuses to read numbers of thousands of digits."""

HURRY = 5
"""Seconds that a connection has that is one too many."""

_RAW = re.compile(rb"[ \x7f-\xff]")


class ExchangeChannel(HTTPChannel):
    """Speaks HTTP/1.1 with a node, and says ``failure`` to whatever is none."""

    _deliveries: tuple[Delivery, ...] = ()
    _line: SocketLine | None = None
    _address: str | None = None
    _is_counted = False
    _one_too_many = False
    _head_begun = False

    site: ExchangeSite
    factory: ExchangeSite
    abortTimeout = 5
    """Seconds after which a connection that we closed is gone, whatever its peer does."""

    def connectionMade(self) -> None:
        """Count the connection; one too many has little time to say what it wants, and to hear why not."""
        super().connectionMade()
        self.site.connections.total += 1
        self._enter(getattr(self.getPeer(), "host", None))
        if self._one_too_many:
            self.setTimeout(HURRY)

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
        if self.timeOut is not None and not self._head_begun and not self._one_too_many:
            self._head_begun = True
            self.setTimeout(self.site.limits.header_timeout)

    def head_ended(self) -> None:
        """Stop the time of the head: while a body comes, the time-outs are the body's."""
        self.setTimeout(None)
        self._head_begun = False

    def timeoutConnection(self) -> None:
        """Close a connection that nobody uses; tell the sender of half a head why."""
        if self._receivedHeaderSize:
            self._refuse_at_once(HeadersTimedOut())
        else:
            self.loseConnection()

    def send(self, data: bytes) -> None:
        """Write an answer, at once where nothing waits to be written before it: that spares the reactor a turn."""
        transport: Any = self.transport
        sent = write_now(transport, data)
        if sent < len(data):
            transport.write(data[sent:])

    def watch(self, delivery: Delivery) -> None:
        """See an answer that was written arrive."""
        self._deliveries = (*(one for one in self._deliveries if one.delivered is None), delivery)
        try:
            self._line = self._line or line_of(self.transport)
        except OSError:
            return  # no descriptor left to ask by: it counts as open, and as lost when the connection ends
        line = self._line.shared() if self._line is not None else None
        if line is not None and not is_plain(self.transport):
            self.callLater(TLS_FLUSH, lambda: delivery.sent(line))
        else:
            delivery.sent(line)

    def look_at_deliveries(self) -> None:
        """Ask for answers that are on their way: a request that comes brings their acknowledgement with it."""
        for delivery in self._deliveries:
            delivery.look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the requests, and the answers on their way."""
        super().connectionLost(reason)
        self.site.connections.total -= 1
        self._leave()
        for delivery in self._deliveries:
            delivery.lost()
        if self._line is not None:
            self._line.close()

    def loseConnection(self) -> None:
        """Close the connection: when what was written is on its way, or by force.

        TLS waits for the peer's word, and reads what it sends meanwhile; TCP waits for it to read our answer.
        """
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head; in a request line, blanks and letters that are not encoded are encoded.

        Nodes put file names into the URL as they are (protocol.md, A.5 and B.1).
        """
        if self._receivedHeaderSize == 0:
            self.resetTimeout()  # of a head that came with the request before it
        if self._receivedHeaderSize == 0 and _RAW.search(line):
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

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that does not end."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer what is no HTTP in the protocol's words."""
        self._refuse_at_once(MalformedRequest())

    def _refuse_at_once(self, refused: Refused) -> None:
        """Answer what is no whole request, unless it has been answered already, and close."""
        self.setTimeout(None)
        for request in self.requests:
            request.give_up()
        if not (self.requests and self.requests[-1].startedWriting):
            answer = self.site.refusal(refused, str(getattr(self.getPeer(), "host", "-")))
            reason = RESPONSES[answer.status]
            self.write(head_of(answer, b"HTTP/1.1", reason, self.site.date(), closes=True) + answer.body)
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS goes on delivering
        self.loseConnection()
