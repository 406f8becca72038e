"""What is on record: sessions, and every file's committed length.

What is recorded goes to SQLite in a worker, together with what others record at that moment; the write-ahead log
with ``synchronous=FULL`` is on the disk when it has been recorded. What is asked of a session in use is answered
from memory. The token is the session's secret, so its SHA-256 stands here, not the token.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import evolve

from onec_twisted.catalog.cache import AT_ONCE, FILES_OF_SESSION, KnownSession
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.description import describe
from onec_twisted.model.errors import TooManyFiles
from onec_twisted.model.records import SETTLED, Session
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from onec_twisted.catalog.sqlite import Database, Step
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import FileRecord, Handoff
    from onec_twisted.runtime.workers import Workers

__all__ = ["Catalog"]

T = TypeVar("T")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def _described(handoff: Handoff, folder: str) -> Description:
    """In a worker: return a description that has its JSON."""
    description = describe(handoff, folder)
    description.as_json()
    return description


class Catalog:
    """Sessions and files on record.

    Times are seconds since 1970 and come from the caller. Nobody else writes to the database, so what is known of a
    session in use is kept in memory.
    """

    def __init__(
        self, database: Database, workers: Workers, metrics: Metrics | None = None, errands: Workers | None = None
    ) -> None:
        """Work with a database; its methods run in workers, those that take long in ``errands``, if there are any."""
        self.recorder = Recorder(database, workers, metrics or Metrics(), errands or workers)
        self.files_at_once = AT_ONCE
        self._known = self.recorder.known
        self._reading: SingleFlight[Session | None] = SingleFlight()

    def close(self) -> None:
        """Close the database, when nothing is left to record."""
        self.recorder.close()

    async def open_session(self, sessid: str, token: str, username: str, now: float, most: int = 0) -> None:
        """Put a new session on record. Raises ``TooManySessions`` when its user has ``most``; 0 is no limit."""
        token_hash = _hash(token)
        await self.recorder.record(
            sessid, lambda: (statements.open_session, (sessid, token_hash, username, now, most))
        )
        self._known.add(token_hash, KnownSession(Session(sessid, username, 1, 0, now)))

    async def session(self, token: str) -> Session | None:
        """Return the session that a token opens, None if it opens none.

        Those who ask for one that has to be read go on in the order in which they asked: pieces of a file do.
        """
        token_hash = _hash(token)
        known = self._known.of_token(token_hash)
        if known is not None:
            return known.session
        return await self._reading.call(token_hash, lambda: self._read_session(token_hash))

    async def _read_session(self, token_hash: str) -> Session | None:
        """Read a session, and keep it in memory."""
        with self.recorder.recorded_meanwhile() as meanwhile:
            found = await self.recorder.read(statements.known_session, token_hash, self.files_at_once)
        # What was recorded meanwhile may be missing in what was read: it is good enough to answer with, not to keep
        if found is not None and found.session.sessid not in meanwhile:
            self._known.add(token_hash, found)
        return found.session if found is not None else None

    async def touch(self, sessid: str, now: float) -> None:
        """Record that the session is in use."""
        await self.recorder.record(sessid, lambda: (statements.touch, (sessid, now)))
        known = self._known.of_sessid(sessid)
        if known is not None:
            known.touch(now)

    async def file(self, sessid: str, name: str) -> FileRecord | None:
        """Return what is known of a file, None if it is not on record."""
        known = self._known.of_sessid(sessid)
        if known is not None and (known.complete or name in known.files):
            return known.files.get(name)
        with self.recorder.recorded_meanwhile() as meanwhile:
            record = await self.recorder.read(statements.file, sessid, name)
        if known is not None and record is not None and sessid not in meanwhile:
            known.files.setdefault(name, record)
            self._known.note_file()
        return record

    def check_files(self, sessid: str) -> None:
        """Raise ``TooManyFiles`` when a session may have no other file."""
        known = self._known.of_sessid(sessid)
        if known is not None and known.count >= FILES_OF_SESSION:
            raise TooManyFiles

    async def commit(
        self,
        session: Session,
        name: str,
        before: int | None,
        bring: Callable[[], int],
        quota: int,
        now: float,
        kind: str = "catalog",
    ) -> int:
        """Record how far a file has grown from ``before`` bytes (None: it was not there); return its length in bytes.

        ``kind`` is the query's type; ``bring`` is called in a worker, brings the file to the disk and returns that
        length.

        Raises what ``bring`` raises, ``FileSealed`` when it was handed off, ``SessionRestarted`` when the session is
        in another epoch by now, ``InvalidSession`` when it is gone, ``InsufficientStorage`` when it would hold more
        than ``quota`` bytes. Nothing is recorded then.
        """
        after = 0

        def make() -> Step:
            nonlocal after
            after = bring()
            return statements.commit, (session, name, before, after, quota, now, kind)

        await self.recorder.record(session.sessid, make, at_once=False)
        known = self._known.of_sessid(session.sessid)
        if known is not None:
            known.commit(session.epoch, name, before, after, now)
            if before is None:
                self._known.note_file()
        return after

    def prove(self, session: Session, name: str, committed: int) -> Deferred[None]:
        """Record that the answer to the piece that ends at ``committed`` bytes is known to have been delivered.

        It waits for another record to go to the disk with, or for ``record_proofs``.
        """

        def note(_: object) -> None:
            known = self._known.of_sessid(session.sessid)
            if known is not None:
                known.prove(session.epoch, name, committed)

        step = statements.prove, (session, name, committed)
        return self.recorder.record_later(session.sessid, step).addCallback(note)

    def record_proofs(self) -> None:
        """Record what waits for company, now; who waits for it is told what became of it."""
        self.recorder.record_waiting()

    def flush(self) -> Deferred[None]:
        """Record what waits for company; fires when nothing is left to record."""
        return self.recorder.flush()

    async def damage(self, session: Session, name: str) -> None:
        """Record that acknowledged bytes of a file are doubtful."""
        await self.recorder.record(session.sessid, lambda: (statements.damage, (session, name)))
        known = self._known.of_sessid(session.sessid)
        if known is not None:
            known.damage(session.epoch, [name])

    async def damage_all(self, session: Session) -> None:
        """Record that acknowledged bytes of every file of a session are doubtful."""
        await self.recorder.record(session.sessid, lambda: (statements.damage_all, (session,)))
        known = self._known.of_sessid(session.sessid)
        if known is not None:
            known.damage(session.epoch, list(known.files))

    async def has_damaged(self, sessid: str) -> bool:
        """Return whether any file of a session is damaged."""
        return await self.recorder.read(statements.has_damaged, sessid)

    async def sync(self) -> None:
        """Bring all that is recorded to the disk, where single transactions are not."""
        await self.recorder.sync()

    async def probe(self) -> None:
        """See that something could be recorded; raises what the database says when not, and ``CatalogBusy``."""
        await self.recorder.probe()

    async def tidy(self) -> None:
        """Make the database's log short again, if it has grown; see ``Database.tidy``."""
        await self.recorder.tidy()

    async def start_epoch(self, sessid: str, now: float) -> None:
        """Forget the session's files; pieces that are on their way belong to an epoch that is gone."""
        epoch = cast("int", await self.recorder.record(sessid, lambda: (statements.start_epoch, (sessid, now))))
        known = self._known.of_sessid(sessid)
        if known is not None:
            known.start_epoch(epoch, now)

    async def archives(self, sessid: str, most: int) -> dict[str, int]:
        """Return the names of a session's archives, ``most`` of them, and their committed lengths in bytes."""
        return await self.recorder.survey(statements.archives, sessid, most)

    async def imported(self, sessid: str, filename: str) -> Handoff | None:
        """Return the hand-off of a name that was asked to be imported, None if it was not."""
        return await self.recorder.read(outbox.imported, sessid, filename)

    async def import_asked(
        self, session: Session, kind: str, filename: str, archive: str, size: int, now: float
    ) -> Handoff:
        """Hand off what a node asks to import, and seal its file; see ``outbox.import_asked``."""
        step = outbox.import_asked, (session, kind, filename, archive, size, now)
        handoff = cast("Handoff", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, [handoff])
        return handoff

    async def event_came(self, session: Session, event: str, kind: str, timestamp: str, now: float) -> list[Handoff]:
        """Hand off an event, and files before it that nobody asked to import; see ``outbox.event_came``."""
        step = outbox.event_came, (session, event, kind, timestamp, now)
        handoffs = cast("list[Handoff]", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, handoffs)
        return handoffs

    async def quiet_since(self, then: float) -> list[Session]:
        """Return the sessions that owe the site something, and that nobody has touched since a moment."""
        return await self.recorder.survey(outbox.quiet_since, then)

    async def settle(self, session: Session, now: float) -> list[Handoff]:
        """Hand off all files of a session whose node says no more; see ``outbox.settle``."""
        step = outbox.settle, (session, now)
        handoffs = cast("list[Handoff]", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, handoffs)
        return handoffs

    def _seal(self, epoch: int, handoffs: list[Handoff]) -> None:
        """Know that the files of hand-offs are sealed."""
        for handoff in handoffs:
            known = self._known.of_sessid(handoff.sessid)
            if known is not None and handoff.event == SETTLED:
                known.forget_files()  # which ones were sealed is on record alone
            elif known is not None:
                known.seal(epoch, [name for name, _ in handoff.files])

    async def described(self, handoff: Handoff, folder: str) -> Description:
        """Return the description of a hand-off whose files lie in a folder.

        That of many files, and its JSON, is made in a worker.
        """
        if handoff.count == len(handoff.files):
            return describe(handoff, folder)
        return await self.recorder.survey_and_then(
            lambda files: _described(evolve(handoff, files=tuple(files)), folder), outbox.files_of, handoff
        )

    async def note_outcome(self, handoff: Handoff, now: float) -> None:
        """Record what became of a try to deliver a hand-off."""
        await self.recorder.record(handoff.sessid, lambda: (outbox.note_outcome, (handoff, now)))

    async def tell(self, handoff: Handoff) -> None:
        """Record that the node has heard of a failure."""
        await self.recorder.record(handoff.sessid, lambda: (outbox.tell, (handoff,)))

    async def retry(self, handoff: str, now: float) -> Handoff | None:
        """Hand off again what has failed, by its id; see ``outbox.retry``."""
        return cast("Handoff | None", await self.recorder.record("", lambda: (outbox.retry, (handoff, now))))

    async def drop(self, handoff: str) -> bool:
        """Forget a hand-off that has failed, by its id; return whether there was one."""
        return cast("bool", await self.recorder.record("", lambda: (outbox.drop, (handoff,))))

    async def waiting_handoffs(self) -> list[Handoff]:
        """Return all hand-offs that are still to be delivered, in their order."""
        return await self.recorder.survey(outbox.waiting)

    async def ended(self, ended: float, kept: float) -> list[str]:
        """Return the sessids of all sessions that may go; see ``statements.ended``."""
        return await self.recorder.survey(statements.ended, ended, kept)

    async def unknown(self, sessids: list[str]) -> list[str]:
        """Return those sessids that are not on record."""
        return await self.recorder.survey(statements.unknown, sessids)

    async def end_session(self, sessid: str) -> None:
        """Forget a session unless something of it is to be delivered; see ``statements.end_session``."""
        await self.recorder.record(sessid, lambda: (statements.end_session, (sessid,)))
        self._known.forget(sessid)

    async def users(self) -> list[str]:
        """Return the users whose sessions let somebody in."""
        return await self.recorder.read(statements.users)

    async def sessions_of(self, username: str) -> list[str]:
        """Return the sessids of all sessions of a user that let somebody in."""
        return await self.recorder.read(statements.sessions_of, username)

    async def revoke(self, sessid: str) -> None:
        """Let nobody in by a session any more; what is in it stays, and goes its way."""
        await self.recorder.record(sessid, lambda: (statements.revoke, (sessid,)))
        self._known.forget(sessid)

    async def expire_uploads(self, ended: float, before: float, busy: frozenset[str]) -> None:
        """Note which uploads of tus are gone, and forget those before; see ``statements.expire_uploads``."""
        await self.recorder.record("", lambda: (statements.expire_uploads, (ended, before, busy)))

    async def ask(self, question: Callable[..., T], *args: Any) -> T:
        """Return the answer to a question of ``overview``."""
        return await self.recorder.survey(question, *args)

    async def remove_session(self, sessid: str, ended: float, kept: float) -> bool:
        """Forget a session and all that belongs to it, if it may still go; return whether."""
        step = statements.remove_session, (sessid, ended, kept)
        removed = cast("bool", await self.recorder.record(sessid, lambda: step))
        if removed:
            self._known.forget(sessid)
        return removed
