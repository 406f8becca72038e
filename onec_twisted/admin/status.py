"""How the daemon is, at one moment, as values: what the page shows and the gauges tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from onec_twisted.catalog.sql.overview import overview, summary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.catalog.sql.overview import Overview, Summary
    from onec_twisted.delivery.relay import Relay
    from onec_twisted.http.server import Server
    from onec_twisted.ingest.transfers import Transfer, Transfers
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["STATUS_PATIENCE", "Observed", "Status", "UploadLine"]

T = TypeVar("T")

STATUS_PATIENCE = 5.0
"""Seconds that the disk and the database have to answer."""

MOST_SHOWN = 50
"""Pieces, sessions, and hand-offs in each state, that are shown."""


@frozen
class UploadLine:
    """A piece on its way, known by its ``key``.

    ``length`` is in bytes, None when its sender does not tell; ``committed`` are the bytes that its file had before.
    ``age`` counts seconds from its headers on; one that ``waits`` for its file's turn has no rate.
    """

    key: int
    user: str
    sessid: str
    name: str
    received: int
    length: int | None
    committed: int
    rate: float
    age: float
    waits: bool


@frozen
class Status:
    """How the daemon is. ``running`` is in seconds since its start; sizes are in bytes."""

    running: float
    connections: int
    free: int
    reserved: int
    received: int
    accepted: int
    discarded: int
    repeats: int
    uploading: int
    uploads: tuple[UploadLine, ...]
    overview: Overview
    progress: dict[str, str]


@define(eq=False, kw_only=True)
class Observed:
    """The parts that are looked at.

    ``seconds`` is a clock that never goes back, ``now`` one since 1970; ``clock`` limits how long the disk and the
    database may take to answer: what asks them raises ``TimeoutError`` of ``twisted.internet.defer`` after that.
    """

    recorder: Recorder
    files: FileRecords
    store: IStore
    relay: Relay
    uploads: Transfers
    server: Server
    metrics: Metrics
    workers: Workers
    min_free: int
    now: Callable[[], float]
    seconds: Callable[[], float]
    clock: IReactorTime
    started: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count how long the daemon runs."""
        self.started = self.seconds()

    async def status(self) -> Status:
        """Return how the daemon is."""
        seen = await self.within(self.recorder.survey(overview, MOST_SHOWN))
        free = await self.free()
        uploads = [await self._line(upload) for upload in self.uploads.all()[:MOST_SHOWN]]
        return Status(
            running=self.seconds() - self.started,
            connections=self.server.connections.total,
            free=free,
            reserved=self.min_free,
            received=self.metrics.received,
            accepted=self.metrics.accepted,
            discarded=self.metrics.discarded,
            repeats=self.metrics.pieces["repeat"],
            uploading=len(self.uploads),
            uploads=tuple(uploads),
            overview=seen,
            progress=self.relay.progress(),
        )

    async def _line(self, upload: Transfer) -> UploadLine:
        """Return what is shown of a piece on its way."""
        session, body = upload.session, upload.body
        record = await self.files.find(session.sessid, upload.name)
        now = self.seconds()
        return UploadLine(
            key=upload.key,
            user=session.username,
            sessid=session.sessid,
            name=upload.name,
            received=body.received,
            length=body.length,
            committed=record.committed if record is not None else 0,
            rate=upload.rate(now),
            age=now - upload.asked,
            waits=upload.begun is None,
        )

    async def summary(self) -> Summary:
        """Return how much is on record."""
        return await self.within(self.recorder.survey(summary))

    async def free(self) -> int:
        """Return the bytes that the disk has left."""
        return await self.within(self.workers(self.store.free))

    async def within(self, asked: Awaitable[T]) -> T:
        """Return what was asked for, if it comes in time; what comes later is thrown away."""
        answer: Deferred[T] = Deferred()

        async def ask() -> None:
            try:
                outcome: Any = await asked
            except Exception:
                outcome = Failure()
            if not answer.called:
                answer.callback(outcome)  # a Failure makes it an errback

        ensureDeferred(ask())
        return await answer.addTimeout(STATUS_PATIENCE, self.clock)
