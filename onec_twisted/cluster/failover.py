"""Notices that a standby has taken over, and what it may not have received of what was acknowledged.

A standby that was not synchronous lacks the last moments of the server before: pieces that nodes have forgotten.
Which ones, its records do not tell. So every session that was in use then is refused until ``init``, as a file is
that has lost bytes on a disk: a loud failure instead of a hole. What this daemon has acknowledged itself it compares.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from psycopg import OperationalError
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from onec_twisted.model.records import Session

__all__ = ["LAST_MOMENTS", "Acknowledged", "Timelines"]

LAST_MOMENTS = 60.0
"""Seconds of the server before that a standby may lack."""

MOST_NAMED = 20
"""Sessions that one event names."""

NOW = """
SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
    (current_setting('synchronous_standby_names') <> '')::int
"""
"""The number of the timeline, which each server that takes over raises, empty on a standby; and whether commits wait
for a standby.
"""

LAST_IN_USE = """
UPDATE sessions SET doubtful = 1 WHERE touched > (
    SELECT COALESCE(extract(epoch FROM (SELECT max(seen) FROM daemons)), (SELECT max(touched) FROM sessions), 0)
) - %s RETURNING sessid
"""

LACKS = """
UPDATE sessions SET doubtful = 1 WHERE sessid = %s AND doubtful = 0 AND (epoch < %s OR NOT EXISTS (
    SELECT 1 FROM files WHERE files.sessid = sessions.sessid AND name = %s AND (committed >= %s OR sealed <> 0)))
RETURNING sessid
"""


DAMAGE = "UPDATE files SET damaged = 1 WHERE sealed = 0 AND by_node <> 0 AND sessid = ANY(%s)"
"""A file that was handed off was complete, and clients of resumable uploads ask for the length."""


@frozen
class _Piece:
    """The last piece of a file that this daemon has recorded: ``committed`` bytes, at a time of its own clock."""

    epoch: int
    committed: int
    recorded: float


@define(eq=False)
class Acknowledged:
    """What this daemon has recorded within the last moments. ``seconds`` is a monotonic clock."""

    seconds: Callable[[], float]
    _pieces: OrderedDict[tuple[str, str], _Piece] = field(factory=OrderedDict, init=False)
    _changing: Lock = field(factory=Lock, init=False)

    def note(self, session: Session, name: str, committed: int) -> None:
        """Note that a file has so many bytes now; may be called in any thread."""
        key, now = (session.sessid, name), self.seconds()
        with self._changing:
            self._pieces[key] = _Piece(session.epoch, committed, now)
            self._pieces.move_to_end(key)
            self._forget(now)

    def latest(self) -> list[tuple[str, int, str, int]]:
        """Return sessid, epoch, name and length of each."""
        with self._changing:
            self._forget(self.seconds())
            return [(sessid, one.epoch, name, one.committed) for (sessid, name), one in self._pieces.items()]

    def _forget(self, now: float) -> None:
        """Forget what is older."""
        while self._pieces:
            key, oldest = next(iter(self._pieces.items()))
            if now - oldest.recorded <= LAST_MOMENTS:
                return
            del self._pieces[key]


@define(eq=False)
class Timelines:
    """The timeline of the server; ``connect`` returns a new connection, by the address of the records."""

    connect: Callable[[str], Connection[Any]]
    acknowledged: Acknowledged
    _known: tuple[str, int] | None = field(default=None, init=False)
    """The timeline, and whether commits wait for a standby, as they were last."""
    _news: list[tuple[str, list[str]]] = field(factory=list, init=False)
    """What is still to be logged: timeline, and the sessions that are refused."""
    _changing: Lock = field(factory=Lock, init=False)
    _log = Logger()

    def connected(self, url: str) -> Connection[Any]:
        """Return a new connection, once everything is done that another server makes necessary.

        Raises ``OperationalError`` also for a server that another one has succeeded.
        """
        connection = self.connect(url)
        try:
            self.check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self, connection: Connection[Any]) -> None:
        """Do what another server makes necessary, before anything is read or recorded there."""
        timeline, is_synchronous = connection.execute(NOW).fetchone() or ("", 0)
        known = self._known
        if known == (timeline, is_synchronous) or (known is None and not timeline):
            return  # whether a daemon may start on a standby is not our business
        with self._changing:
            known = self._known
            if known is not None and timeline < known[0]:
                raise OperationalError("this server is a standby, or another one has taken over from it")
            has_changed = known is not None and timeline > known[0]
            if self._follow(connection, timeline, is_synchronous, has_changed=has_changed):
                self._known = timeline, is_synchronous

    def report(self) -> None:
        """Log what has happened; call it in the reactor, every second."""
        while self._news:
            timeline, doubtful = self._news.pop(0)
            if doubtful:
                self._log.critical(
                    "another PostgreSQL has taken over (timeline {timeline}), without what was acknowledged last: "
                    "{count} sessions are refused until init",
                    timeline=timeline,
                    count=len(doubtful),
                    sessids=doubtful[:MOST_NAMED],
                )
            else:
                self._log.warn(
                    "another PostgreSQL has taken over (timeline {timeline}); nothing is known to be missing",
                    timeline=timeline,
                )

    def _follow(self, connection: Connection[Any], timeline: str, is_synchronous: int, *, has_changed: bool) -> bool:
        """Put the present server on record, and refuse the sessions that may lack something, in one transaction.

        Return whether there is a record to put it on.
        """
        with connection.transaction():
            there = connection.execute("SELECT to_regclass('schema_version')").fetchone()
            if there is None or there[0] is None:
                return False  # a new database
            row = connection.execute("SELECT timeline, synchronous FROM schema_version FOR UPDATE").fetchone()
            before, was_synchronous = row or ("", 0)
            doubtful: set[str] = set()
            if before and before < timeline and not was_synchronous:
                doubtful |= {sessid for (sessid,) in connection.execute(LAST_IN_USE, (LAST_MOMENTS,))}
            if has_changed:
                for sessid, epoch, name, committed in self.acknowledged.latest():
                    lacking = connection.execute(LACKS, (sessid, epoch, name, committed))
                    doubtful |= {found for (found,) in lacking}
            connection.execute(DAMAGE, (sorted(doubtful),))
            connection.execute(
                "UPDATE schema_version SET timeline = %s, synchronous = %s", (timeline, is_synchronous)
            )
        if has_changed or (before and before < timeline):
            self._news.append((timeline, sorted(doubtful)))
        return True
