"""Removes what nobody touched. Time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog import Catalog
    from onec_twisted.interfaces import IStore
    from onec_twisted.turns import Turns
    from onec_twisted.workers import Workers

__all__ = ["Sweep", "interval_for"]


def interval_for(session_ttl: float) -> float:
    """Return the seconds between two sweeps: often enough for the sessions' life, at least once a minute."""
    return min(60.0, max(1.0, session_ttl / 4))


@frozen(eq=False)
class Sweep:
    """Ends sessions that nobody has touched for ``session_ttl`` seconds, and removes folders without a record.

    A session with an upload running is in use. ``now`` returns seconds since 1970.
    """

    catalog: Catalog
    store: IStore
    turns: Turns
    workers: Workers
    session_ttl: float
    now: Callable[[], float]
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Sweep; an error is logged, and the next sweep tries again."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            then = self.now() - self.session_ttl
            for sessid in await self.catalog.untouched_since(then):
                if not self.turns.busy(sessid) and not self.turns.closed:
                    await self._remove(sessid, then)
            # Folders are listed before the records are asked for, and a session is on record before it has a
            # folder: one that is opened meanwhile is never taken for an orphan. A young one stays: somebody may
            # be about to put the catalog back that it belongs to.
            folders = await self.workers(self.store.folders)
            old = [sessid for sessid, changed in folders.items() if changed < self.now() - self.session_ttl]
            for sessid in await self.catalog.unknown(old):
                if not self.turns.busy(sessid) and not self.turns.closed:
                    await self.workers(self.store.discard, sessid)
                    self._log.info("{sessid}: folder without a record removed", sessid=sessid)
        except Exception:
            self._log.failure("the sweep failed and will be tried again")

    async def _remove(self, sessid: str, then: float) -> None:
        """Forget a session, then its folder: a stop in between leaves a folder that a later sweep finds.

        One that was touched while those before it were removed stays.
        """
        if not await self.catalog.remove_session(sessid, then):
            return
        await self.workers(self.store.discard, sessid)
        self._log.info("{sessid}: session ended, nobody has touched it", sessid=sessid)
