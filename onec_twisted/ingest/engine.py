"""What every append needs, and the frame around one: known as a transfer, alone with its file, timed and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.model.errors import ConnectionDropped, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.space import Space
    from onec_twisted.ingest.transfers import Transfers
    from onec_twisted.ingest.writers import Writer
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Append", "Ingest", "Stored"]


@frozen
class Stored:
    """What an append has come to: its file's length in bytes, and the acknowledgement of the answer that says so.

    None for the answer to a piece that told its place and was held already: it says nothing of the last piece; and
    where the protocol asks for no proof. ``outcome`` is one of the metrics' ``OUTCOMES``.
    """

    committed: int
    acknowledgement: Acknowledgement | None
    outcome: str


class Append(Protocol):
    """The body of a request that is to be appended to a file, by the rules of its protocol.

    ``busy`` is what its sender is told when the file's lock does not come in time; ``start`` is the file's length in
    bytes before the append, known once ``store`` has begun.
    """

    session: Session
    name: SafeName
    body: IBody
    busy: type[Refused]
    start: int

    async def admit(self) -> AbstractContextManager[int]:
        """Return the promise of room for it, in bytes, before it waits for the file's lock. Raises ``Refused``."""

    async def store(self, room: int) -> Stored:
        """With the file's lock: bring it to the disk and on record. Raises ``Refused`` or ``ConnectionDropped``."""

    async def commit(self, write: Callable[[], int]) -> Any:
        """Put it on record, in the same hop to a worker in which ``write`` brings it to the disk.

        ``write`` blocks, and returns the length of the file in bytes.
        """

    async def broke_off(self, error: BaseException) -> None:
        """Note in the log, and on record, that it was not stored as a whole."""


@frozen(eq=False, kw_only=True)
class Ingest:
    """The parts that every append needs, whichever protocol brings it.

    ``now`` returns seconds since 1970; ``workers`` are for what takes little; ``writer`` makes the way of a body to
    the disk; ``logs_each`` gives each append an event in the log, not only those that something happened to.
    """

    sessions: SessionRecords
    files: FileRecords
    store: IStore
    locks: FileLocks
    space: Space
    transfers: Transfers
    workers: Workers
    writer: Writer
    metrics: Metrics
    now: Callable[[], float]
    logs_each: bool
    _log = Logger()

    async def take(self, append: Append) -> Stored:
        """Carry an append out: once there is room, and a place among the transfers, and with the file's lock.

        Raises what the parts of ``append`` raise, ``TooManyUploads``, and what ``FileLocks.of_file`` does.
        """
        session, body, metrics = append.session, append.body, self.metrics
        began = metrics.seconds()
        transfer = None
        try:
            with await append.admit() as room:
                transfer = self.transfers.begin(session, str(append.name), body)
                async with self.locks.of_file(session.sessid, transfer.name, body, append.busy):
                    transfer.begun = self.transfers.seconds()
                    metrics.lock_wait.observe(transfer.begun - transfer.asked)
                    stored = await append.store(room)
        except BaseException as error:
            metrics.piece(_outcome_of(error, body), began)
            if transfer is not None:
                await append.broke_off(error)
            raise
        finally:
            if transfer is not None:
                self.transfers.end(transfer)
        metrics.piece(stored.outcome, began)
        if self.logs_each:
            self._log.info(
                "{sessid}: {name}: {size} bytes stored in {seconds:.3f} s, {committed} in all",
                sessid=session.sessid,
                user=session.username,
                name=transfer.name,
                size=body.received,
                seconds=metrics.seconds() - began,
                committed=stored.committed,
            )
        return stored


def _outcome_of(error: BaseException, body: IBody) -> str:
    """Return what has become of an append that an error has ended, one of ``OUTCOMES``."""
    if body.accepted:
        return "partial"
    if isinstance(error, Refused):
        return "refused"
    return "broken" if isinstance(error, ConnectionDropped) else "failed"
