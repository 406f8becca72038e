"""File records, without blocking: each file's committed length, and whether its answer arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from onec_twisted.catalog.cache import FILES_OF_SESSION
from onec_twisted.catalog.sql import contents
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.errors import TooManyFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from onec_twisted.catalog.cache import KnownSessions
    from onec_twisted.catalog.interfaces import Step
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.model.records import FileRecord, Session, Written

__all__ = ["FileRecords"]


@frozen(eq=False)
class FileRecords:
    """The file records. Lengths are in bytes; times are seconds since 1970, and come from the caller."""

    recorder: Recorder
    _known: KnownSessions = field(init=False)

    @_known.default
    def _of_recorder(self) -> KnownSessions:
        return self.recorder.known

    async def find(self, sessid: str, name: str) -> FileRecord | None:
        """Return a file's record, None if there is none."""
        known = self._known.of_sessid(sessid)
        if known is not None and (known.complete or name in known.files):
            return known.files.get(name)
        foreseen = self._known.take(sessid, name)
        if foreseen is not None:
            return foreseen[0]
        with self.recorder.recorded_meanwhile() as meanwhile:
            record = await self.recorder.read(statements.file, sessid, name)
        if known is not None and record is not None and sessid not in meanwhile:
            known.files.setdefault(name, record)
            self._known.note_file()
        return record

    def check_room(self, sessid: str) -> None:
        """Raise ``TooManyFiles`` when a session may have no more files."""
        known = self._known.of_sessid(sessid)
        if known is not None and known.count >= FILES_OF_SESSION:
            raise TooManyFiles

    async def archives(self, sessid: str, most: int) -> dict[str, int]:
        """Return the names of at most ``most`` archives of a session, and their lengths; see ``sql.contents``."""
        return await self.recorder.survey(contents.archives, sessid, most)

    async def amount(self, sessid: str) -> tuple[int, int]:
        """Return how many bytes and files a session holds."""
        return await self.recorder.survey(contents.amount, sessid)

    async def holders(self, sessid: str, name: str, most: int) -> tuple[dict[str, int], int]:
        """Return the files that may hold a document, and how many were begun; see ``sql.contents.holders``."""
        return await self.recorder.survey(contents.holders, sessid, name, most)

    async def commit(
        self,
        session: Session,
        name: str,
        before: int | None,
        write: Callable[[], Written],
        quota: int,
        now: float,
        exchange_type: str = "catalog",
        answer: str = "",
    ) -> int:
        """Record a file's growth from ``before`` bytes (None: it was not there); return its length in bytes.

        ``exchange_type`` is the query's type; ``write`` is called in a worker, and writes the file to the disk;
        ``answer`` names the answer that will report this, where several daemons may give one.

        Raises what ``write`` raises, ``FileSealed`` if the file was handed off, ``SessionRestarted`` if the session
        is now in another epoch, ``InvalidSession`` if it is gone, ``InsufficientStorage`` if it would hold more than
        ``quota`` bytes. In these cases nothing is recorded.
        """
        after = 0

        def make() -> Step:
            nonlocal after
            written = write()
            after = written.length
            return statements.commit, (session, name, before, written, quota, now, exchange_type, answer)

        await self.recorder.record(session.sessid, make, at_once=False)
        known = self._known.of_sessid(session.sessid)
        if known is not None:
            known.commit(session.epoch, name, before, after, now)
            if before is None:
                self._known.note_file()
        else:
            self._known.take(session.sessid, name)  # who has read the record before this would be overtaken
        return after

    def prove(
        self, session: Session, name: str, committed: int, recorded: Callable[[Any], None], answer: str = ""
    ) -> None:
        """Record that the answer to the piece that ends at ``committed`` bytes is known to have arrived.

        It waits for the next commit of another record, or for ``record_proofs``. ``recorded`` is called once, with
        None or a Failure.
        """

        def note(outcome: Any) -> None:
            known = self._known.of_sessid(session.sessid)
            if known is not None and outcome is None:
                known.prove(session.epoch, name, committed)
            recorded(outcome)

        self.recorder.record_later(session.sessid, (statements.prove, (session, name, committed, answer)), note)

    def record_proofs(self) -> None:
        """Record what waits for another record, now."""
        self.recorder.record_waiting()

    def flush(self) -> Deferred[None]:
        """Record what waits for another record; return a Deferred that fires when nothing is left to record."""
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
        """Sync all records to the disk, where single transactions are not synced."""
        await self.recorder.sync()
