"""The Request that finds its resource once the headers are complete, and streams the body as it arrives.

Twisted looks a resource up after the last byte of the body, which it keeps in memory or in a temporary file until
then. ``ExchangeRequest`` does so after the headers, and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.http import toChunk
from twisted.web.server import Request
from zope.interface import implementer

from onec_twisted.http.answer import Answer, head_of
from onec_twisted.http.body import Body
from onec_twisted.http.head import contradicted, fields_of_target, path_of
from onec_twisted.http.interfaces import IRequest, IStreamingResource
from onec_twisted.http.server import REASONS
from onec_twisted.http.sockets import read_at_once, send
from onec_twisted.http.sources import socket_of
from onec_twisted.model.errors import ConnectionDropped, ContradictoryHeaders, TooManyConnections

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Site

    from onec_twisted.http.channel import ExchangeChannel
    from onec_twisted.http.server import Server
    from onec_twisted.model.errors import Refused

__all__ = ["ExchangeRequest"]

READ_SIZE = 64 * 1024
"""Bytes that are read from a connection at a time: Twisted's own number."""

READ_BODY = 256 * 1024
"""Bytes that are read at a time while a large body is received."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Asks a client for the body that it has announced (RFC 9110 section 10.1.1)."""

MAPPED = "::ffff:"
"""Prefix of an IPv4 address on an IPv6 socket."""

SLOW_NODE = 600
"""Seconds to send the end of a document, which may still be buffered, when its connection closes after it."""


