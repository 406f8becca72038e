"""What every append needs, and the frame around one: it is listed as a transfer, locked, timed and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.model.errors import ConnectionDropped, InsufficientStorage, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.daemons import IDaemons
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.shoproom import ShopRooms
    from onec_twisted.ingest.space import Space
    from onec_twisted.ingest.transfers import Transfers
    from onec_twisted.ingest.writers import Writer
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session, Written
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Append", "Ingest", "Stored"]


@frozen
class Stored:
    """The result of an append: its file's length in bytes, and the acknowledgement of the answer that reports it.

    ``acknowledgement`` is None where the protocol needs no proof, and for a piece that named its offset and was
    stored already: its answer proves nothing about the last piece. ``outcome`` is one of the metrics' ``OUTCOMES``.
    """

    committed: int
    acknowledgement: Acknowledgement | None
    outcome: str


class Append(Protocol):
    """The body of a request to be appended to a file, by the rules of its protocol.

    ``busy`` is the refusal raised when waiting for the file's lock times out; ``start`` is the file's length in
    bytes before the append, known once ``store`` has begun.
    """

    session: Session
    name: SafeName
    body: IBody
    busy: type[Refused]
    start: int

    async def admit(self) -> AbstractContextManager[int]:
        """Reserve room for it, in bytes, before it waits for the file's lock. Raises ``Refused``."""

    async def store(self, room: int) -> Stored:
        """Write and record it, holding the file's lock. Raises ``Refused`` or ``ConnectionDropped``."""

    async def commit(self, write: Callable[[], Written]) -> Any:
        """Record it, in the same hop to a worker in which ``write``, which blocks, writes it to the disk."""

    async def broke_off(self, error: BaseException) -> None:
        """Log and record that it was not stored as a whole."""


@frozen(eq=False, kw_only=True)
class Ingest:
    """The parts that every append needs, whichever protocol carries it.

    ``now`` returns seconds since 1970; ``workers`` run short jobs; ``writer`` makes what writes a body to the
    disk; ``logs_each`` logs an event for every append, not only for the exceptional ones.
    """

    sessions: SessionRecords
    files: FileRecords
    store: IStore
    locks: FileLocks
    space: Space
    shop_rooms: ShopRooms
    transfers: Transfers
    workers: Workers
    writer: Writer
    metrics: Metrics
    daemons: IDaemons
    now: Callable[[], float]
    logs_each: bool
    _log = Logger()

    async def check_room(self, account: str, size: int) -> None:
        """Check that the disk and an account's shop have room for ``size`` bytes; nothing is reserved.

        Raises ``InsufficientStorage`` and ``ShopFull``.
        """
        await self.space.look()
        if not self.space.fits(size):
            raise InsufficientStorage
        await self.shop_rooms.check(account, size)

    async def take(self, append: Append) -> Stored:
        """Carry an append out once it has room, a place among the transfers, and the file's lock.

        Raises what the methods of ``append`` raise, ``TooManyUploads``, and what ``FileLocks.of_file`` raises.
        """
        session, body, metrics = append.session, append.body, self.metrics
        began = metrics.seconds()
        transfer = None
        try:
            with await append.admit() as room:
                transfer = self.transfers.begin(session, append.name.text, body)
                async with self.locks.of_file(session.sessid, transfer.name, body, append.busy):
                    transfer.begun = self.transfers.seconds()
                    metrics.lock_wait.observe(transfer.begun - transfer.requested)
                    stored = await append.store(room)
        except BaseException as error:
            outcome = _outcome_of(error, body)
            metrics.piece(outcome, began, account=session.username, accepted=body.accepted)
            if transfer is not None:
                await append.broke_off(error)
            raise
        finally:
            if transfer is not None:
                self.transfers.end(transfer)
        metrics.piece(stored.outcome, began, account=session.username, accepted=body.accepted)
        if self.logs_each:
            self._log.info(
                "{sessid}: {name}: {size} bytes stored in {seconds:.3f} s, {committed} in total",
                sessid=session.sessid,
                user=session.username,
                name=transfer.name,
                size=body.received,
                seconds=metrics.seconds() - began,
                committed=stored.committed,
            )
        return stored

    async def note_damage(self, session: Session, name: SafeName, error: Exception) -> None:
        """Record a file as damaged, and log a critical event."""
        await self.files.damage(session, name.text)
        self._log.critical(
            "{sessid}: {name} is damaged ({error}); it is refused until init",
            sessid=session.sessid,
            user=session.username,
            name=name.text,
            error=type(error).__name__,
        )


def _outcome_of(error: BaseException, body: IBody) -> str:
    """Return the outcome of an append that an error ended, one of ``OUTCOMES``."""
    if body.accepted:
        return "partial"
    if isinstance(error, Refused):
        return "refused"
    return "broken" if isinstance(error, ConnectionDropped) else "failed"
