"""Fakes to test with, ours and yours: no threads, no sockets, no waiting.

Each stands for an interface of ``onec_twisted.interfaces`` or of Twisted, and is verified against it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.test.iosim import FakeTransport, connect, makeFakeClient
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.http.interfaces import IBody, IBodyConsumer
from onec_twisted.storage.archive import entries
from onec_twisted.storage.directory import Directory
from onec_twisted.storage.interfaces import IStore, IStoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.test.iosim import IOPump
    from twisted.web.server import Site

    from onec_twisted.model.description import Description
    from onec_twisted.model.names import SafeName

__all__ = [
    "Bytes",
    "FakeBody",
    "FakeImporter",
    "FaultyStore",
    "InlineWorkers",
    "LateWorkers",
    "Pipe",
    "examine_inline",
    "inline",
]

T = TypeVar("T")


class InlineWorkers:
    """Workers that are done at once."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Do it now."""
        return maybeDeferred(function, *args)

    def crowded(self) -> bool:
        """Say that nobody waits."""
        return False


inline = InlineWorkers()


@define(eq=False)
class LateWorkers:
    """Workers that do nothing until ``run`` is called."""

    _calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = field(factory=list, init=False)
    hops: int = field(default=0, init=False)
    is_crowded: bool = field(default=False, init=False)

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Remember a call."""
        self.hops += 1
        fired: Deferred[T] = Deferred()
        self._calls.append((fired, function, args))
        return fired

    def crowded(self) -> bool:
        """Say what the test has set."""
        return self.is_crowded

    @property
    def waiting(self) -> int:
        """Return how many calls are remembered."""
        return len(self._calls)

    def run(self) -> None:
        """Do what is remembered now, in order; calls that this brings about wait for the next ``run``."""
        calls, self._calls = self._calls, []
        for fired, function, args in calls:
            maybeDeferred(function, *args).chainDeferred(fired)


def examine_inline(fd: int, size: int) -> Deferred[Directory]:
    """Read an archive at once, without a process; see ``Examiner``."""
    return maybeDeferred(Directory.of, entries(fd, size))


@implementer(IBody)
@define(eq=False)
class FakeBody:
    """A body that a test feeds by hand. ``silent_for`` is what ``silence`` returns, in seconds."""

    length: int | None = None
    silent_for: float = 0.0
    received: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    complete: bool = field(default=False, init=False)
    paused: bool = field(default=False, init=False)
    dropped: BaseException | None = field(default=None, init=False)
    _consumer: IBodyConsumer | None = field(default=None, init=False)
    _streamed: Deferred[None] | None = field(default=None, init=False)

    def stream_to(self, consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
        """Give the body to a consumer; there is no limit."""
        if self.dropped is not None:
            return fail(self.dropped)
        self._consumer = consumer
        self._streamed = Deferred()
        return self._streamed

    def feed(self, data: bytes) -> None:
        """Bring bytes."""
        self.received += len(data)
        if self._consumer is not None and self.dropped is None:
            self._consumer.write(data)

    def end(self) -> None:
        """Bring the last byte."""
        self.complete = True
        if self._streamed is not None:
            self._streamed.callback(None)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def silence(self) -> float:
        return self.silent_for

    def left(self) -> list[bytes]:
        """Return nothing: all of it has been handed on."""
        return []

    def drop(self, reason: BaseException) -> None:
        if self.dropped is None and not self.complete:
            self.dropped = reason
            if self._streamed is not None:
                self._streamed.errback(reason)


@implementer(IStoredFile)
@frozen(eq=False)
class _FaultyFile:
    """A file of a ``FaultyStore``."""

    file: IStoredFile
    store: FaultyStore

    def write(self, chunks: Sequence[bytes]) -> None:
        if self.store.on_write is not None:
            with suppress(IndexError):
                self.file.write([chunks[0][:1]])  # a disk that is full takes the beginning
            raise self.store.on_write
        self.file.write(chunks)

    def splice(self, pipe: int, size: int) -> None:
        self.write([os.read(pipe, size)])

    def finish(self) -> None:
        if self.store.on_finish is not None:
            raise self.store.on_finish
        self.file.finish()

    def keep_first(self, size: int) -> None:
        self.file.keep_first(size)

    def feed(self, update: Callable[[bytes], object]) -> None:
        self.file.feed(update)

    def repeats(self, start: int) -> bool:
        return self.file.repeats(start)

    def roll_back(self) -> None:
        self.file.roll_back()


@implementer(IStore)
@define(eq=False)
class FaultyStore:
    """A store whose disk can be made to fail; counts how often a file is opened, and an archive's directory read."""

    store: IStore
    on_write: BaseException | None = None
    on_finish: BaseException | None = None
    free_bytes: int | None = None
    opened: int = field(default=0, init=False)
    directories: int = field(default=0, init=False)

    def open(self, sessid: str, name: SafeName, committed: int | None) -> IStoredFile:
        self.opened += 1
        return _FaultyFile(self.store.open(sessid, name, committed), self)

    def compare(self, sessid: str, name: SafeName, start: int, committed: int) -> IStoredFile:
        return self.store.compare(sessid, name, start, committed)

    def open_archive(self, sessid: str, name: SafeName) -> int:
        self.directories += 1
        return self.store.open_archive(sessid, name)

    def __getattr__(self, name: str) -> Any:
        """Return what is not made to fail."""
        return getattr(self.store, name)

    def sync(self, sessid: str, name: SafeName | None = None) -> None:
        self.store.sync(sessid, name)

    def discard(self, sessid: str) -> None:
        self.store.discard(sessid)

    def folders(self) -> dict[str, float]:
        return self.store.folders()

    def free(self) -> int:
        return self.store.free() if self.free_bytes is None else self.free_bytes

    def probe(self) -> None:
        """Fail as writing does."""
        if self.on_write is not None:
            raise self.on_write
        self.store.probe()


