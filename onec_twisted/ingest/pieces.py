"""What becomes of one piece: appended whole, confirmed because it is held already, or nothing.

A node that never heard ``success`` may send its piece again. A piece that equals the last committed one, byte for
byte, and whose answer is known not to have been delivered, is such a repeat, and is not appended; all other equal
pieces are, for files may hold equal runs (DESIGN section 4).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from twisted.logger import Logger

from onec_twisted.ingest.append import Growth, receive
from onec_twisted.ingest.proofs import Proofs
from onec_twisted.ingest.transfers import Transfers
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.model.errors import (
    ConnectionDropped,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    Refused,
    SyncFailed,
    WrongOffset,
)
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.space import Space
    from onec_twisted.ingest.transfers import Transfer
    from onec_twisted.ingest.writers import Writer
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import FileRecord, Session
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore, IStoredFile

__all__ = ["Pieces", "Stored", "outcome_of"]

REPEAT_PATIENCE = 2.0
"""Seconds that an equal piece waits for the fate of the answer before it."""


@frozen
class Stored:
    """A piece that is stored: its file's length in bytes, and the way of the answer that says so.

    None for the answer to a piece that told its place and was held already: it says nothing of the last piece.
    ``outcome`` is ``stored``, ``repeat`` or ``held``.
    """

    committed: int
    acknowledgement: Acknowledgement | None
    outcome: str


@define(eq=False)
class Pieces:
    """Takes pieces.

    ``body_limit`` and ``session_quota`` are in bytes; ``now`` returns seconds since 1970; ``logs_each`` gives each
    piece an event in the log, not only those that something happened to; ``uploads`` are the pieces on their way.
    """

    body_limit: int
    session_quota: int
    sessions: SessionRecords
    files: FileRecords
    store: IStore
    locks: FileLocks
    space: Space
    workers: Workers
    now: Callable[[], float]
    clock: IReactorTime
    intake: Writer = WRITERS["auto"]
    logs_each: bool = False
    uploads: Transfers = field(factory=lambda: Transfers(lambda: 0.0))
    metrics: Metrics = field(factory=Metrics)
    proofs: Proofs = field(init=False)
    growth: Growth = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Begin with no answer on its way."""
        self.proofs = Proofs(self.files, self.clock)
        self.growth = Growth(self.files, self.store, self.workers, self.metrics)

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
        began = self.metrics.seconds()
        upload = None
        try:
            if body.length is not None and body.length > self.body_limit:
                raise FileTooLarge
            await self.space.look()
            with await self._promise(session, name, body, offset) as room:
                upload = self.uploads.begin(session, str(name), body)
                async with self.locks.of_file(session.sessid, str(name), body):
                    upload.begun = self.uploads.seconds()
                    self.metrics.lock_wait.observe(upload.begun - upload.asked)
                    committed, outcome = await self._store(session, kind, name, body, room, offset)
                    acknowledgement = None if outcome == "held" else self.proofs.watch(session, str(name), committed)
        except BaseException as error:
            self.metrics.piece(outcome_of(error), began)
            if upload is not None:
                await self._dropped(upload, error)
            raise
        finally:
            if upload is not None:
                self.uploads.end(upload)
        self.metrics.piece(outcome, began)
        if self.logs_each:
            self._log.info(
                "{sessid}: {name}: {size} bytes stored in {seconds:.3f} s, {committed} in all",
                sessid=session.sessid,
                user=session.username,
                name=str(name),
                size=body.received,
                seconds=self.metrics.seconds() - began,
                committed=committed,
            )
        return Stored(committed, acknowledgement, outcome)

    async def _dropped(self, upload: Transfer, error: BaseException) -> None:
        """Note that a piece is not kept, and that its session is in use all the same."""
        self._log.info(
            "{sessid}: piece of {name} dropped after {received} bytes: {reason}",
            sessid=upload.session.sessid,
            user=upload.session.username,
            name=upload.name,
            received=upload.body.received,
            reason=error.words if isinstance(error, Refused) else type(error).__name__,
        )
        await self.sessions.touch(upload.session.sessid, self.now())

    async def _sound(self, session: Session, name: SafeName) -> FileRecord | None:
        """Return what is on record of a file, None if nothing is. Raises ``FileDamaged``."""
        record = await self.files.find(session.sessid, str(name))
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
            record = await self.files.find(session.sessid, str(name))
            if record is not None and not record.proven and body.length == record.committed - record.last_start:
                return nullcontext(self.body_limit)  # if it is another piece, the catalog refuses it
        return self.space.promise(session.sessid, session.held, body, self.body_limit, user=session.username)

    async def _store(
        self, session: Session, kind: str, name: SafeName, body: IBody, room: int, offset: int | None
    ) -> tuple[int, str]:
        """With the file's turn: put a piece where it belongs.

        Returns the file's length, and what became of the piece.
        """
        # Taken with the turn, and before the record is read: it is forgotten as soon as its fate is on record
        acknowledgement = self.proofs.of(session.sessid, str(name))
        record = await self._sound(session, name)
        if record is not None and record.sealed:
            raise FileSealed
        if record is None:
            self.files.check_room(session.sessid)
        before = record.committed if record is not None else None
        try:
            if offset is not None and offset != (before or 0):
                return await self._compare(session, name, body, offset, before or 0), "held"
            too_large = FileTooLarge() if room == self.body_limit else InsufficientStorage()
            is_repeat = None
            if record is not None and offset is None and self._may_be_repeat(record, acknowledgement, body.length):
                is_repeat = partial(self._is_repeat, record, acknowledgement)
            intake = self.intake(body, self.workers, partial(self.store.open, session.sessid, name, before))
            keep = partial(self._keep, session, kind, name, before)
            received = await receive(body, intake, room, too_large, keep, is_repeat)
        except (FileDamaged, SyncFailed) as error:
            await self.growth.damaged(session, name, error)
            raise
        if received is None and record is not None:
            return await self._repeated(session, name, record), "repeat"
        body.accepted = received or 0
        return (before or 0) + (received or 0), "stored"

    async def _keep(
        self, session: Session, kind: str, name: SafeName, before: int | None, bring: Callable[[], int]
    ) -> None:
        """Put a piece on the disk, and on record; one that is not on record after all is cut off."""
        await self.growth.keep(
            session,
            name,
            lambda: (before or 0) + bring(),
            lambda grown: self.files.commit(session, str(name), before, grown, self.session_quota, self.now(), kind),
        )

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

    def _may_be_repeat(self, record: FileRecord, acknowledgement: Acknowledgement | None, length: int | None) -> bool:
        """Return whether a piece is worth comparing with the last one: nothing is read from the disk for others."""
        size = record.committed - record.last_start
        if record.proven or not size or length not in (None, size):
            return False
        if acknowledgement is not None:
            acknowledgement.look()
        return acknowledgement is None or not acknowledgement.arrived

    async def _is_repeat(
        self, record: FileRecord, acknowledgement: Acknowledgement | None, file: IStoredFile
    ) -> bool:
        """Return whether what was written is the last piece again, whose answer never arrived."""
        if not await self.workers(file.repeats, record.last_start):
            return False
        return acknowledgement is None or not await acknowledgement.known(REPEAT_PATIENCE)

    async def _repeated(self, session: Session, name: SafeName, record: FileRecord) -> int:
        """Confirm a piece that is a repeat."""
        self._log.info(
            "{sessid}: {name}: a repeat of the last {size} bytes, whose answer had not arrived, is not appended",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            size=record.committed - record.last_start,
        )
        await self.sessions.touch(session.sessid, self.now())
        return record.committed


def outcome_of(error: BaseException) -> str:
    """Return what has become of a piece that an error has ended, one of ``OUTCOMES``."""
    if isinstance(error, Refused):
        return "refused"
    return "broken" if isinstance(error, ConnectionDropped) else "failed"
