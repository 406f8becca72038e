"""A snapshot of the daemon's state as values, for the page and the gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from onec_twisted.catalog.sql.overview import overview, summary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.journal import Journal
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.catalog.sql.overview import Overview, Summary
    from onec_twisted.delivery.lines import Prospect
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.http.server import Server
    from onec_twisted.ingest.transfers import Transfer, Transfers
    from onec_twisted.model.daemons import DaemonLine
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["STATUS_PATIENCE", "Observed", "Status", "TransferLine", "number_in"]

T = TypeVar("T")

STATUS_PATIENCE = 5.0
"""Seconds that the disk and the database have to respond."""

MOST_SHOWN = 50
"""Most pieces, sessions, and hand-offs in each state that are shown."""


@frozen
class TransferLine:
    """A piece in transfer, identified by its ``key``.

    ``length`` is in bytes, None if its sender did not declare it; ``committed`` is the size of its file before.
    ``age`` is in seconds since its headers; a piece that ``waits`` for its file's lock has no rate.
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
    daemon: str = ""
    """The other daemon that takes it in; empty for this one."""


@frozen
class Status:
    """The daemon's state: ``running`` seconds since its start, sizes in bytes, ``prospects`` by hand-off.

    ``daemons`` are all that share the records, this one as well; none if there is only this one. Their pieces are
    among the ``transfers``, as they were a second ago.
    """

    running: float
    connections: int
    free: int
    reserved: int
    received: int
    accepted: int
    discarded: int
    repeats: int
    transferring: int
    transfers: tuple[TransferLine, ...]
    overview: Overview
    prospects: dict[str, Prospect]
    daemons: tuple[DaemonLine, ...] = ()


async def _alone() -> tuple[DaemonLine, ...]:
    """Return that there is no other daemon."""
    return ()


@define(eq=False, kw_only=True)
class Observed:
    """The parts that are observed.

    ``seconds`` is a monotonic clock, ``now`` returns seconds since 1970; ``clock`` limits how long the disk and the
    database may take to respond: after that the methods raise ``TimeoutError`` of ``twisted.internet.defer``.
    """

    recorder: Recorder
    files: FileRecords
    journal: Journal
    store: IStore
    relay: IRelay
    transfers: Transfers
    server: Server
    metrics: Metrics
    workers: Workers
    min_free: Callable[[], int]
    now: Callable[[], float]
    seconds: Callable[[], float]
    clock: IReactorTime
    everybody: Callable[[], Awaitable[tuple[DaemonLine, ...]]] = _alone
    started: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Note when the daemon started."""
        self.started = self.seconds()

    async def status(self) -> Status:
        """Return the daemon's state."""
        seen = await self.within(self.recorder.survey(overview, MOST_SHOWN))
        free = await self.free()
        transfers = [await self._line(transfer) for transfer in self.transfers.all()[:MOST_SHOWN]]
        daemons = await self.within(self.everybody())
        others = [one for one in daemons if not one.is_this and not one.is_lost]
        for other in others:
            transfers += _lines_of(other)
        return Status(
            running=self.seconds() - self.started,
            connections=self.server.connections.total,
            free=free,
            reserved=self.min_free(),
            received=self.metrics.received,
            accepted=self.metrics.accepted,
            discarded=self.metrics.discarded,
            repeats=self.metrics.pieces["repeat"],
            transferring=len(self.transfers) + sum(number_in(one.state, "transferring") for one in others),
            transfers=tuple(transfers[:MOST_SHOWN]),
            overview=seen,
            prospects=self.relay.prospects(),
            daemons=daemons,
        )

    async def _line(self, transfer: Transfer) -> TransferLine:
        """Return what is shown of a piece in transfer."""
        session, body = transfer.session, transfer.body
        record = await self.files.find(session.sessid, transfer.name)
        now = self.seconds()
        return TransferLine(
            key=transfer.key,
            user=session.username,
            sessid=session.sessid,
            name=transfer.name,
            received=body.received,
            length=body.length,
            committed=record.committed if record is not None else 0,
            rate=transfer.rate(now),
            age=now - transfer.requested,
            waits=transfer.begun is None,
        )

    async def summary(self) -> Summary:
        """Return totals of the records."""
        return await self.within(self.recorder.survey(summary))

    async def free(self) -> int:
        """Return the free bytes of the disk."""
        return await self.within(self.workers(self.store.free))

    async def within(self, awaitable: Awaitable[T]) -> T:
        """Return the awaited result if it arrives in time; a later one is discarded."""
        answer: Deferred[T] = Deferred()

        async def ask() -> None:
            try:
                outcome: Any = await awaitable
            except Exception:
                outcome = Failure()
            if not answer.called:
                answer.callback(outcome)  # a Failure makes it an errback

        ensureDeferred(ask())
        return await answer.addTimeout(STATUS_PATIENCE, self.clock)


def number_in(state: Mapping[str, Any], name: str) -> int:
    """Return a number that another daemon told, 0 if it told none."""
    value = state.get(name)
    return value if isinstance(value, int) else 0


def _lines_of(daemon: DaemonLine) -> Iterator[TransferLine]:
    """Yield the pieces in transfer that another daemon told, unless it tells them otherwise than this version."""
    told = daemon.state.get("transfers")
    for one in told if isinstance(told, list) else ():
        try:
            yield TransferLine(**one, committed=0, daemon=daemon.name)
        except TypeError:
            continue
