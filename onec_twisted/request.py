"""The Request that finds its resource at the headers and gives the body away as it comes.

Twisted looks a resource up after the last byte of the body, which it keeps in memory or in a temporary file until
then. ``ExchangeRequest`` does so at the headers, and keeps nothing; ``ExchangeChannel`` understands request lines
that Twisted refuses and real nodes send. It uses private names of ``twisted.web.http.HTTPChannel``;
``tests/test_request.py`` pins them for the oldest and the newest Twisted:

* ``_command``, ``_path``, ``_version``: the request line, which a Request learns only after the body otherwise;
* ``_networkProducer``: the transport, or what stands for one that cannot be paused;
* ``_savedTimeOut``: the idle time-out that the channel sets again when the request is done;
* ``_abortingCall``: ends a connection by force, and is cancelled when it has ended;
* ``_receivedHeaderSize``: 0 before the request line;
* ``_respondToBadRequestAndDisconnect``: called for whatever is no HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.web.http import RESPONSES, HTTPChannel, toChunk
from twisted.web.server import Request

from onec_twisted.body import Body
from onec_twisted.errors import ConnectionDropped, MalformedRequest, Unforeseen
from onec_twisted.interfaces import IStreamingResource
from onec_twisted.sockets import SocketLine, is_plain, line_of, read_at_once, socket_of, write_now
from onec_twisted.wire import Answer, decoded, failure, head_of, path_of

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.delivery import Delivery
    from onec_twisted.site import ExchangeSite

__all__ = ["ExchangeChannel", "ExchangeRequest"]

TLS_FLUSH = 0.01
"""Seconds after which Twisted's TLS has handed an answer to TCP: it gathers small writes for a turn."""

LONGEST_CONTENT_LENGTH = 64
"""Bytes of a Content-Length header; Python refuses to read numbers of thousands of digits."""

READ = 64 * 1024
"""Bytes that are read from a connection at a time: Twisted's own number."""

READ_BODY = 256 * 1024
"""Bytes that are read at a time while a large body comes in."""

_RAW = re.compile(rb"[ \x7f-\xff]")


