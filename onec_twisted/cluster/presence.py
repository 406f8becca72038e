"""Says every second that this daemon runs, and notices when it did not: frozen, suspended, or kept from the server.

A daemon that was away finds requests whose senders have gone on elsewhere, and its hand-offs have been taken over.
PostgreSQL's clock is the clock of all: ``now`` is what it said at the last heartbeat, and what has passed since.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.cluster.tables import LEASE_TIME, OLDEST_VERSION, leave_behind
from onec_twisted.model.daemons import DaemonLine
from onec_twisted.model.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from psycopg import Connection
    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.runtime.workers import Workers

__all__ = ["AWAY_AFTER", "BEAT_INTERVAL", "LEASE_TIME", "SAFE_FOR", "TICK_INTERVAL", "Presence"]

BEAT_INTERVAL = 1.0
"""Seconds between two heartbeats."""

SAFE_FOR = LEASE_TIME - BEAT_INTERVAL
"""Seconds of its own clock after a heartbeat for which a daemon may count on its claims."""

TICK_INTERVAL = 0.25
"""Seconds between two looks at the clock."""

AWAY_AFTER = 2.0
"""Seconds without a look after which the daemon was away."""

SPARE_TIME = AWAY_AFTER / 4
"""Seconds before it was back in which headers may have come without the daemon's having read them."""

BEAT = """
INSERT INTO daemons (id, name, version, knows, state) VALUES (%(id)s, %(name)s, %(version)s, %(knows)s, %(state)s)
ON CONFLICT (id) DO UPDATE SET seen = now(), state = excluded.state
RETURNING extract(epoch FROM now())::float8, (SELECT oldest FROM schema_version), NOT EXISTS (
    SELECT 1 FROM daemons AS other WHERE other.seen > now() - %(lease)s * interval '1 second'
    AND (other.started, other.id) < (daemons.started, daemons.id))
"""

EVERYBODY = """
SELECT name, version, extract(epoch FROM now() - started)::float8, extract(epoch FROM now() - seen)::float8, id, state
FROM daemons ORDER BY name, started
"""

TIDY = """
DELETE FROM daemons WHERE id <> %(id)s AND (
    seen < now() - interval '1 day' OR (name = %(name)s AND seen < now() - %(lease)s * interval '1 second'))
"""
"""Who was lost a day ago, and who runs again under the same name."""

TOUCH = """
UPDATE sessions SET touched = %(now)s WHERE sessid IN (
    SELECT sessid FROM sessions WHERE sessid = ANY(%(busy)s) AND touched < %(before)s FOR UPDATE SKIP LOCKED)
"""
"""Sessions whose row somebody has locked are in use anyway."""