@implementer(IRequest)
class ExchangeRequest(Request):
    """A request whose resource, an ``IStreamingResource``, is called once the headers are complete.

    The resource may consume ``body``. An answer before the body's end closes the connection, but not before the
    sender had a chance to read it.
    """

    _log = Logger()
    body: Body
    channel: ExchangeChannel  # type: ignore[assignment]  # it has what Twisted's has for requests
    server: Server
    site: Site

    def __init__(self, *args: Any, **kw: Any) -> None:
        """Start without an answer."""
        super().__init__(*args, **kw)
        self._headers_complete = False
        self._answered = False
        self._is_out = False
        self._body_over = False
        self._decided = False
        self._counted = False
        self._stream: Any = None
        self._entered: str | None = None
        self._secure = False
        self.trusted_proxy = False
        """Whether a trusted proxy sends this for its client: then it may report our public address."""

    @property
    def gone(self) -> bool:
        """Return whether nobody is left to receive an answer."""
        return bool(self._disconnected)

    def gotLength(self, length: int | None) -> None:
        """Find the resource: the headers are complete, and a body of ``length`` bytes comes next."""
        channel = self.channel
        head = channel.head
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = path_of(self.uri)
        self.prepath: list[bytes] = []
        # as PHP sites do: merge slashes, and ignore a trailing one (nginx merges them, PHP has PATH_INFO)
        self.postpath: list[bytes] = [unquote_to_bytes(part) for part in self.path.split(b"/") if part]
        self.args: dict[bytes, list[bytes]] = {}
        self.site, self.server = channel.site, channel.server
        too_many = self._meet_client()
        twice = contradicted(head.fields)
        channel.open_answers.look()
        limits = self.server.limits
        early = channel.take_part() if length else b""
        self.body = Body(
            channel.sender,
            self.server.clock,
            length,
            limits.body_timeout,
            self._accept_body,
            socket_of(channel, length) if length != len(early) else None,
            limits.min_rate,
        )
        if early:
            self.body.data_received(early)  # what came with the head is there before the resource is called
        channel.head_ended()
        self._headers_complete = True
        refused = TooManyConnections() if too_many else ContradictoryHeaders(twice) if twice is not None else None
        Deferred.fromCoroutine(self._respond(refused))

    def _meet_client(self) -> bool:
        """Determine the client; return whether it has too many connections, or too many requests through a proxy."""
        channel, connections = self.channel, self.server.connections
        peer = getattr(self.client, "host", None)
        if peer is not None and peer.startswith(MAPPED):  # IPv4, on a socket that takes both
            peer = peer[len(MAPPED) :]
            self.client = IPv4Address("TCP", peer, self.client.port)
        if not connections.trusts(peer):
            return channel.is_one_too_many(peer)
        self.trusted_proxy = True
        self._secure = self.from_proxy(b"x-forwarded-proto").lower() == b"https"
        forwarded = b",".join(self.requestHeaders.getRawHeaders(b"x-forwarded-for", []))
        client = connections.trusted.client(peer, forwarded.decode("latin-1"))
        if client is None or client == peer:
            return False
        kind = IPv6Address if ":" in client else IPv4Address
        self.client = kind("TCP", client, getattr(self.client, "port", 0))
        if not connections.enter(client):
            return True
        self._entered = client
        return False

    def from_proxy(self, name: bytes) -> bytes:
        """Return the header value set by the proxy nearest the client; other proxies append theirs."""
        return b",".join(self.requestHeaders.getRawHeaders(name, ())).partition(b",")[0].strip()

    def isSecure(self) -> bool:
        """Return whether the client's connection is TLS, to us or to a trusted proxy."""
        return self._secure or bool(super().isSecure())

    def give_up(self) -> None:
        """Expect no more of the body: the data received is not HTTP."""
        if self._headers_complete:
            self.body.lost()

    def handleContentChunk(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        self.body.data_received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note that the body has ended; it is never parsed."""
        self.body.ended()
        self._body_over = True
        self._count()
        read_at_once(self.channel.transport, READ_SIZE)
        if self._is_out:
            self.finish()

    def connectionLost(self, reason: Failure) -> None:
        """Notify the body; an answer that closes its connection is logged here, as it never finishes."""
        if self._answered and not self.finished:
            self.site.log(self)
        super().connectionLost(reason)
        if self._stream is not None:
            self._stream.stopProducing()
        if self._headers_complete:
            self.body.lost()
            self._count()

    def _count(self) -> None:
        """Count the body once no more of it will come and its outcome is known."""
        if self._decided and (self._body_over or self._disconnected) and not self._counted:
            self._counted = True
            server = self.server
            server.metrics.body(self.body.received, self.body.accepted)
            if self._entered is not None:
                server.connections.leave(self._entered)

    async def _respond(self, refused: Refused | None) -> None:
        """Call the resource, and answer; a request refused before that also closes the connection."""
        try:
            resource = IStreamingResource(self.site.getResourceFor(self))
            if refused is not None:
                self.channel.persistent = False
            answer = await resource.respond(self, refused)
        except ConnectionDropped:
            return
        except Exception as error:
            refusals = self.server.refusals
            answer = refusals.answer(error, self)
        finally:
            self._decided = True
            self._count()
        if not self._disconnected:
            self._answer(answer)
            return
        if answer.acknowledgement is not None:
            answer.acknowledgement.lost()
        if answer.stream is not None:
            answer.stream.stopProducing()

    def _answer(self, answer: Answer) -> None:
        """Write an answer, then read or discard the rest of the body."""
        if not self.body.complete or self.server.closing:
            self.channel.persistent = False
        self.setResponseCode(answer.status, REASONS.get(answer.status))
        head = head_of(
            answer,
            self.clientproto,
            self.code_message,
            self.server.date(),
            closes=not self.channel.persistent and self.clientproto == b"HTTP/1.1",
        )
        has_body = self.method != b"HEAD" and answer.status not in {204, 304}
        self.startedWriting = 1
        self.sentLength = len(answer.body) if has_body else 0
        send(self.channel.transport, head + answer.body if has_body else head)
        self._answered = True
        if answer.acknowledgement is not None:
            open_answers = self.channel.open_answers
            open_answers.watch(answer.acknowledgement)
        if answer.stream is not None:
            self._pass_on(answer.stream)
        else:
            self._answer_is_out()

    def _pass_on(self, stream: Any) -> None:
        """Stream a body from elsewhere, as fast as the node reads it."""
        self._stream = stream
        self.chunked = stream.length is None and self.clientproto == b"HTTP/1.1"

        def write(data: bytes) -> None:
            if data and not self._disconnected:
                self.sentLength += len(data)
                self.channel.writeSequence(toChunk(data) if self.chunked else [data])

        self.registerProducer(stream, True)
        stream.write_to(write).addCallbacks(self._passed_on, self._broke_off).addErrback(self._fail)

    def _passed_on(self, _: object) -> None:
        """End an answer that was streamed from elsewhere."""
        self._stream = None
        if not self._disconnected:
            self.unregisterProducer()
            if self.chunked:
                self.channel.write(b"0\r\n\r\n")
                self.chunked = False
            self.channel.abortTimeout = SLOW_NODE
            self._answer_is_out()

    def _broke_off(self, reason: Failure) -> None:
        """Abort an answer whose body was cut short: the node must not take it as complete."""
        self._stream = None
        if not self._disconnected:
            self._log.warn(
                "{method} {path}: answer aborted: {reason}",
                reason=str(reason.value),
                **fields_of_target(self.method, self.uri),
            )
            self.unregisterProducer()
            self._abort()

    def _fail(self, reason: Failure) -> None:
        """Log an unforeseen error, and abort the connection."""
        self._log.failure("{method} {path} failed", reason, **fields_of_target(self.method, self.uri))
        if not self._disconnected:
            self._abort()

    def _abort(self) -> None:
        transport: Any = self.channel.transport
        transport.abortConnection()

    def _answer_is_out(self) -> None:
        """Let the connection continue with its next request, or close it once the node could read the answer."""
        self._is_out = True
        if self._body_over:
            self.finish()
        elif not self.body.complete:
            channel = self.channel
            self.body.drain(channel.loseConnection)

    def _accept_body(self) -> None:
        """Read a large body in larger steps, and send 100 Continue to a client that expects it."""
        if self.body.length is None or self.body.length > READ_SIZE:
            read_at_once(self.channel.transport, READ_BODY)
        if self.channel.head.expects and not self.body.received and not self.body.complete:
            self.channel.write(CONTINUE)
