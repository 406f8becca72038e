"""What becomes of one piece: it is appended whole, confirmed because it is stored already, or discarded.

A node that never received ``success`` may send its piece again. A piece is such a repeat, and is not appended, if it
equals the last committed one byte for byte and the answer to that one is not known to have arrived. All other equal
pieces are appended, because files may contain equal runs (docs/protocol.md, "file").
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define
from twisted.logger import Logger

from onec_twisted.ingest.append import append_whole, compare_whole
from onec_twisted.ingest.daemons import Overtaken
from onec_twisted.ingest.engine import Stored
from onec_twisted.model.errors import (
    FileBusy,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    Refused,
    SyncFailed,
    WrongOffset,
)
from onec_twisted.model.records import FileRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.ingest.proofs import Proofs
    from onec_twisted.ingest.received import ReceivedFiles
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session, Written
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["Piece", "Pieces"]


@define(eq=False)
class Pieces:
    """Stores the pieces of a shop. ``body_limit`` and ``session_quota`` are in bytes."""

    ingest: Ingest
    proofs: Proofs
    body_limit: int
    session_quota: int
    received: ReceivedFiles

    async def length(self, session: Session, name: SafeName) -> int:
        """Return a file's committed length in bytes, without waiting for a lock; 0 for a file with no bytes yet.

        Raises ``FileDamaged``.
        """
        record = await self.sound(session, name)
        return record.committed if record is not None else 0

    async def sound(self, session: Session, name: SafeName) -> FileRecord | None:
        """Return a file's record, None if there is none. Raises ``FileDamaged``."""
        files = self.ingest.files
        record = await files.find(session.sessid, name.text)
        if record is not None and record.damaged:
            raise FileDamaged
        return record

    def take(
        self, session: Session, name: SafeName, body: IBody, offset: int | None, exchange_type: str = "catalog"
    ) -> Coroutine[Any, Any, Stored]:
        """Store a piece that claims to begin at ``offset`` bytes; None is the end of its file.

        ``exchange_type`` is the query's type. Raises ``Refused`` if the piece is rejected, ``ConnectionDropped`` if
        it breaks off; the file is then unchanged.
        """
        return self.ingest.take(Piece(self, session, name, body, offset, exchange_type))


