"""The body of a request while it is received: buffered until it is wanted, streamed to a consumer, or discarded.

A consumer may also take the body straight from its socket: then only the number of bytes passes through here.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from onec_twisted.http.flow import Flow, Pace
from onec_twisted.http.interfaces import IBody, ISocketConsumer
from onec_twisted.http.peer import Peer
from onec_twisted.model.errors import ConnectionDropped

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime

    from onec_twisted.http.interfaces import IBodyConsumer, IBodySocket, IPeer

__all__ = ["DRAIN_LIMIT", "DRAIN_TIME", "EARLY_LIMIT", "Body", "State"]

EARLY_LIMIT = 64 * 1024
"""Bytes that are buffered before a consumer is set; then the sender is paused."""

SMALL_CHUNKS = 256
"""Reads that are kept separately; each costs memory on top of its bytes."""

DRAIN_LIMIT = 8 * 1024 * 1024
"""Bytes of a refused body that are read and discarded, so that the answer reaches the sender."""

DRAIN_PAUSE = 0.1
"""Seconds for which a body too long to drain is paused, so that a proxy in between notices the answer.

nginx looks at an answer only when it cannot send more; if we closed before that, the node would receive 502.
"""

DRAIN_TIME = 2.0
"""Seconds for which a refused body is read."""


class State(Enum):
    """The states of a body being received; ``tests/http/test_http_body.py`` has the transitions."""

    WAITING = "not requested yet: a bounded amount is kept as it arrives"
    READ = "the reactor reads it, and passes it to its consumer"
    HELD = "its consumer is busy: the sender is paused"
    MOVED = "its consumer moves it from the socket, past the reactor"
    DRAINED = "refused: for a while, the rest is read and discarded"
    OVER = "all of it has arrived, or the rest is not wanted"


def _nothing() -> None:
    """Do nothing: replaces a call to the request, as the two would otherwise wait for a garbage collection."""


@implementer(IBody)
class Body:
    """A body being received.

    ``transport`` can be paused; ``length`` is in bytes, None when unknown; ``idle_timeout`` is in seconds of
    ``clock``; ``wanted`` is called once, when a consumer wants the body. ``socket`` is where the body comes from,
    None where it cannot be taken from there. ``min_rate`` is in bytes per second, averaged over the last minute.
    ``peer`` returns the peer that sends it.
    """

    def __init__(
        self,
        transport: IPushProducer,
        clock: IReactorTime,
        length: int | None,
        idle_timeout: float,
        wanted: Callable[[], None],
        socket: IBodySocket | None = None,
        min_rate: int = 0,
        peer: Callable[[], IPeer] = lambda: Peer(None),
    ) -> None:
        """Start with nothing received."""
        self.length = length
        self.received = 0
        self.accepted = 0
        self.complete = length == 0
        self.begun = clock.seconds()
        self.peer = peer
        self._flow = Flow(transport)
        self._pace = Pace(clock, idle_timeout, min_rate)
        self._clock = clock
        self._wanted = wanted
        self._socket = socket
        self._read_next = False
        self._early: list[bytes] = []
        self._failure: BaseException | None = None
        self._consumer: IBodyConsumer | None = None
        self._streamed: Deferred[None] | None = None
        self._limit = 0
        self._too_large: BaseException = ConnectionDropped()
        self._idle_call: IDelayedCall | None = None
        self._drained: Callable[[], None] | None = None
        self._drain_left = 0
        self._drain_call: IDelayedCall | None = None

    @property
    def state(self) -> State:
        """Return the current state."""
        if self.complete:
            return State.OVER
        if self._drained is not None:
            return State.DRAINED
        if self._failure is not None:
            return State.OVER
        if self._consumer is None:
            return State.WAITING
        if self._flow.is_moving:
            return State.MOVED
        return State.HELD if self._flow.is_held else State.READ

    # Called by the request

    def data_received(self, data: bytes) -> None:
        """Take the next bytes from the channel."""
        self.received += len(data)
        if self._consumer is not None:
            self._pace.last_byte = self._clock.seconds()
            self._give(data)
        elif self._drained is not None:
            self._drain_left -= len(data)
            if self._drain_left <= 0:
                self._end_drain()
        elif self._failure is None:
            self._early.append(data)
            if len(self._early) > SMALL_CHUNKS:
                self._early = [b"".join(self._early)]
            if self.received >= EARLY_LIMIT:
                self.pauseProducing()
        if self._flow.is_held and not self.complete:
            self._flow.insist()

    def ended(self) -> None:
        """Note the last byte."""
        self.complete = True
        self._wanted = _nothing
        self._cancel_drain()
        if self._consumer is not None:
            self._stop(None)

    def lost(self) -> None:
        """Note that the connection was lost."""
        self._cancel_drain()
        self._stop(ConnectionDropped())

    # IBody

    def stream_to(self, consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
        if self._failure is not None:
            return fail(self._failure)
        self._wanted()
        self._wanted = _nothing
        self._streamed = streamed = Deferred[None]()
        self._consumer, self._limit, self._too_large = consumer, limit, too_large
        self.resumeProducing()
        early, self._early = self._early, []
        for data in early:
            self._give(data)
        if self._consumer is not None:
            if self.complete or self.received == self.length:
                self.complete = True
                self._stop(None)
            else:
                self._pace.begin(self.received)
                self._watch()
                length, socket = self.length or 0, self._socket
                if (
                    socket is not None
                    and length <= limit
                    and ISocketConsumer.providedBy(consumer)
                    and length - self.received >= consumer.bulk
                ):
                    socket.when_readable(partial(self._moves, consumer, socket))
        return streamed

    def pauseProducing(self) -> None:
        if not self._flow.is_held and not self.complete:
            self._pace.rest()
            self._flow.hold()

    def resumeProducing(self) -> None:
        flow = self._flow
        if flow.is_held and not self.complete:
            if not flow.is_moving:
                self._pace.last_byte = self._clock.seconds()
            flow.let_go()
        else:
            flow.is_held = False

    def silence(self) -> float:
        if self._consumer is None or self._flow.is_held or self._flow.is_moving:
            return 0.0
        return self._pace.silence()

    def drop(self, reason: BaseException) -> None:
        if not self.complete:
            self._stop(reason)

    def left(self) -> list[bytes]:
        left, self._early = self._early, []
        return left

    # Called by the request once it has refused

    def drain(self, drained: Callable[[], None]) -> None:
        """Discard what still arrives, up to a limit of bytes and time, then call back.

        There is no callback when the body ends, or the connection is lost, before that.
        """
        self._stop(ConnectionDropped())
        self._early = []
        self._drained = drained
        self._drain_left = DRAIN_LIMIT
        if self.length is None or self.length - self.received > DRAIN_LIMIT:
            self.pauseProducing()
            self._drain_call = self._clock.callLater(DRAIN_PAUSE, self._go_on_draining)
        else:
            self._go_on_draining()

    def _go_on_draining(self) -> None:
        """Read and discard for ``DRAIN_TIME`` seconds."""
        self._drain_call = self._clock.callLater(DRAIN_TIME, self._end_drain)
        self.resumeProducing()

    def _give(self, data: bytes) -> None:
        """Hand bytes to the consumer, unless the body exceeds its limit."""
        if self.received > self._limit:
            self._stop(self._too_large)
        elif self._consumer is not None:
            self._consumer.write(data)

    def _moves(self, consumer: ISocketConsumer, socket: IBodySocket) -> bool:
        """Let the consumer move the bytes in the socket, if worthwhile; the reactor reads nothing meanwhile."""
        if self._flow.is_moving:
            self._flow.insist()
            return True
        waiting = socket.waiting()
        if self._read_next or waiting < consumer.bulk:
            self._read_next = False
            return False
        source = socket.lend()
        if source is None:
            return False
        self._flow.begin_move()
        consumer.move(source, (self.length or 0) - self.received).addCallback(self._moved, socket)
        return True

    def _moved(self, size: int, socket: IBodySocket) -> None:
        """Continue after the moved bytes; when none were moved, the next read shows why."""
        self._read_next = not size
        self.received += size
        if size:
            self._pace.last_byte = self._clock.seconds()
        self._flow.end_move()
        try:
            socket.moved(size)
        finally:
            if self._consumer is None:
                socket.release()

    def _stop(self, reason: BaseException | None) -> None:
        """End the streaming: successfully, or for a reason that also fails a later ``stream_to``."""
        self._consumer = None
        if self._socket is not None and not self._flow.is_moving:
            self._socket.release()
        if reason is not None and self._failure is None:
            self._failure = reason
        if self._idle_call is not None:
            self._idle_call.cancel()
            self._idle_call = None
        streamed, self._streamed = self._streamed, None
        if streamed is not None:
            if reason is None:
                streamed.callback(None)
            else:
                streamed.errback(reason)

    def _watch(self) -> None:
        """Drop the body when its sender is silent for too long or too slow; otherwise schedule the next check."""
        self._idle_call = None
        flow = self._flow
        verdict = self._pace.look(self.received, is_waiting=flow.is_held or flow.is_moving)
        if isinstance(verdict, BaseException):
            self._stop(verdict)
        else:
            self._idle_call = self._clock.callLater(verdict, self._watch)

    def _end_drain(self) -> None:
        """Stop draining, and call back."""
        drained = self._drained
        self._cancel_drain()
        if drained is not None:
            drained()

    def _cancel_drain(self) -> None:
        """Stop draining, without a callback."""
        self._drained = None
        if self._drain_call is not None and self._drain_call.active():
            self._drain_call.cancel()
        self._drain_call = None
