"""What is on record: sessions, and every file's committed length.

SQLite through ``twisted.enterprise.adbapi``, with one connection in one thread. What is to be recorded while a
transaction runs is gathered, and recorded together in the next: many nodes share one sync of the disk. The
write-ahead log with ``synchronous=FULL`` is on the disk when a transaction ends. The token is the session's secret,
so its SHA-256 stands here, not the token.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from onec_twisted.errors import InsufficientStorage, InvalidSession, SessionRestarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.enterprise.adbapi import ConnectionPool, Transaction

__all__ = ["Catalog", "FileRecord", "Session"]

T = TypeVar("T")


@frozen
class Session:
    """What one ``checkauth`` opened. ``held`` is in bytes, ``touched`` in seconds since 1970."""

    sessid: str
    username: str
    epoch: int
    held: int
    touched: float


@frozen
class FileRecord:
    """What is known of a file: lengths in bytes, see ``SCHEMA``."""

    committed: int
    last_start: int
    proven: bool = False
    damaged: bool = False


def _full_disk(failure: Failure) -> Failure:
    """Turn SQLite's word for a full disk into ours; its error code is an attribute only from Python 3.11 on."""
    if failure.check(sqlite3.OperationalError) and "full" in str(failure.value):
        raise InsufficientStorage from failure.value
    return failure


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


class Catalog:
    """Sessions and files on record.

    ``pool`` is what ``open_pool`` returns. Times are seconds since 1970 and come from the caller. Every method that
    asks the database returns a Deferred.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        """Work with a pool of one connection."""
        self._pool = pool
        self._steps: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self._recording = False
        self._flushed: list[Deferred[None]] = []

    def close(self) -> None:
        """End the thread, when all that was asked for has been done."""
        self._pool.close()

    def _run(self, interaction: Callable[..., T], *args: Any) -> Deferred[T]:
        """Read in the thread of the database."""
        result: Deferred[T] = self._pool.runInteraction(interaction, *args)
        return result

    def _record(self, step: Callable[..., T], *args: Any) -> Deferred[T]:
        """Record something together with what else is to be recorded now; a full disk is told as one."""
        recorded: Deferred[T] = Deferred()
        self._steps.append((recorded, step, args))
        self._record_steps()
        return recorded.addErrback(_full_disk)

    def _record_steps(self) -> None:
        """Record what is gathered, in one transaction, unless one is running."""
        if self._recording or not self._steps:
            return
        self._recording = True
        steps, self._steps = self._steps, []
        done = self._pool.runInteraction(_record_together, [(step, args) for _, step, args in steps])
        done.addBoth(self._recorded, [recorded for recorded, _, _ in steps])

    def _recorded(self, results: list[Any] | Failure, waiting: list[Deferred[Any]]) -> None:
        """Tell everybody what became of their step, and go on with what was gathered meanwhile."""
        if isinstance(results, Failure):
            results = [results] * len(waiting)
        for recorded, result in zip(waiting, results, strict=True):
            recorded.callback(result)  # a Failure makes it an errback
        self._recording = False
        self._record_steps()
        self._tell_flushed()

    def open_session(self, sessid: str, token: str, username: str, now: float) -> Deferred[None]:
        """Put a new session on record."""
        return self._record(_open_session, sessid, _hash(token), username, now)

    def session(self, token: str) -> Deferred[Session | None]:
        """Fire with the session that a token opens, None if it opens none."""
        return self._run(_session, _hash(token))

    def touch(self, sessid: str, now: float) -> Deferred[None]:
        """Record that the session is in use."""
        return self._record(_touch, sessid, now)

    def file(self, sessid: str, name: str) -> Deferred[FileRecord | None]:
        """Fire with what is known of a file, None if it is not on record."""
        return self._run(_file, sessid, name)

    def commit(
        self, session: Session, name: str, before: int | None, after: int, quota: int, now: float
    ) -> Deferred[None]:
        """Record that a file has grown from ``before`` bytes (None: it was not there) to ``after`` bytes.

        Fails with ``SessionRestarted`` when the session is in another epoch by now, ``InvalidSession`` when it is
        gone, ``InsufficientStorage`` when it would hold more than ``quota`` bytes. Nothing is recorded then.
        """
        return self._record(_commit, session, name, before, after, quota, now)

    def prove(self, session: Session, name: str, committed: int) -> Deferred[None]:
        """Record that the answer to the piece that ends at ``committed`` bytes is known to have been delivered.

        It waits for another record to go to the disk with, or for ``flush``.
        """
        recorded: Deferred[None] = Deferred()
        self._steps.append((recorded, _prove, (session, name, committed)))
        return recorded

    def flush(self) -> Deferred[None]:
        """Record what waits for company; fires when nothing is left to record."""
        self._record_steps()
        flushed: Deferred[None] = Deferred()
        self._flushed.append(flushed)
        self._tell_flushed()
        return flushed

    def _tell_flushed(self) -> None:
        while self._flushed and not self._recording and not self._steps:
            self._flushed.pop().callback(None)

    def damage(self, session: Session, name: str) -> Deferred[None]:
        """Record that acknowledged bytes of a file are doubtful."""
        return self._record(_damage, session, name)

    def damage_all(self, session: Session) -> Deferred[None]:
        """Record that acknowledged bytes of every file of a session are doubtful."""
        return self._record(_damage_all, session)

    def has_damaged(self, sessid: str) -> Deferred[bool]:
        """Fire with whether any file of a session is damaged."""
        return self._run(_has_damaged, sessid)

    def sync(self) -> Deferred[None]:
        """Bring all that is recorded to the disk, where single transactions are not."""
        return self._run(_checkpoint)

    def start_epoch(self, sessid: str, now: float) -> Deferred[None]:
        """Forget the session's files; pieces that are on their way belong to an epoch that is gone."""
        return self._record(_start_epoch, sessid, now)

    def has_file_or_zip(self, sessid: str, name: str) -> Deferred[bool]:
        """Fire with whether the session holds a file of that name, or any archive that it may lie in."""
        return self._run(_has_file_or_zip, sessid, name)

    def untouched_since(self, then: float) -> Deferred[list[str]]:
        """Fire with the sessids of all sessions that nobody has touched since a moment."""
        return self._run(_untouched_since, then)

    def unknown(self, sessids: list[str]) -> Deferred[list[str]]:
        """Fire with those sessids that are not on record."""
        return self._run(_unknown, sessids)

    def remove_session(self, sessid: str, then: float) -> Deferred[bool]:
        """Forget a session and its files, unless somebody has touched it since a moment; fires with whether."""
        return self._record(_remove_session, sessid, then)