@define(eq=False)
class Piece:
    """A piece on its way. ``before`` is its file's length on record in bytes, None if there is no record.

    ``answer`` names the answer to it, where several daemons may give one.
    """

    pieces: Pieces
    session: Session
    name: SafeName
    body: IBody
    offset: int | None
    exchange_type: str
    busy: type[Refused] = FileBusy
    before: int | None = None
    start: int = 0
    answer: str = ""
    _log = Logger()

    async def admit(self) -> AbstractContextManager[int]:
        """Reserve room; a piece that is stored already, or may be, needs none of the quota."""
        session, body, pieces = self.session, self.body, self.pieces
        most, ingest = pieces.body_limit, pieces.ingest
        if body.length is not None and body.length > most:
            raise FileTooLarge
        await ingest.space.look()
        if self.offset is not None and self.offset < await pieces.length(session, self.name):
            return nullcontext(0)
        left = pieces.session_quota - session.held
        if self.offset is None and body.length and left < body.length and ingest.space.fits(body.length):
            record = await ingest.files.find(session.sessid, self.name.text)
            if record is not None and not record.proven and body.length == record.committed - record.last_start:
                return nullcontext(most)  # if it is another piece, the catalog refuses it
        rooms, shop = ingest.shop_rooms, None
        if rooms.are_limited:
            shop = await rooms.look(session.username, body.length or 1)
        return ingest.space.promise(session.sessid, left, body, most, user=session.username, shop=shop)

    async def store(self, room: int) -> Stored:
        """Append the piece, or confirm that it is stored already; watch its answer from now on."""
        session, pieces = self.session, self.pieces
        ingest, received_files = pieces.ingest, pieces.received
        # Fetch it under the lock, before the record is read: it is removed as soon as its proof is on record
        acknowledgement = pieces.proofs.of(session.sessid, self.name.text)
        record = await pieces.sound(session, self.name)
        daemons = ingest.daemons
        if not daemons.is_alone:
            if self.offset is None:
                await daemons.check_in_time(session, self.body)
            if acknowledgement is not None and (record is None or acknowledgement.name != record.answer):
                acknowledgement = None  # another daemon has answered since
            self.answer = daemons.name_answer()
        if record is not None and record.sealed:
            raise FileSealed
        if record is None:
            ingest.files.check_room(session.sessid)
        else:
            self.before = self.start = record.committed
        try:
            if self.offset is not None and self.offset != self.start:
                await self._compare(self.offset)
                await daemons.confirm(session)
                return Stored(self.start, None, "held")
            received = await self._append(room, record, acknowledgement)
        except (FileDamaged, SyncFailed) as error:
            await ingest.note_damage(session, self.name, error)
            raise
        except Overtaken as overtaken:
            return await self._overtaken(overtaken.written)
        if received is None:
            await self._note_repeat(record)
        else:
            self.body.accepted = received
        committed = self.start + (received or 0)
        received_files.stored(session, self.name.text, committed)
        return Stored(committed, self._watch(committed), "repeat" if received is None else "stored")

    def _append(
        self, room: int, record: FileRecord | None, acknowledgement: Acknowledgement | None
    ) -> Coroutine[Any, Any, int | None]:
        """Append the piece; return its size in bytes, or None for a repeat, of which nothing is kept."""
        pieces, ingest = self.pieces, self.pieces.ingest
        is_repeat = None
        if record is not None and self.offset is None and _may_be_repeat(record, acknowledgement, self.body.length):
            is_repeat = partial(self._is_repeat, record, acknowledgement)
        open_file = partial(ingest.store.open, self.session, self.name, self.before)
        return append_whole(
            ingest,
            self,
            ingest.writer(self.body, ingest.workers, open_file),
            limit=room,
            too_large=FileTooLarge() if room == pieces.body_limit else InsufficientStorage(),
            is_repeat=is_repeat,
        )

    async def _overtaken(self, written: Written) -> Stored:
        """Confirm a piece that another daemon has just stored.

        Raises ``FileBusy`` if it has stored something else, and ``WrongOffset`` to a piece that named its offset.
        """
        name, start, end, daemons = self.name.text, self.start, written.length, self.pieces.ingest.daemons
        if self.offset is not None:
            raise WrongOffset(await self.pieces.length(self.session, self.name))
        if not await daemons.has_same(self.session, name, self.before, written, self.answer):
            raise FileBusy
        await self._note_repeat(FileRecord(end, start))
        return Stored(end, self._watch(end), "repeat")

    def _watch(self, committed: int) -> Acknowledgement:
        """Watch the answer to the piece, which is on record now.

        A proxy takes answers that its node has left; with several daemons, the node may have gone on elsewhere.
        """
        pieces, name = self.pieces, self.name.text
        acknowledgement = pieces.proofs.watch(self.session, name, committed, self.answer)
        daemons = pieces.ingest.daemons
        if not daemons.is_alone and daemons.has_left(self.body):
            acknowledgement.lost()
        return acknowledgement

    def commit(self, write: Callable[[], Written]) -> Coroutine[Any, Any, int]:
        """Record the file's new length; the same transaction enforces the quota."""
        pieces, ingest, name = self.pieces, self.pieces.ingest, self.name.text
        daemons = ingest.daemons
        if not daemons.is_alone:
            write = daemons.guarded(self.body, write)
        return ingest.files.commit(
            self.session,
            name,
            self.before,
            write,
            pieces.session_quota,
            ingest.now(),
            self.exchange_type,
            self.answer,
        )

    async def _compare(self, offset: int) -> None:
        """Confirm that the piece is stored already, byte for byte. Raises ``WrongOffset`` when it is not."""
        ingest, body, session, committed = self.pieces.ingest, self.body, self.session, self.start
        if offset > committed or (body.length or 0) > committed - offset:
            raise WrongOffset(committed)
        held = partial(ingest.store.compare, session, self.name, offset, committed)
        writer = ingest.writer(body, ingest.workers, held)
        await compare_whole(ingest, self, writer, limit=committed - offset, differs=WrongOffset(committed))
        self._log.info(
            "{sessid}: {name}: {size} bytes from offset {offset} were already stored",
            sessid=session.sessid,
            user=session.username,
            name=self.name.text,
            size=body.received,
            offset=offset,
        )

    async def _is_repeat(
        self, record: FileRecord, acknowledgement: Acknowledgement | None, file: IStoredFile
    ) -> bool:
        """Return whether what was written repeats the last piece, whose answer never arrived."""
        ingest, name = self.pieces.ingest, self.name.text
        daemons = ingest.daemons
        if not await ingest.workers(file.repeats, record):
            return False
        return await daemons.was_lost(self.session, name, record, acknowledgement, self.answer)

    async def _note_repeat(self, record: FileRecord | None) -> None:
        """Log the repeat, and record that its session is in use."""
        ingest = self.pieces.ingest
        self._log.info(
            "{sessid}: {name}: repeat of the last {size} bytes ignored, because their answer was not acknowledged",
            sessid=self.session.sessid,
            user=self.session.username,
            name=self.name.text,
            size=record.committed - record.last_start if record is not None else 0,
        )
        await ingest.sessions.touch(self.session.sessid, ingest.now())

    async def broke_off(self, error: BaseException) -> None:
        """Log that the piece is not kept, and record that its session is in use nevertheless."""
        ingest = self.pieces.ingest
        self._log.info(
            "{sessid}: piece of {name} dropped after {received} bytes: {reason}",
            sessid=self.session.sessid,
            user=self.session.username,
            name=self.name.text,
            received=self.body.received,
            reason=error.words if isinstance(error, Refused) else type(error).__name__,
        )
        await ingest.sessions.touch(self.session.sessid, ingest.now())


def _may_be_repeat(record: FileRecord, acknowledgement: Acknowledgement | None, length: int | None) -> bool:
    """Return whether a piece is worth comparing with the last one; for others nothing is read from the disk."""
    size = record.committed - record.last_start
    if record.proven or not size or length not in (None, size):
        return False
    if acknowledgement is not None:
        acknowledgement.look()
    return acknowledgement is None or not acknowledgement.arrived
