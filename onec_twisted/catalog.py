"""What is on record: sessions, and every file's committed length. The only SQL.

SQLite through ``twisted.enterprise.adbapi``, with one connection in one thread: statements run one after another,
in the order in which they were asked for. The write-ahead log with ``synchronous=FULL`` is on the disk when a
transaction ends. The token is the session's secret, so its SHA-256 stands here, not the token.

The SQL keeps to what PostgreSQL knows as well, the pragmas in ``_open`` aside.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen
from twisted.enterprise.adbapi import ConnectionPool

from onec_twisted.errors import InsufficientStorage, InvalidSession, SessionRestarted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.enterprise.adbapi import Transaction
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

__all__ = ["Catalog", "CatalogUnusable", "Session", "create_catalog", "open_pool"]

T = TypeVar("T")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE sessions (
    sessid     TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    username   TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    held       INTEGER NOT NULL,
    touched    DOUBLE PRECISION NOT NULL
);
CREATE INDEX sessions_touched ON sessions (touched);
CREATE TABLE files (
    sessid    TEXT NOT NULL,
    name      TEXT NOT NULL,
    committed INTEGER NOT NULL,
    PRIMARY KEY (sessid, name)
);
"""
"""``held`` is the sum of the session's committed bytes; ``touched`` is in seconds since 1970."""


class CatalogUnusable(Exception):
    """The database cannot be used; the words say what to do."""


@frozen
class Session:
    """What one ``checkauth`` opened. ``held`` is in bytes, ``touched`` in seconds since 1970."""

    sessid: str
    username: str
    epoch: int
    held: int
    touched: float


def _open(connection: sqlite3.Connection) -> None:
    """Make a new connection safe and quick."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def create_catalog(path: Path) -> None:
    """Make the database if it is not there, readable by us alone, and see that it can be used.

    Blocks; for the start of the daemon. Raises ``CatalogUnusable`` with words for the administrator.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path)) as connection:
            _open(connection)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            elif version != SCHEMA_VERSION:
                raise CatalogUnusable(
                    f"{path} was written by another version of onec-exchange (schema {version}, "
                    f"this one knows {SCHEMA_VERSION}); install the version that wrote it"
                )
            connection.execute("SELECT COUNT(*) FROM sessions").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise CatalogUnusable(
            f"{path} cannot be used ({error}); restore it from a copy, or move it away to start afresh"
        ) from error


def open_pool(path: Path, reactor: Any) -> ConnectionPool:
    """Return the connection to a database that ``create_catalog`` has seen; its thread starts with the reactor."""
    return ConnectionPool(
        "sqlite3",
        str(path),
        check_same_thread=False,
        cp_min=1,
        cp_max=1,
        cp_openfun=_open,
        cp_reactor=reactor,
    )


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

    def close(self) -> None:
        """End the thread, when all that was asked for has been done."""
        self._pool.close()

    def _run(self, interaction: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run one transaction in the thread of the database; a full disk is told as one."""
        result: Deferred[T] = self._pool.runInteraction(interaction, *args)
        return result.addErrback(_full_disk)

    def open_session(self, sessid: str, token: str, username: str, now: float) -> Deferred[None]:
        """Put a new session on record."""
        return self._run(_open_session, sessid, _hash(token), username, now)

    def session(self, token: str) -> Deferred[Session | None]:
        """Fire with the session that a token opens, None if it opens none."""
        return self._run(_session, _hash(token))

    def touch(self, sessid: str, now: float) -> Deferred[None]:
        """Record that the session is in use."""
        return self._run(_touch, sessid, now)

    def committed(self, sessid: str, name: str) -> Deferred[int | None]:
        """Fire with a file's committed length in bytes, None if it is not on record."""
        return self._run(_committed, sessid, name)

    def commit(
        self, session: Session, name: str, before: int | None, after: int, quota: int, now: float
    ) -> Deferred[None]:
        """Record that a file has grown from ``before`` bytes (None: it was not there) to ``after`` bytes.

        Fails with ``SessionRestarted`` when the session is in another epoch by now, ``InvalidSession`` when it is
        gone, ``InsufficientStorage`` when it would hold more than ``quota`` bytes. Nothing is recorded then.
        """
        return self._run(_commit, session, name, before, after, quota, now)

    def start_epoch(self, sessid: str, now: float) -> Deferred[None]:
        """Forget the session's files; pieces that are on their way belong to an epoch that is gone."""
        return self._run(_start_epoch, sessid, now)

    def has_file_or_zip(self, sessid: str, name: str) -> Deferred[bool]:
        """Fire with whether the session holds a file of that name, or any archive that it may lie in."""
        return self._run(_has_file_or_zip, sessid, name)

    def untouched_since(self, then: float) -> Deferred[list[str]]:
        """Fire with the sessids of all sessions that nobody has touched since a moment."""
        return self._run(_untouched_since, then)

    def unknown(self, sessids: list[str]) -> Deferred[list[str]]:
        """Fire with those sessids that are not on record."""
        return self._run(_unknown, sessids)

    def remove_session(self, sessid: str) -> Deferred[None]:
        """Forget a session and its files."""
        return self._run(_remove_session, sessid)


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


def _committed(cursor: Transaction, sessid: str, name: str) -> int | None:
    cursor.execute("SELECT committed FROM files WHERE sessid = ? AND name = ?", (sessid, name))
    row = cursor.fetchone()
    return row[0] if row else None


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
        cursor.execute("INSERT INTO files (sessid, name, committed) VALUES (?, ?, ?)", (session.sessid, name, after))
        return
    cursor.execute(
        "UPDATE files SET committed = ? WHERE sessid = ? AND name = ? AND committed = ?",
        (after, session.sessid, name, before),
    )
    if cursor.rowcount != 1:
        raise RuntimeError(f"two writers of {name} in {session.sessid}")


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


def _remove_session(cursor: Transaction, sessid: str) -> None:
    cursor.execute("DELETE FROM files WHERE sessid = ?", (sessid,))
    cursor.execute("DELETE FROM sessions WHERE sessid = ?", (sessid,))