def _open_session(cursor: Transaction, sessid: str, token_hash: str, username: str, now: float) -> None:
    cursor.execute(
        "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched) VALUES (?, ?, ?, 1, 0, ?)",
        (sessid, token_hash, username, now),
    )


def _touch(cursor: Transaction, sessid: str, now: float) -> None:
    cursor.execute("UPDATE sessions SET touched = ? WHERE sessid = ?", (now, sessid))


def _session(cursor: Transaction, token_hash: str) -> Session | None:
    cursor.execute("SELECT sessid, username, epoch, held, touched FROM sessions WHERE token_hash = ?", (token_hash,))
    row = cursor.fetchone()
    return Session(*row) if row else None


def _file(cursor: Transaction, sessid: str, name: str) -> FileRecord | None:
    cursor.execute(
        "SELECT committed, last_start, proven, damaged FROM files WHERE sessid = ? AND name = ?", (sessid, name)
    )
    row = cursor.fetchone()
    return FileRecord(row[0], row[1], bool(row[2]), bool(row[3])) if row else None


def _commit(
    cursor: Transaction, session: Session, name: str, before: int | None, after: int, quota: int, now: float
) -> None:
    grown = after - (before or 0)
    cursor.execute(
        "UPDATE sessions SET held = held + ?, touched = ? WHERE sessid = ? AND epoch = ? AND held + ? <= ?",
        (grown, now, session.sessid, session.epoch, grown, quota),
    )
    if not cursor.rowcount:
        cursor.execute("SELECT epoch FROM sessions WHERE sessid = ?", (session.sessid,))
        row = cursor.fetchone()
        if row is None:
            raise InvalidSession
        raise InsufficientStorage if row[0] == session.epoch else SessionRestarted
    if before is None:
        cursor.execute(
            "INSERT INTO files (sessid, name, committed, last_start, proven, damaged) VALUES (?, ?, ?, 0, 0, 0)",
            (session.sessid, name, after),
        )
        return
    cursor.execute(
        "UPDATE files SET committed = ?, last_start = ?, proven = 0 WHERE sessid = ? AND name = ? AND committed = ?",
        (after, before, session.sessid, name, before),
    )
    if cursor.rowcount != 1:
        raise RuntimeError(f"two writers of {name} in {session.sessid}")