class ExchangeRequest(Request):
    """A request whose resource, an ``IStreamingResource``, is asked when the headers are complete.

    ``body`` is what it may take. An answer that comes before the body's end closes the connection, but not before
    the sender had a chance to read it.
    """

    _log = Logger()
    body: Body
    site: ExchangeSite

    def __init__(self, *args: Any, **kw: Any) -> None:
        """Begin without an answer."""
        super().__init__(*args, **kw)
        self.delivery: Delivery | None = None
        self._headers_complete = False
        self._answered = False
        self._is_out = False
        self._body_over = False
        self._idle_timeout: float | None = None
        self._stream: Any = None

    @property
    def gone(self) -> bool:
        """Return whether nobody is left to hear an answer."""
        return bool(self._disconnected)

    def gotLength(self, length: int | None) -> None:
        """Find the resource: the headers are complete, and the body, of ``length`` bytes, comes next."""
        channel: Any = self.channel
        self.method, self.uri, self.clientproto = channel._command, channel._path, channel._version
        self.path = path_of(self.uri)
        self.prepath: list[bytes] = []
        self.postpath: list[bytes] = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        self.args: dict[bytes, list[bytes]] = {}
        self.site = cast("ExchangeSite", channel.site)  # set by Site.buildProtocol
        channel.look_at_deliveries()
        self._expected = self.requestHeaders.getRawHeaders(b"expect", [b""])[0].lower() == b"100-continue"
        self.requestHeaders.removeHeader(b"expect")  # or Twisted answers it before anybody has decided
        self.body = Body(
            channel._networkProducer,
            self.site.reactor,
            length,
            self.site.body_timeout,
            self._accept_body,
            socket_of(channel, length),
        )
        if length != 0:
            self._idle_timeout = channel.setTimeout(None)  # while a body comes, the time-out is the body's
        self._headers_complete = True
        Deferred.fromCoroutine(self._respond())

    def handleContentChunk(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        self.body.data_received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note that the body has ended; nothing of it is ever parsed."""
        if self._idle_timeout is not None:
            self.channel._savedTimeOut = self._idle_timeout
        self.body.ended()
        self._body_over = True
        read_at_once(self.channel.transport, READ)
        if self._is_out:
            self.finish()

    def connectionLost(self, reason: Failure) -> None:
        """Tell the body; an answer that closed its connection is logged here, for it never finishes."""
        if self._answered and not self.finished:
            self.site.log(self)
        super().connectionLost(reason)
        if self._stream is not None:
            self._stream.stopProducing()
        if self._headers_complete:
            self.body.lost()

    async def _respond(self) -> None:
        """Ask the resource, and answer."""
        try:
            resource = IStreamingResource(self.site.getResourceFor(self))
            answer = await resource.respond(self)
        except ConnectionDropped:
            return
        except Exception:
            self._log.failure("{method} {path} failed", method=self.method, path=self.path)
            answer = failure(Unforeseen())
        if not self._disconnected:
            self._answer(answer)
            return
        if self.delivery is not None:
            self.delivery.lost()
        if answer.stream is not None:
            answer.stream.stopProducing()

    def _answer(self, answer: Answer) -> None:
        """Write an answer; after that, read or throw away what is left of the body."""
        if not self.body.complete or self.site.closing:
            self.channel.persistent = False
        self.setResponseCode(answer.status)
        head = head_of(
            answer,
            self.clientproto,
            self.code_message,
            self.site.date(),
            closes=not self.channel.persistent and self.clientproto == b"HTTP/1.1",
        )
        has_body = self.method != b"HEAD" and answer.status != 304
        self.startedWriting = 1
        self.sentLength = len(answer.body) if has_body else 0
        cast("ExchangeChannel", self.channel).send(head + answer.body if has_body else head)
        self._answered = True
        if self.delivery is not None:
            cast("ExchangeChannel", self.channel).watch(self.delivery)
        if answer.stream is not None:
            self._pass_on(answer.stream)
        else:
            self._answer_is_out()

    def _pass_on(self, stream: Any) -> None:
        """Write a body that comes from elsewhere, as fast as the node takes it."""
        self._stream = stream
        self.chunked = stream.length is None and self.clientproto == b"HTTP/1.1"

        def write(data: bytes) -> None:
            if data and not self._disconnected:
                self.sentLength += len(data)
                self.channel.writeSequence(toChunk(data) if self.chunked else [data])

        self.registerProducer(stream, True)
        stream.deliver(write).addCallbacks(self._passed_on, self._broke_off).addErrback(self._fail)

    def _passed_on(self, _: object) -> None:
        """End an answer that came from elsewhere."""
        self._stream = None
        if not self._disconnected:
            self.unregisterProducer()
            if self.chunked:
                self.channel.write(b"0\r\n\r\n")
                self.chunked = False
            self._answer_is_out()

    def _broke_off(self, reason: Failure) -> None:
        """Break an answer off whose body broke off: the node must not take it for whole."""
        self._stream = None
        if not self._disconnected:
            self._log.warn(
                "{method} {path}: answer broken off: {reason}",
                method=decoded(self.method),
                path=decoded(self.path),
                reason=str(reason.value),
            )
            self.unregisterProducer()
            self._abort()

    def _fail(self, reason: Failure) -> None:
        """Log what nobody thought of, and end the connection."""
        self._log.failure("{method} {path} failed", reason, method=self.method, path=self.path)
        if not self._disconnected:
            self._abort()

    def _abort(self) -> None:
        transport: Any = self.channel.transport
        transport.abortConnection()

    def _answer_is_out(self) -> None:
        """Let the connection go on to its next request, or close it when the node has had its chance to read."""
        self._is_out = True
        if self._body_over:
            self.finish()
        elif not self.body.complete:
            channel = self.channel
            self.body.drain(lambda: cast("None", channel.loseConnection()))

    def _accept_body(self) -> None:
        """Make room for a large body, and tell a client that asked first to send it."""
        if self.body.length is None or self.body.length > READ:
            read_at_once(self.channel.transport, READ_BODY)
        if self._expected and self.clientproto == b"HTTP/1.1" and not self.body.received and not self.body.complete:
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class ExchangeChannel(HTTPChannel):
    """Speaks HTTP/1.1 with a node, and says ``failure`` to whatever is none."""

    _deliveries: tuple[Delivery, ...] = ()
    _line: SocketLine | None = None

    site: ExchangeSite
    factory: ExchangeSite
    abortTimeout = 5
    """Seconds after which a connection that we closed is gone, whatever its peer does."""

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
        """Answer what is no HTTP in the protocol's words, unless its request has been answered already."""
        if not (self.requests and self.requests[-1].startedWriting):
            status = 200 if self.site.always_ok else 400
            answer = failure(MalformedRequest())
            self.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (status, RESPONSES[status], answer.content_type, len(answer.body), answer.body)
            )
        self.dataReceived = lambda _: None  # type: ignore[method-assign]  # TLS goes on delivering
        self.loseConnection()