@implementer(IBodyProducer)
@frozen
class Bytes:
    """A request body that is written at once; treq's own needs turns of a real reactor."""

    data: bytes

    @property
    def length(self) -> int:
        """Return the bytes in all."""
        return len(self.data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: all of it has been written."""

    def resumeProducing(self) -> None:
        """Do nothing: all of it has been written."""

    def stopProducing(self) -> None:
        """Do nothing: all of it has been written."""


@implementer(IImporter)
@define(eq=False)
class FakeImporter:
    """An importer that a test answers for.

    ``delivered`` are the descriptions that came, ``running`` those that have not been answered; without ``patient``
    each is done at once.
    """

    patient: bool = False
    delivered: list[Description] = field(factory=list, init=False)
    running: list[tuple[Description, Callable[[str], None], Deferred[None]]] = field(factory=list, init=False)
    cancelled: int = field(default=0, init=False)

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        self.delivered.append(description)
        if self.patient:
            ended: Deferred[None] = Deferred(self._note_cancel)
            self.running.append((description, progress, ended))
            await ended

    def _note_cancel(self, _: Deferred[None]) -> None:
        self.cancelled += 1

    def end(self, reason: BaseException | None = None) -> None:
        """End what has been running longest: well, or for a reason."""
        _, _, ended = self.running.pop(0)
        if reason is None:
            ended.callback(None)
        else:
            ended.errback(reason)


PEER = IPv4Address("TCP", "192.0.2.1", 4000)


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
@define(eq=False)
class Pipe:
    """Carries an Agent's connections to a Site without a socket.

    ``Agent.usingEndpointFactory(reactor, Pipe(site))`` makes the Agent; ``flush`` carries what was written.
    """

    site: Site
    _pumps: list[IOPump] = field(factory=list, init=False)

    def endpointForURI(self, uri: Any) -> Pipe:
        """Return itself, whatever the address."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect a client's protocol with one of the site's."""
        near, far = factory.buildProtocol(PEER), self.site.buildProtocol(PEER)
        server = FakeTransport(far, isServer=True, hostAddress=PEER, peerAddress=PEER)
        self._pumps.append(connect(far, server, near, makeFakeClient(near)))
        return succeed(near)

    def flush(self) -> None:
        """Carry bytes both ways until there are none."""
        while sum(pump.pump() for pump in self._pumps):
            pass
