"""Ends the sessions of users who may not log in any more: a cookie is good for a day, its user may be gone today."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.interfaces import IKnowingChecker
from onec_twisted.model.errors import Refused, SessionEnded
from onec_twisted.model.written import NotPlain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.runtime.workers import Workers

__all__ = ["LOOK_INTERVAL", "Revocation", "users_of"]

LOOK_INTERVAL = 15.0
"""Seconds between two looks: a file that is gone has no users at the second, and sessions end at the next."""

AT_ONCE = 8
"""Sessions that are ended at the same time: their records share a sync."""


def users_of(checker: Any) -> Callable[[bytes], bool] | None:
    """Return what says whether a checker has a user; None when nothing can. Blocks."""
    if IKnowingChecker.providedBy(checker):
        checker.look()
        return cast("Callable[[bytes], bool]", checker.has)
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        return checker.users.__contains__
    if isinstance(checker, PasswordFile):
        try:
            return checker.read().__contains__
        except (FileNotFoundError, NotADirectoryError):
            return {}.__contains__
        except (OSError, NotPlain):
            return None
    return None


@define(eq=False, kw_only=True)
class Revocation:
    """Looks at ``checkers``, and at ``others`` of which there are no sessions, now and then.

    A user whom no checker has at two looks, one after another, is gone: an editor that saves in two steps ends no
    session. The sessions let nobody in any more; what has come in them goes its way, for a node was told that it is
    stored. Where a checker cannot say who may log in, nobody is gone.
    """

    checkers: Sequence[Any]
    others: Sequence[Any]
    sessions: SessionRecords
    locks: FileLocks
    workers: Workers
    _missing: frozenset[str] = field(default=frozenset(), init=False)
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Look; an error is logged, and the next look tries again."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            names = await self.sessions.users()
            missing = await self.workers(self._look, names)
            for user in sorted(missing & self._missing):
                await self._end(user)
            self._missing = missing
        except Exception:
            self._log.failure("who may still log in could not be looked up, and will be tried again")

    def _look(self, names: list[str]) -> frozenset[str]:
        """In a worker: return those whom no checker has."""
        for checker in self.others:
            users_of(checker)
        known = [users_of(checker) for checker in self.checkers]
        return frozenset(
            name for name in names if all(has is not None and not has(name.encode("utf-8")) for has in known)
        )

    async def _end(self, user: str) -> None:
        """Let nobody in by the sessions of a user, and drop what is on its way in them."""
        sessids = await self.sessions.of_user(user)
        self._log.warn("{user} may not log in any more: {sessions} sessions ended", user=user, sessions=len(sessids))
        for first in range(0, len(sessids), AT_ONCE):
            some = sessids[first : first + AT_ONCE]
            await gatherResults([Deferred.fromCoroutine(self.sessions.revoke(sessid)) for sessid in some])
        for sessid in sessids:
            if self.locks.busy(sessid):
                Deferred.fromCoroutine(self._drop(sessid)).addErrback(
                    lambda failure: self._log.failure("an upload could not be dropped", failure)
                )

    async def _drop(self, sessid: str) -> None:
        """Drop who writes in a session, and send those away who wait."""
        with suppress(Refused):  # who does not end in time has been told to, or the daemon ends
            async with self.locks.of_session(sessid, SessionEnded):
                pass