def _prove(cursor: Transaction, session: Session, name: str, committed: int) -> None:
    cursor.execute(
        "UPDATE files SET proven = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)"
        " AND name = ? AND committed = ?",
        (session.sessid, session.epoch, name, committed),
    )


def _damage(cursor: Transaction, session: Session, name: str) -> None:
    cursor.execute(
        "UPDATE files SET damaged = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)"
        " AND name = ?",
        (session.sessid, session.epoch, name),
    )


def _damage_all(cursor: Transaction, session: Session) -> None:
    cursor.execute(
        "UPDATE files SET damaged = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)",
        (session.sessid, session.epoch),
    )


def _has_damaged(cursor: Transaction, sessid: str) -> bool:
    cursor.execute("SELECT 1 FROM files WHERE sessid = ? AND damaged <> 0 LIMIT 1", (sessid,))
    return cursor.fetchone() is not None


def _checkpoint(cursor: Transaction) -> None:
    cursor.execute("PRAGMA wal_checkpoint(FULL)")


def _record_together(cursor: Transaction, steps: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """Take steps in one transaction; one that fails leaves nothing, and its failure in its place."""
    results: list[Any] = []
    cursor.execute("BEGIN")
    for step, args in steps:
        cursor.execute("SAVEPOINT step")
        try:
            results.append(step(cursor, *args))
        except Exception as error:
            results.append(Failure())
            try:
                cursor.execute("ROLLBACK TO step")
            except sqlite3.Error:  # a full disk has rolled all of it back
                raise error from None
        cursor.execute("RELEASE step")
    return results


def _start_epoch(cursor: Transaction, sessid: str, now: float) -> None:
    cursor.execute("DELETE FROM files WHERE sessid = ?", (sessid,))
    cursor.execute("UPDATE sessions SET epoch = epoch + 1, held = 0, touched = ? WHERE sessid = ?", (now, sessid))


def _has_file_or_zip(cursor: Transaction, sessid: str, name: str) -> bool:
    cursor.execute(
        "SELECT 1 FROM files WHERE sessid = ? AND (name = ? OR LOWER(name) LIKE '%.zip') LIMIT 1", (sessid, name)
    )
    return cursor.fetchone() is not None


def _untouched_since(cursor: Transaction, then: float) -> list[str]:
    cursor.execute("SELECT sessid FROM sessions WHERE touched < ?", (then,))
    return [sessid for (sessid,) in cursor.fetchall()]


def _unknown(cursor: Transaction, sessids: list[str]) -> list[str]:
    unknown = []
    for sessid in sessids:
        cursor.execute("SELECT 1 FROM sessions WHERE sessid = ?", (sessid,))
        if cursor.fetchone() is None:
            unknown.append(sessid)
    return unknown


def _remove_session(cursor: Transaction, sessid: str, then: float) -> bool:
    cursor.execute("DELETE FROM sessions WHERE sessid = ? AND touched < ?", (sessid, then))
    if not cursor.rowcount:
        return False
    cursor.execute("DELETE FROM files WHERE sessid = ?", (sessid,))
    return True
