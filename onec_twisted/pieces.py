"""What becomes of one piece: appended whole, confirmed because it is held already, or nothing.

A node that never heard ``success`` may send its piece again. A piece that equals the last committed one, byte for
byte, and whose answer is known not to have been delivered, is such a repeat, and is not appended; all other equal
pieces are, for files may hold equal runs (DESIGN section 4).
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.delivery import Delivery
from onec_twisted.errors import (
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    Refused,
    SyncFailed,
    WrongOffset,
)
from onec_twisted.intake import INTAKES, receive

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.catalog import Catalog
    from onec_twisted.intake import Intake
    from onec_twisted.interfaces import IBody, IPieceFile, IStore
    from onec_twisted.names import SafeName
    from onec_twisted.records import FileRecord, Session
    from onec_twisted.space import Space
    from onec_twisted.turns import Turns
    from onec_twisted.workers import Workers

__all__ = ["Pieces", "Stored"]

PROOF_DELAY = 0.05
"""Seconds that a proof of delivery waits for another record to go on the disk with."""

PATIENCE = 2.0
"""Seconds that an equal piece waits for the fate of the answer before it."""


@frozen
class Stored:
    """A piece that is stored: its file's length in bytes, and the way of the answer that says so.

    None for the answer to a piece that told its place and was held already: it says nothing of the last piece.
    """

    committed: int
    delivery: Delivery | None


@define(eq=False)
class Pieces:
    """Takes pieces.

    ``body_limit`` and ``session_quota`` are in bytes; ``now`` returns seconds since 1970; ``logs_each`` gives each
    piece an event in the log, not only those that something happened to; ``repeats`` counts the repeats that were
    not appended.
    """

    body_limit: int
    session_quota: int
    catalog: Catalog
    store: IStore
    turns: Turns
    space: Space
    workers: Workers
    now: Callable[[], float]
    clock: IReactorTime
    intake: Intake = INTAKES["auto"]
    logs_each: bool = False
    repeats: int = field(default=0, init=False)
    _deliveries: dict[str, dict[str, Delivery]] = field(factory=lambda: defaultdict(dict), init=False)
    _proofs_call: IDelayedCall | None = field(default=None, init=False)
    _log = Logger()

    async def length(self, session: Session, name: SafeName) -> int:
        """Return a file's committed length in bytes, without waiting for anybody; 0 when it has not begun.

        Raises ``FileDamaged``.
        """
        record = await self._sound(session, name)
        return record.committed if record is not None else 0

    async def take(
        self, session: Session, name: SafeName, body: IBody, offset: int | None, kind: str = "catalog"
    ) -> Stored:
        """Store a piece that claims to begin at ``offset`` bytes; None is the end of its file.

        ``kind`` is the query's type. Raises ``Refused`` for whatever keeps it out, ``ConnectionDropped`` when it
        breaks off; the file is then what it was before.
        """
        if body.length is not None and body.length > self.body_limit:
            raise FileTooLarge
        await self.space.look()
        with await self._promise(session, name, body, offset) as room:
            started = self.now()
            try:
                async with self.turns.of_file(session.sessid, str(name), body):
                    committed, is_last = await self._store(session, kind, name, body, room, offset)
                    delivery = self._on_its_way(session, str(name), committed) if is_last else None
            except BaseException as error:
                self._log.info(
                    "{sessid}: piece of {name} dropped after {received} bytes: {reason}",
                    sessid=session.sessid,
                    user=session.username,
                    name=str(name),
                    received=body.received,
                    reason=error.words if isinstance(error, Refused) else type(error).__name__,
                )
                await self.catalog.touch(session.sessid, self.now())
                raise
        if self.logs_each:
            self._log.info(
                "{sessid}: {name}: {size} bytes stored in {seconds:.3f} s, {committed} in all",
                sessid=session.sessid,
                user=session.username,
                name=str(name),
                size=body.received,
                seconds=self.now() - started,
                committed=committed,
            )
        return Stored(committed, delivery)

    def forget(self, sessid: str) -> None:
        """Forget the answers on their way in a session that is emptied."""
        for delivery in self._deliveries.pop(sessid, {}).values():
            delivery.forget()

    def _record_proofs(self) -> None:
        """Put proofs on record that have waited for company long enough."""
        self._proofs_call = None
        self.catalog.record_proofs()

    async def settle(self, patience: float) -> None:
        """Ask for the answers on their way, again after ``patience`` seconds if need be, and record the proofs."""
        if self._look():
            await deferLater(self.clock, patience)
            self._look()
        if self._proofs_call is not None:
            self._proofs_call.cancel()
            self._proofs_call = None
        await self.catalog.flush()

    def _look(self) -> bool:
        """Ask for all answers on their way; return whether any is still open."""
        deliveries = [one for of_session in self._deliveries.values() for one in of_session.values()]
        for delivery in deliveries:
            delivery.look()
        return any(delivery.delivered is None for delivery in deliveries)

    async def _sound(self, session: Session, name: SafeName) -> FileRecord | None:
        """Return what is on record of a file, None if nothing is. Raises ``FileDamaged``."""
        record = await self.catalog.file(session.sessid, str(name))
        if record is not None and record.damaged:
            raise FileDamaged
        return record

    async def _promise(
        self, session: Session, name: SafeName, body: IBody, offset: int | None
    ) -> AbstractContextManager[int]:
        """Return the promise of room for a piece; one that is held already, or may be, needs none of the quota."""
        if offset is not None and offset < await self.length(session, name):
            return nullcontext(0)
        if offset is None and body.length and self.space.is_over_quota_alone(session.held, body.length):
            record = await self.catalog.file(session.sessid, str(name))
            if record is not None and not record.proven and body.length == record.committed - record.last_start:
                return nullcontext(self.body_limit)  # if it is another piece, the catalog refuses it
        return self.space.promise(session.sessid, session.held, body, self.body_limit)

    async def _store(
        self, session: Session, kind: str, name: SafeName, body: IBody, room: int, offset: int | None
    ) -> tuple[int, bool]:
        """With the file's turn: put a piece where it belongs.

        Returns the file's length, and whether the piece is the last of the file.
        """
        # Taken with the turn, and before the record is read: it is forgotten as soon as its fate is on record
        delivery = self._deliveries.get(session.sessid, {}).get(str(name))
        record = await self._sound(session, name)
        if record is not None and record.sealed:
            raise FileSealed
        before = record.committed if record is not None else None
        try:
            if offset is not None and offset != (before or 0):
                return await self._compare(session, name, body, offset, before or 0), False
            too_large = FileTooLarge() if room == self.body_limit else InsufficientStorage()
            is_repeat = None
            if record is not None and offset is None and self._may_be_repeat(record, delivery, body.length):
                is_repeat = partial(self._is_repeat, record, delivery)
            intake = self.intake(body, self.workers, partial(self.store.open, session.sessid, name, before))
            keep = partial(self._keep, session, kind, name, before)
            received = await receive(body, intake, room, too_large, keep, is_repeat)
        except (FileDamaged, SyncFailed) as error:
            await self._damaged(session, name, error)
            raise
        if received is None and record is not None:
            return await self._repeated(session, name, record), True
        return (before or 0) + (received or 0), True

    async def _keep(
        self, session: Session, kind: str, name: SafeName, before: int | None, bring: Callable[[], int]
    ) -> None:
        """Put a piece on the disk, and on record; one that is not on record after all is cut off."""
        brought = False

        def grown() -> int:
            """In a worker: return the file's new length."""
            nonlocal brought
            size = bring()
            brought = True
            return (before or 0) + size

        try:
            await self.catalog.commit(session, str(name), before, grown, self.session_quota, self.now(), kind)
        except BaseException:
            if brought:
                known = await self.catalog.file(session.sessid, str(name))  # it may have been recorded all the same
                await self.workers(
                    self.store.cut, session.sessid, name, known.committed if known is not None else None
                )
            raise

    async def _compare(self, session: Session, name: SafeName, body: IBody, offset: int, committed: int) -> int:
        """Confirm a piece that is held already, byte for byte; raises ``WrongOffset`` for any other."""
        if offset > committed or (body.length or 0) > committed - offset:
            raise WrongOffset(committed)
        held = partial(self.store.compare, session.sessid, name, offset, committed)
        intake = self.intake(body, self.workers, held)
        await receive(body, intake, committed - offset, WrongOffset(committed), self.workers)
        self._log.info(
            "{sessid}: {name}: {size} bytes from {offset} on are held already",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            size=body.received,
            offset=offset,
        )
        return committed

    def _may_be_repeat(self, record: FileRecord, delivery: Delivery | None, length: int | None) -> bool:
        """Return whether a piece is worth comparing with the last one: nothing is read from the disk for others."""
        size = record.committed - record.last_start
        if record.proven or not size or length not in (None, size):
            return False
        if delivery is not None:
            delivery.look()
        return delivery is None or not delivery.delivered

    async def _is_repeat(self, record: FileRecord, delivery: Delivery | None, file: IPieceFile) -> bool:
        """Return whether what was written is the last piece again, whose answer never arrived."""
        if not await self.workers(file.repeats, record.last_start):
            return False
        return delivery is None or not await delivery.known(PATIENCE)

    async def _repeated(self, session: Session, name: SafeName, record: FileRecord) -> int:
        """Confirm a piece that is a repeat."""
        self.repeats += 1
        self._log.info(
            "{sessid}: {name}: a repeat of the last {size} bytes, whose answer had not arrived, is not appended",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            size=record.committed - record.last_start,
        )
        await self.catalog.touch(session.sessid, self.now())
        return record.committed

    def _on_its_way(self, session: Session, name: str, committed: int) -> Delivery:
        """Watch the answer to a piece that is on record now."""
        delivery = Delivery(
            self.clock, lambda delivered: self._delivered(session, name, committed, delivery, delivered)
        )
        of_session = self._deliveries[session.sessid]
        if name in of_session:
            of_session[name].forget()
        of_session[name] = delivery
        return delivery

    def _delivered(self, session: Session, name: str, committed: int, delivery: Delivery, delivered: bool) -> None:
        """Put a proof on record, and forget the answer when it is there; one that was lost needs no record."""

        def forget(_: object) -> None:
            of_session = self._deliveries.get(session.sessid, {})
            if of_session.get(name) is delivery:
                del of_session[name]
                if not of_session:
                    del self._deliveries[session.sessid]

        if not delivered:
            forget(None)
            return
        recorded = self.catalog.prove(session, name, committed)
        recorded.addCallback(forget)
        recorded.addErrback(
            lambda failure: self._log.failure(
                "{sessid}: a proof of delivery was not recorded", failure, sessid=session.sessid
            )
        )
        if self._proofs_call is None:
            self._proofs_call = self.clock.callLater(PROOF_DELAY, self._record_proofs)

    async def _damaged(self, session: Session, name: SafeName, error: Exception) -> None:
        """Put a file on record as damaged, and say so loudly."""
        await self.catalog.damage(session, str(name))
        self._log.critical(
            "{sessid}: {name} is damaged ({error}); it is refused until init",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            error=type(error).__name__,
        )
