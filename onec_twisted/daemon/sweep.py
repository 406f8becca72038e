"""Removes unused sessions, uploads and folders, and what is old in the journal. Time is an argument."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from onec_twisted.model.errors import CatalogBusy, StorageRemoved
from onec_twisted.model.shops import shop_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onec_twisted.catalog.journal import Journal
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.daemon.config import Config
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Lifetimes", "Sweep", "interval_for"]

AT_ONCE = 8
"""Sessions removed at the same time, so that their records share a sync."""

LEAST_KEPT = 10.0
"""Least seconds that a session is kept after its files were imported: nodes pause between requests (1C:UNF 5 s)."""


def interval_for(*lifetimes: float) -> float:
    """Return the seconds between two sweeps: short enough for the shortest lifetime, at most a minute."""
    return min(60.0, max(1.0, min(lifetimes) / 4))


@frozen
class Lifetimes:
    """How long files stay after they were imported, and the journal keeps an exchange: in seconds.

    ``keep`` and ``history`` are those of the default shop, and of all that are not in the mappings by shop.
    """

    keep: float
    history: float
    keep_of_shops: Mapping[str, float] = field(factory=dict)
    history_of_shops: Mapping[str, float] = field(factory=dict)

    @classmethod
    def of(cls, config: Config) -> Lifetimes:
        """Return what the settings say."""
        keeps = {shop.name: shop.config.keep for shop in config.shops if shop.config.keep != config.keep}
        histories = {shop.name: shop.config.history for shop in config.shops if shop.config.history != config.history}
        return cls(config.keep, config.history, keeps, histories)

    def keep_of(self, account: str) -> float:
        """Return how long files of an account stay."""
        return max(self.keep_of_shops.get(shop_of(account), self.keep), LEAST_KEPT)

    def keeps(self) -> set[float]:
        """Return all the different times that files stay."""
        return {max(keep, LEAST_KEPT) for keep in (self.keep, *self.keep_of_shops.values())}


@frozen(eq=False, kw_only=True)
class Sweep:
    """Ends sessions that were unused for ``session_ttl`` seconds, and removes folders without a record.

    A removed upload is remembered for as long again, so that its client learns that it existed. A session whose files
    were all imported is kept for a while; one that was not handed off is never removed, and one with a running
    transfer is in use. ``lifetimes`` returns how long what is kept; ``now`` returns seconds since 1970.
    """

    recorder: Recorder
    sessions: SessionRecords
    store: IStore
    locks: FileLocks
    workers: Workers
    session_ttl: float
    journal: Journal
    lifetimes: Callable[[], Lifetimes]
    now: Callable[[], float]
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Sweep; an error is logged, and the next sweep retries."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            for step in (self._sessions, self._kept, self._uploads, self._orphans, self._old, self.recorder.tidy):
                if not self.locks.closed:
                    await step()
        except (CatalogBusy, StorageRemoved):
            return  # already logged; the next sweep retries
        except Exception as error:
            if not self._is_away(error):
                self._log.failure("the sweep failed; it will be retried")

    async def _sessions(self) -> None:
        """Remove sessions whose time is over."""
        ended, lifetimes = self.now() - self.session_ttl, self.lifetimes()
        for keep in lifetimes.keeps():
            kept = self.now() - keep
            found = await self.sessions.ended(ended, kept)
            sessids = [sessid for sessid, account in found if lifetimes.keep_of(account) == keep]
            while sessids and not self.locks.closed:
                some, sessids = sessids[:AT_ONCE], sessids[AT_ONCE:]
                removals = [self._remove(sessid, ended, kept) for sessid in some if not self.locks.busy(sessid)]
                await gatherResults([Deferred.fromCoroutine(removal) for removal in removals])

    async def _kept(self) -> None:
        """Remove what was imported before an ``init``, and kept for its time."""
        lifetimes, now = self.lifetimes(), self.now()
        kept = await self.sessions.kept_since(now - min(lifetimes.keeps()))
        outdated = [one.folder for one in kept if one.changed < now - lifetimes.keep_of(one.username)]
        await self.sessions.forget_kept(outdated)
        for folder in outdated:
            if await self._discard(self.store.drop, folder):
                self._log.info("{folder}: folder of an earlier import removed", folder=folder)

    async def _uploads(self) -> None:
        """Expire tus uploads."""
        ended = self.now() - self.session_ttl
        await self.sessions.expire_uploads(ended, ended - self.session_ttl, self.locks.busy_sessions())

    async def _orphans(self) -> None:
        """Remove folders without a record.

        Folders are listed before the records are read, and a session is recorded before it has a folder, so that a
        new session never looks like an orphan. A recent folder stays: its catalog may be about to be restored.
        """
        folders = await self.workers(self.store.folders)
        old = [folder for folder, changed in folders.items() if changed < self.now() - self.session_ttl]
        for folder in await self.sessions.unknown(old):
            sessid = folder.partition(".")[0]
            if not self.locks.busy(sessid) and not self.locks.closed and await self._discard(self.store.drop, folder):
                self._log.info("{sessid}: folder without a record removed", sessid=folder)

    async def _old(self) -> None:
        """Forget what is old in the journal, a little at a time."""
        now, lifetimes = self.now(), self.lifetimes()
        of_shops = {shop: now - history for shop, history in lifetimes.history_of_shops.items()}
        while not self.locks.closed and await self.journal.forget(now - lifetimes.history, of_shops):
            pass

    async def _remove(self, sessid: str, ended: float, kept: float) -> None:
        """Remove a session's record, then its folder: after a stop in between, a later sweep finds the folder.

        A session that was used during the removal of earlier ones stays.
        """
        if await self.sessions.remove(sessid, ended, kept) and await self._discard(self.store.discard, sessid):
            self._log.info("{sessid}: session expired", sessid=sessid)

    async def _discard(self, remove: Callable[[str], None], sessid: str) -> bool:
        """Remove a folder; return whether that succeeded. A failure must not stop the removal of other folders."""
        try:
            await self.workers(remove, sessid)
        except Exception as error:
            if not self._is_away(error):
                self._log.failure("{sessid}: the session's folder could not be removed", sessid=sessid)
            return False
        return True

    def _is_away(self, error: Exception) -> bool:
        """Return whether an object store was away, and log that: nothing is wrong here."""
        if not isinstance(error, OSError) or error.errno != errno.EREMOTE:
            return False
        self._log.warn("the sweep cannot use the object store: {reason}; it will be retried", reason=error.strerror)
        return True
