"""The request that calls its resource once the headers are complete, and streams the body as it arrives.

Twisted's ``Request`` finds its resource after the last byte of its body, which it keeps in memory or in a temporary
file until then. Ours finds it after the headers, in the same tree of resources, and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.http import toChunk
from zope.interface import implementer

from onec_twisted.http.answer import head_of, interim_head
from onec_twisted.http.body import Body
from onec_twisted.http.head import contradicted, fields_of_target
from onec_twisted.http.interfaces import IRequest, IStreamingResource
from onec_twisted.http.requested import Requested
from onec_twisted.http.server import REASONS
from onec_twisted.http.sockets import read_at_once, send
from onec_twisted.http.sources import socket_of
from onec_twisted.model.errors import ConnectionDropped, ContradictoryHeaders, TooManyConnections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from onec_twisted.http.answer import Answer
    from onec_twisted.model.errors import Refused

__all__ = ["CONTINUE", "ExchangeRequest"]

READ_SIZE = 64 * 1024
"""Bytes that are read from a connection at a time: Twisted's own number."""

READ_BODY = 256 * 1024
"""Bytes that are read at a time while a large body is received."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Asks a client for the body that it has announced (RFC 9110 section 10.1.1)."""

SLOW_NODE = 600
"""Seconds to send the end of a document, which may still be buffered, when its connection closes after it."""


@implementer(IRequest)
class ExchangeRequest(Requested):
    """A request whose resource, an ``IStreamingResource``, is called once the headers are complete.

    The resource may consume ``body``. An answer before the body's end closes the connection, but not before the
    sender had a chance to read it.
    """

    _log = Logger()
    body: Body

    gone = False
    """Whether nobody is left to receive an answer."""

    startedWriting = False
    """Whether the head of an answer has been written."""

    code = 0
    """The status of the answer."""

    sentLength = 0
    """Bytes of the answer's body."""

    _is_out = False
    _is_finished = False
    _body_over = False
    _decided = False
    _counted = False
    _stream: Any = None
    _chunked = False
    _finishing: tuple[Deferred[None], ...] = ()

    def gotLength(self, length: int | None) -> None:
        """Find the resource: the headers are complete, and a body of ``length`` bytes comes next."""
        channel, server = self.channel, self.server
        too_many, twice = self.meet_client(), contradicted(channel.head.fields)
        channel.open_answers.look()
        limits = server.limits
        early = channel.take_part() if length else b""
        self.body = Body(
            channel.sender,
            server.clock,
            length,
            limits.body_timeout,
            self._accept_body,
            socket_of(channel, length) if length != len(early) else None,
            limits.min_rate,
            channel.peer,
        )
        if early:
            self.body.data_received(early)  # what came with the head is there before the resource is called
        channel.head_ended()
        refused = TooManyConnections() if too_many else ContradictoryHeaders(twice) if twice is not None else None
        Deferred.fromCoroutine(self._respond(refused))

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires when the answer is sent, and fails when the connection ends first."""
        finishing: Deferred[None] = Deferred()
        self._finishing = (*self._finishing, finishing)
        return finishing

    def interim(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Send an interim answer, unless the client could not take it; see ``IRequest``.

        It waits behind what the transport still has to send, and the final answer waits behind it: ``send`` looks for
        that. A client that does not read gets no more of them, so what waits for it does not grow.
        """
        channel = self.channel
        if self.startedWriting or self.gone or not channel.is_open or channel.is_full:
            return False
        if self.clientproto != b"HTTP/1.1":
            return False
        channel.write(interim_head(status, REASONS[status], headers))
        return True

    def give_up(self) -> None:
        """Expect no more of the body: the data received is not HTTP."""
        self.body.lost()

    def handleContentChunk(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        self.body.data_received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note that the body has ended; it is never parsed."""
        self.body.ended()
        self._body_over = True
        self._count()
        if self.body.length is None or self.body.length > READ_SIZE:
            read_at_once(self.channel.transport, READ_SIZE)
        if self._is_out:
            self._finish()

    def connectionLost(self, reason: Failure) -> None:
        """Notify the body; an answer that closes its connection is logged here, as it never finishes."""
        if self.startedWriting and not self._is_finished:
            self.site.log(self)
        self.gone = True
        finishing, self._finishing = self._finishing, ()
        for one in finishing:
            one.errback(reason)
        if self._stream is not None:
            self._stream.stopProducing()
        self.body.lost()
        self._count()

    def _finish(self) -> None:
        """Log the answer, and let the connection continue with its next request."""
        self._is_finished = True
        self.site.log(self)
        self.channel.requestDone(self)
        finishing, self._finishing = self._finishing, ()
        for one in finishing:
            one.callback(None)

    def _count(self) -> None:
        """Count the body once no more of it will come and its outcome is known."""
        if self._decided and (self._body_over or self.gone) and not self._counted:
            self._counted = True
            metrics = self.server.metrics
            metrics.body(self.body.received, self.body.accepted)
            self.leave()

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
        if not self.gone:
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
        head = head_of(
            answer,
            self.clientproto,
            REASONS[answer.status],
            self.server.date(),
            closes=not self.channel.persistent and self.clientproto == b"HTTP/1.1",
        )
        has_body = self.method != b"HEAD" and answer.status not in {204, 304}
        self.startedWriting, self.code = True, answer.status
        self.sentLength = len(answer.body) if has_body else 0
        send(self.channel.transport, head + answer.body if has_body else head)
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
        self._chunked = stream.length is None and self.clientproto == b"HTTP/1.1"

        def write(data: bytes) -> None:
            if data and not self.gone:
                self.sentLength += len(data)
                self.channel.writeSequence(toChunk(data) if self._chunked else [data])

        self.channel.registerProducer(stream, True)
        stream.write_to(write).addCallbacks(self._passed_on, self._broke_off).addErrback(self._fail)

    def _passed_on(self, _: object) -> None:
        """End an answer that was streamed from elsewhere."""
        self._stream = None
        if not self.gone:
            self.channel.unregisterProducer()
            if self._chunked:
                self.channel.write(b"0\r\n\r\n")
                self._chunked = False
            self.channel.abortTimeout = SLOW_NODE
            self._answer_is_out()

    def _broke_off(self, reason: Failure) -> None:
        """Abort an answer whose body was cut short: the node must not take it as complete."""
        self._stream = None
        if not self.gone:
            self._log.warn(
                "{method} {path}: answer aborted: {reason}",
                reason=str(reason.value),
                **fields_of_target(self.method, self.uri),
            )
            self.channel.unregisterProducer()
            self.channel.abort()

    def _fail(self, reason: Failure) -> None:
        """Log an unforeseen error, and abort the connection."""
        self._log.failure("{method} {path} failed", reason, **fields_of_target(self.method, self.uri))
        if not self.gone:
            self.channel.abort()

    def _answer_is_out(self) -> None:
        """Let the connection continue with its next request, or close it once the node could read the answer."""
        self._is_out = True
        if self._body_over:
            self._finish()
        elif not self.body.complete:
            channel = self.channel
            self.body.drain(channel.loseConnection)

    def _accept_body(self) -> None:
        """Read a large body in larger steps, and send 100 Continue to a client that expects it."""
        if self.body.length is None or self.body.length > READ_SIZE:
            read_at_once(self.channel.transport, READ_BODY)
        if self.channel.head.expects and not self.body.received and not self.body.complete:
            self.channel.write(CONTINUE)
