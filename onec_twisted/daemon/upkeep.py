"""What one of several daemons looks at from time to time: folders that can go, and whether it has to go itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted import __version__
from onec_twisted.cluster.claims import sessions_waiting
from onec_twisted.model.errors import CatalogBusy

if TYPE_CHECKING:
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.cluster.fetching import Fetched
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.cluster.presence import Presence
    from onec_twisted.runtime.workers import Workers

__all__ = ["FOLDERS_INTERVAL", "Folders", "Outdated"]

FOLDERS_INTERVAL = 60.0
"""Seconds between two looks for folders."""

QUIET_LOOKS = 10
"""Looks after which the folder of a session goes of which nothing has waited to be delivered."""


@define(eq=False)
class Folders:
    """Removes the scratch folders of sessions that are over, or of which nothing has waited for a while."""

    fetched: Fetched
    database: PostgreSQL
    sessions: SessionRecords
    errands: Workers
    _quiet: dict[str, int] = field(factory=dict, init=False)
    """At how many looks in a row nothing of a session waited."""
    _log = Logger()

    def tidy(self) -> Deferred[None]:
        """Remove them; what goes wrong is logged, and the next look tries again."""
        return Deferred.fromCoroutine(self._tidy())

    async def _tidy(self) -> None:
        fetched = self.fetched
        try:
            sessids = fetched.sessids()
            over = set(await self.sessions.unknown(sessids))
            waiting = set(await self.errands(self.database.using, sessions_waiting))
            self._quiet = {one: self._quiet.get(one, 0) + 1 for one in sessids if one not in waiting}
            over |= {sessid for sessid, looks in self._quiet.items() if looks > QUIET_LOOKS}
            if over:
                await self.errands(fetched.remove, over)
        except CatalogBusy:
            return  # the heartbeat tells that
        except Exception:
            self._log.failure("scratch folders could not be removed; this will be retried")


@define(eq=False)
class Outdated:
    """Stops a daemon whose version the others have left behind: what is on its way ends first."""

    presence: Presence
    reactor: Any
    _stops: bool = field(default=False, init=False)
    _log = Logger()

    def look(self) -> None:
        """Stop if it is time."""
        if self.presence.is_outdated and not self._stops:
            self._stops = True
            self._log.critical(
                "the tables need a later onec-exchange than {version}, which the other daemons run; this one stops",
                version=__version__,
            )
            self.reactor.stop()
