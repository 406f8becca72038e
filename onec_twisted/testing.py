"""Fakes for our tests and yours: no threads, no sockets, no waiting.

Each implements an interface of this package or of Twisted, and is verified against it.
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
from onec_twisted.http.peer import Peer
from onec_twisted.storage.archive import entries
from onec_twisted.storage.directory import Directory
from onec_twisted.storage.document import read_documents
from onec_twisted.storage.gathering import gather
from onec_twisted.storage.interfaces import IStore, IStoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.test.iosim import IOPump
    from twisted.web.server import Site

    from onec_twisted.model.description import Description
    from onec_twisted.model.document import Document
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import FileRecord, Session, Written
    from onec_twisted.storage.gathering import Job

__all__ = [
    "Bytes",
    "FakeBody",
    "FakeImporter",
    "FaultyStore",
    "InlineWorkers",
    "LateWorkers",
    "Pipe",
    "check_inline",
    "examine_inline",
    "inline",
    "prepare_inline",
]

T = TypeVar("T")


class InlineWorkers:
    """Workers that run each call immediately."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run the call now."""
        return maybeDeferred(function, *args)

    def crowded(self) -> bool:
        """Return False: no calls wait."""
        return False


inline = InlineWorkers()


@define(eq=False)
class LateWorkers:
    """Workers that queue calls until ``run`` is called."""

    _calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = field(factory=list, init=False)
    hops: int = field(default=0, init=False)
    is_crowded: bool = field(default=False, init=False)

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Queue a call."""
        self.hops += 1
        fired: Deferred[T] = Deferred()
        self._calls.append((fired, function, args))
        return fired

    def crowded(self) -> bool:
        """Return the value that the test has set."""
        return self.is_crowded

    @property
    def waiting(self) -> int:
        """Return the number of queued calls."""
        return len(self._calls)

    def run(self) -> None:
        """Run the queued calls in order; calls that they cause wait for the next ``run``."""
        calls, self._calls = self._calls, []
        for fired, function, args in calls:
            maybeDeferred(function, *args).chainDeferred(fired)


def examine_inline(fd: int, size: int) -> Deferred[Directory]:
    """Read an archive immediately, without a process; see ``Examiner``."""
    return maybeDeferred(Directory.of, entries(fd, size))


def check_inline(fd: int, documents: list[tuple[str, int]]) -> Deferred[tuple[list[Document], str]]:
    """Read documents immediately, without a process; see ``Checker``."""
    return maybeDeferred(read_documents, os.readlink(f"/proc/self/fd/{fd}"), documents)


def prepare_inline(fd: int, job: Job, report: Callable[[dict[str, Any]], None]) -> Deferred[int]:
    """Unpack archives immediately, without a process; see ``Preparer``."""
    return maybeDeferred(gather, os.readlink(f"/proc/self/fd/{fd}"), job, report)


@implementer(IBody)
@define(eq=False)
class FakeBody:
    """A body that a test feeds by hand. ``silent_for`` is what ``silence`` returns, in seconds."""

    length: int | None = None
    silent_for: float = 0.0
    begun: float = 0.0
    peer: Callable[[], Any] = lambda: Peer(None)
    received: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    complete: bool = field(default=False, init=False)
    paused: bool = field(default=False, init=False)
    dropped: BaseException | None = field(default=None, init=False)
    _consumer: IBodyConsumer | None = field(default=None, init=False)
    _streamed: Deferred[None] | None = field(default=None, init=False)

    def stream_to(self, consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
        """Pass the body to a consumer, without a limit."""
        if self.dropped is not None:
            return fail(self.dropped)
        self._consumer = consumer
        self._streamed = Deferred()
        return self._streamed

    def feed(self, data: bytes) -> None:
        """Receive bytes."""
        self.received += len(data)
        if self._consumer is not None and self.dropped is None:
            self._consumer.write(data)

    def end(self) -> None:
        """End the body: all bytes were received."""
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
        """Return nothing: all data has been passed on."""
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

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        if self.store.on_write is not None:
            with suppress(IndexError):
                self.file.write([chunks[0][:1]])  # a full disk stores the beginning
            raise self.store.on_write
        self.file.write(chunks)

    def splice(self, pipe: int, size: int) -> None:
        self.write([os.read(pipe, size)])

    def finish(self) -> Written:
        if self.store.on_finish is not None:
            raise self.store.on_finish
        return self.file.finish()

    def keep_first(self, size: int) -> None:
        self.file.keep_first(size)

    def feed(self, update: Callable[[bytes], object]) -> None:
        self.file.feed(update)

    def repeats(self, record: FileRecord) -> bool:
        return self.file.repeats(record)

    def roll_back(self) -> None:
        self.file.roll_back()


@implementer(IStore)
@define(eq=False)
class FaultyStore:
    """A store whose disk can be made to fail; counts the opened files and the opened archives."""

    store: IStore
    on_write: BaseException | None = None
    on_finish: BaseException | None = None
    free_bytes: int | None = None
    opened: int = field(default=0, init=False)
    directories: int = field(default=0, init=False)

    def open(self, session: Session, name: SafeName, committed: int | None) -> IStoredFile:
        self.opened += 1
        return _FaultyFile(self.store.open(session, name, committed), self)

    def compare(self, session: Session, name: SafeName, start: int, committed: int) -> IStoredFile:
        return self.store.compare(session, name, start, committed)

    def open_archive(self, sessid: str, name: SafeName) -> int:
        self.directories += 1
        return self.store.open_archive(sessid, name)

    def __getattr__(self, name: str) -> Any:
        """Return attributes that cannot be made to fail from the real store."""
        return getattr(self.store, name)

    def sync(self, sessid: str, name: SafeName | None = None) -> None:
        self.store.sync(sessid, name)

    def move(self, sessid: str, folder: str) -> None:
        self.store.move(sessid, folder)

    def discard(self, sessid: str) -> None:
        self.store.discard(sessid)

    def drop(self, folder: str) -> None:
        self.store.drop(folder)

    def folders(self) -> dict[str, float]:
        return self.store.folders()

    def free(self) -> int:
        return self.store.free() if self.free_bytes is None else self.free_bytes

    def probe(self) -> None:
        """Fail like a write."""
        if self.on_write is not None:
            raise self.on_write
        self.store.probe()


@implementer(IBodyProducer)
@frozen
class Bytes:
    """A request body that is written immediately; treq's own needs a running reactor."""

    data: bytes

    @property
    def length(self) -> int:
        """Return the size in bytes."""
        return len(self.data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the whole body has been written."""

    def resumeProducing(self) -> None:
        """Do nothing: the whole body has been written."""

    def stopProducing(self) -> None:
        """Do nothing: the whole body has been written."""


@implementer(IImporter)
@define(eq=False)
class FakeImporter:
    """An importer controlled by a test.

    ``delivered`` are the received descriptions, ``running`` those of unfinished imports; without ``patient`` each
    import succeeds immediately.
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
        """End the import that has run longest: successfully, or with an exception."""
        _, _, ended = self.running.pop(0)
        if reason is None:
            ended.callback(None)
        else:
            ended.errback(reason)


PEER = IPv4Address("TCP", "192.0.2.1", 4000)


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
@define(eq=False)
class Pipe:
    """Connects ``Agent.usingEndpointFactory(reactor, Pipe(site))`` to a Site; ``flush`` transfers what waits."""

    site: Site
    _pumps: list[IOPump] = field(factory=list, init=False)

    def endpointForURI(self, uri: Any) -> Pipe:
        """Return itself for any address."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect a client's protocol to one of the site's."""
        near, far = factory.buildProtocol(PEER), self.site.buildProtocol(PEER)
        server = FakeTransport(far, isServer=True, hostAddress=PEER, peerAddress=PEER)
        self._pumps.append(connect(far, server, near, makeFakeClient(near)))
        return succeed(near)

    def flush(self) -> None:
        """Transfer bytes in both directions until none are left."""
        while sum(pump.pump() for pump in self._pumps):
            pass
