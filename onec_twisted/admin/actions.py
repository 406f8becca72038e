"""The administrator's actions: retry hand-offs, drop or give up one, deliver one again, end a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve
from twisted.logger import Logger

from onec_twisted.catalog.sql.outcomes import Superseded
from onec_twisted.model.errors import FileBusy, HandoffRunning, InvalidSession, SessionEnded, ShuttingDown
from onec_twisted.model.journal import HandoffFilter
from onec_twisted.model.records import FAILED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.catalog.journal import Journal
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.proofs import Proofs
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Actions"]

IMPORT_PATIENCE = 10.0
"""Seconds that ending a session waits for its running hand-off."""

READ_AT_ONCE = 200
"""Failed hand-offs that are read at once, of all that are retried or dropped."""


@define(eq=False, kw_only=True)
class Actions:
    """The actions; each returns its outcome, a key of ``Words.notices``."""

    sessions: SessionRecords
    records: HandoffRecords
    journal: Journal
    store: IStore
    locks: FileLocks
    handoffs: Handoffs
    relay: IRelay
    proofs: Proofs
    workers: Workers
    _log = Logger()

    async def retry(self, handoff: str) -> str:
        """Retry a hand-off by its id: one that failed, or one that waits for its next try.

        One is refused whose document the site has got from a newer one.
        """
        try:
            found = await self.handoffs.retry(handoff) or await self.relay.hurry(handoff)
        except Superseded:
            return "superseded"
        if not found:
            return self._missing(handoff)
        self._log.info("hand-off {handoff} retried by the administrator", handoff=handoff)
        return "retried"

    async def drop(self, handoff: str) -> str:
        """Delete a failed hand-off by its id; a new request of its node creates a new one.

        One that waits for its next try fails first, so that its node receives the failure.
        """
        if await self.relay.give_up(handoff):
            self._log.info("hand-off {handoff} given up by the administrator", handoff=handoff)
            return "given_up"
        if not await self.records.drop(handoff):
            return self._missing(handoff)
        self._log.info("hand-off {handoff} dropped by the administrator", handoff=handoff)
        return "dropped"

    async def redeliver(self, handoff: str) -> str:
        """Deliver a hand-off again that was delivered, by its id, unless the site has got a newer document since."""
        try:
            if not await self.handoffs.redeliver(handoff):
                return self._missing(handoff)
        except Superseded:
            return "superseded"
        self._log.info("hand-off {handoff} delivered again by the administrator", handoff=handoff)
        return "redelivered"

    async def retry_all(self, of: HandoffFilter) -> str:
        """Retry all failed hand-offs of a filter's user and shop, or of everybody, the oldest first."""
        return await self._for_all(of, self.retry, "retried", "retried_all")

    async def drop_all(self, of: HandoffFilter) -> str:
        """Delete all failed hand-offs of a filter's user and shop, or of everybody."""
        return await self._for_all(of, self.drop, "dropped", "dropped_all")

    async def _for_all(self, of: HandoffFilter, act: Callable[[str], Awaitable[str]], done: str, notice: str) -> str:
        """Do something to all failed hand-offs; return a notice, that of the last if nothing was ``done`` to any."""
        wanted = HandoffFilter(username=of.username, shop=of.shop, state=FAILED, limit=READ_AT_ONCE)
        ids: list[str] = []
        while True:
            found, _ = await self.journal.handoffs(wanted)
            ids += [handoff.id for handoff in found]
            if len(found) < READ_AT_ONCE:
                break
            wanted = evolve(wanted, before=found[-1].number)
        outcomes = [await act(handoff) for handoff in reversed(ids)]
        return notice if done in outcomes else (outcomes or ["gone"])[-1]

    def _missing(self, handoff: str) -> str:
        """Return why a hand-off was not found: it is under way, or gone."""
        return "running" if handoff in self.relay.prospects() else "gone"

    async def end(self, sessid: str) -> str:
        """End a session: drop the pieces in transfer, and remove its files and its record.

        A session with a hand-off still to be delivered is kept, because the site is to receive it.
        """
        try:
            await self.relay.idle(sessid, IMPORT_PATIENCE)  # first, so that no piece is dropped in vain
            async with self.locks.of_session(sessid, SessionEnded):
                await self.sessions.end(sessid)
                self.proofs.forget(sessid)
                await self.workers(self.store.discard, sessid)
        except InvalidSession:
            return "gone"
        except (FileBusy, HandoffRunning, ShuttingDown):
            return "busy"
        self._log.info("{sessid}: session ended by the administrator", sessid=sessid)
        return "ended"