@define(eq=False, kw_only=True)
class Presence:
    """One daemon, as the others see it. ``name`` returns what people call it, ``id`` is new with each start.

    Call ``beat`` every ``BEAT_INTERVAL``, ``look`` every ``TICK_INTERVAL`` seconds, and ``leave`` at the end.

    ``state`` returns what the page of any daemon shows of this one, ``busy`` the sessids that have pieces on their
    way; those are touched every ``touch_interval`` seconds. ``check`` is called with the connection of each
    heartbeat, and may raise ``OperationalError``. ``wall`` returns the system's time, until the first heartbeat tells
    PostgreSQL's.
    """

    database: PostgreSQL
    workers: Workers
    clock: IReactorTime
    wall: Callable[[], float]
    name: Callable[[], str]
    version: str
    touch_interval: float
    busy: Callable[[], Collection[str]]
    state: Callable[[], Mapping[str, Any]] = dict
    check: Callable[[Connection[Any]], None] = lambda _: None
    id: str = field(factory=lambda: secrets.token_hex(8))
    _looked: float = field(init=False)
    """When the clock was last looked at."""
    _back: float = field(default=float("-inf"), init=False)
    """When the daemon was last back."""
    left: float = field(default=0.0, init=False)
    """When it had gone then, in seconds since 1970 by ``now``."""
    _told: float = field(default=float("-inf"), init=False)
    """When the last heartbeat was sent that arrived."""
    _ahead: float = field(init=False)
    """What PostgreSQL's clock is ahead of ours."""
    is_first: bool = field(default=True, init=False)
    """Whether no other daemon has run for longer: it does what one has to do for all."""
    is_outdated: bool = field(default=False, init=False)
    """Whether the tables are of a version that this daemon must not use any more."""
    _is_silent: bool = field(default=False, init=False)
    """Whether the last heartbeat failed."""
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Begin with the first look: until then nothing is served, however long the start takes."""
        self._looked = float("inf")
        self._ahead = self.wall() - self.clock.seconds()

    def leave(self) -> Deferred[None]:
        """Be off the record: others need not wait for the lease to end."""
        return self.workers(self.database.using, self._leave).addErrback(lambda _: None)

    def now(self) -> float:
        """Return PostgreSQL's time, in seconds since 1970."""
        return self._ahead + self.clock.seconds()

    def is_safe(self) -> bool:
        """Return whether nobody can have taken this daemon's hand-offs over yet."""
        return self.clock.seconds() - self._told < SAFE_FOR

    def was_away_since(self, then: float) -> bool:
        """Return whether the daemon was away after ``then``, or shortly before, by its clock."""
        self.look()
        return self._back >= then - SPARE_TIME

    def look(self) -> None:
        """Look at the clock: after a long pause the daemon was away."""
        seconds = self.clock.seconds()
        if seconds - self._looked > AWAY_AFTER:
            self._note_back(self._looked)
        self._looked = seconds

    def _note_back(self, left: float) -> None:
        """Note that the daemon was away, from ``left`` until now, by its clock."""
        self._back = self.clock.seconds()
        self.left = self._ahead + left
        self._log.warn(
            "this daemon was away for {seconds:.1f} s: what was sent to it before may be refused",
            seconds=self._back - left,
        )

    def beat(self) -> Deferred[None]:
        """Tell the others, and learn the time."""
        return Deferred.fromCoroutine(self._beat())

    async def _beat(self) -> None:
        try:
            began, ended, told = await self.workers(
                self.database.using, self._tell, list(self.busy()), dict(self.state())
            )
        except CatalogBusy as error:
            if not self._is_silent:
                self._log.warn("PostgreSQL cannot be reached: {error}", error=str(error))
            self._is_silent = True
            return
        except Exception:
            self._log.failure("no heartbeat; this will be retried")
            return
        if self._is_silent:
            self._log.info("PostgreSQL can be reached again")
        self._is_silent = False
        ahead = told - (began + ended) / 2
        if self._told > float("-inf") and ahead - self._ahead > AWAY_AFTER:
            self._note_back(self._told)  # the whole machine slept: our own clock had stopped
        self._ahead, self._told = ahead, began

    def _tell(
        self, connection: Connection[Any], busy: list[str], state: dict[str, Any]
    ) -> tuple[float, float, float]:
        """In a worker: return PostgreSQL's time, after our own before and after it was told."""
        began = self.clock.seconds()
        self.check(connection)
        known = {"id": self.id, "name": self.name(), "lease": LEASE_TIME}
        shown = {"version": self.version, "knows": SCHEMA_VERSION, "state": json.dumps(state)}
        told = connection.execute(BEAT, {**known, **shown}).fetchone()
        ended = self.clock.seconds()
        now, oldest, self.is_first = told or (0.0, 0, True)
        if self._told == float("-inf"):
            connection.execute(TIDY, known)
        if oldest < OLDEST_VERSION:
            oldest = leave_behind(connection)
        self.is_outdated = oldest > SCHEMA_VERSION
        if busy:
            connection.execute(TOUCH, {"now": now, "busy": busy, "before": now - self.touch_interval})
        return began, ended, float(now)

    def everybody(self) -> Deferred[tuple[DaemonLine, ...]]:
        """Return all daemons, those of the last day that were lost as well."""
        return self.workers(self.database.using, self._everybody)

    def _everybody(self, connection: Connection[Any]) -> tuple[DaemonLine, ...]:
        return tuple(
            DaemonLine(
                name=name,
                version=version,
                running=running,
                silent=silent,
                is_this=known == self.id,
                state=_read(state),
            )
            for name, version, running, silent, known, state in connection.execute(EVERYBODY)
        )

    def _leave(self, connection: Connection[Any]) -> None:
        """In a worker: be off the record."""
        connection.execute("DELETE FROM daemons WHERE id = %s", (self.id,))


def _read(state: str) -> dict[str, Any]:
    """Return what a daemon told, nothing if it makes no sense."""
    try:
        read = json.loads(state)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
