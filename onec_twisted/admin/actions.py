"""What an administrator may do: try a hand-off again, drop one, end a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define
from twisted.logger import Logger

from onec_twisted.model.errors import FileBusy, HandoffRunning, InvalidSession, SessionEnded, ShuttingDown

if TYPE_CHECKING:
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relay import Relay
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.proofs import Proofs
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Actions"]

IMPORT_PATIENCE = 10.0
"""Seconds that the end of a session waits for a hand-off of it that is running."""


@define(eq=False, kw_only=True)
class Actions:
    """Each returns what has come of it, a key of ``Words.notices``."""

    sessions: SessionRecords
    records: HandoffRecords
    store: IStore
    locks: FileLocks
    handoffs: Handoffs
    relay: Relay
    proofs: Proofs
    workers: Workers
    _log = Logger()

    async def retry(self, handoff: str) -> str:
        """Hand off again what has failed, by its id."""
        if not await self.handoffs.retry(handoff):
            return "gone"
        self._log.info("hand-off {handoff} is tried again by the administrator", handoff=handoff)
        return "retried"

    async def drop(self, handoff: str) -> str:
        """Forget what has failed, by its id; when its node asks for it again, it is made anew."""
        if not await self.records.drop(handoff):
            return "gone"
        self._log.info("hand-off {handoff} is dropped by the administrator", handoff=handoff)
        return "dropped"

    async def end(self, sessid: str) -> str:
        """End a session: pieces on their way are dropped, its files and its record are removed.

        What is promised to the site is kept: a session with a hand-off that is still to be delivered stays.
        """
        try:
            await self.relay.idle(sessid, IMPORT_PATIENCE)  # before a piece on its way is dropped in vain
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
