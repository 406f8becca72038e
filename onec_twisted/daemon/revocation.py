"""Ends the sessions of users who may no longer log in: a cookie is valid for a day, even if its user was removed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from onec_twisted.daemon.checkers import users_of
from onec_twisted.model.errors import CatalogBusy, Refused, SessionEnded, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.daemon.membership import Membership
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.runtime.workers import Workers

__all__ = ["LOOK_INTERVAL", "Revocation"]

LOOK_INTERVAL = 15.0
"""Seconds between two checks: a missing file has no users at the second check, and sessions end at the next."""

AT_ONCE = 8
"""Sessions ended at the same time, so that their records share a sync."""


@define(eq=False, kw_only=True)
class Revocation:
    """Periodically checks the users of all shops, and of ``others``, which have no sessions.

    A user counts as removed if no checker has it at two checks in a row, so that an editor that saves in two steps
    ends no session. The sessions then give no more access; files already acknowledged are still handed off. If a
    checker cannot list its users, no user counts as removed.
    """

    membership: Callable[[], Membership]
    others: Sequence[Any]
    sessions: SessionRecords
    locks: FileLocks
    workers: Workers
    _missing: frozenset[str] = field(default=frozenset(), init=False)
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Check the users; an error is logged, and the next check retries."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            names = await self.sessions.users()
            missing = await self.workers(self._look, names)
            for user in sorted(missing & self._missing):
                await self._end(user)
            self._missing = missing
        except (CatalogBusy, StorageRemoved):  # already logged elsewhere
            return
        except Exception:
            self._log.failure("the users who may still log in could not be looked up; this will be retried")

    def _look(self, names: list[str]) -> frozenset[str]:
        """Return those who may no longer log in; runs in a worker."""
        for checker in self.others:
            users_of(checker)
        return self.membership().look(names)

    async def _end(self, user: str) -> None:
        """Revoke the sessions of a user, and drop their transfers."""
        sessids = await self.sessions.of_user(user)
        self._log.warn("{user} may no longer log in: {sessions} sessions ended", user=user, sessions=len(sessids))
        for first in range(0, len(sessids), AT_ONCE):
            some = sessids[first : first + AT_ONCE]
            await gatherResults([Deferred.fromCoroutine(self.sessions.revoke(sessid)) for sessid in some])
        for sessid in sessids:
            if self.locks.busy(sessid):
                Deferred.fromCoroutine(self._drop(sessid)).addErrback(
                    lambda failure: self._log.failure("an upload in progress could not be aborted", failure)
                )

    async def _drop(self, sessid: str) -> None:
        """Drop the transfer that writes in a session, and reject those that wait."""
        with suppress(Refused):  # the dropped transfer did not end in time, or the daemon stops
            async with self.locks.of_session(sessid, SessionEnded):
                pass
