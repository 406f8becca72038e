"""SQL for what a session holds: a file, how much, and which files may hold a document. Functions of a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.catalog.sql import sessions

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.records import FileRecord, Session

__all__ = ["amount", "archives", "epochs", "holders", "lengths", "moved", "session_and_file"]


def session_and_file(cursor: Cursor, token_hash: str, name: str) -> tuple[Session, FileRecord | None] | None:
    """Return the session that a token opens, and the record of one of its files, None if that is not there."""
    found = sessions.session(cursor, token_hash, 0)
    return None if found is None else (found[0], sessions.file(cursor, found[0].sessid, name))


def archives(cursor: Cursor, sessid: str, most: int) -> dict[str, int]:
    """Return the names of at most ``most`` archives of a session, and their committed lengths in bytes.

    The one that was sent last comes first.
    """
    return holders(cursor, sessid, "", most)[0]


def holders(cursor: Cursor, sessid: str, name: str, most: int) -> tuple[dict[str, int], int]:
    """Return the files that may hold a document, by name with their committed lengths: its own, and archives.

    There are at most ``most``, and the one that was sent last comes first. Also returned is how many files the
    session has begun.
    """
    cursor.execute(
        "SELECT name, committed FROM files WHERE sessid = ? AND (name = ? OR LOWER(name) LIKE '%.zip')"
        " ORDER BY place DESC, name LIMIT ?",
        (sessid, name, most),
    )
    found = dict(cursor.fetchall())
    cursor.execute("SELECT begun FROM sessions WHERE sessid = ?", (sessid,))
    row = cursor.fetchone()
    return found, int(row[0]) if row else 0


def amount(cursor: Cursor, sessid: str) -> tuple[int, int]:
    """Return how many bytes and files a session holds."""
    cursor.execute(
        "SELECT COALESCE(MAX(held), 0), (SELECT COUNT(*) FROM files WHERE sessid = ?) FROM sessions WHERE sessid = ?",
        (sessid, sessid),
    )
    held, count = cursor.fetchone()
    return int(held), int(count)


def lengths(cursor: Cursor) -> dict[str, dict[str, int]]:
    """Return the committed length of every file, in bytes, by sessid and name."""
    cursor.execute("SELECT sessid FROM sessions")
    lengths: dict[str, dict[str, int]] = {sessid: {} for (sessid,) in cursor}
    cursor.execute("SELECT sessid, name, committed FROM files")
    for sessid, name, committed in cursor:
        lengths.setdefault(sessid, {})[name] = int(committed)
    return lengths


def epochs(cursor: Cursor) -> dict[str, tuple[int, str]]:
    """Return each session's epoch, and the name of its folder, empty if that is its sessid."""
    cursor.execute("SELECT sessid, epoch, folder FROM sessions")
    return {sessid: (epoch, folder) for sessid, epoch, folder in cursor}


def moved(cursor: Cursor) -> dict[str, str]:
    """Return the names of folders that are not their session's sessid, by sessid."""
    cursor.execute("SELECT sessid, folder FROM sessions WHERE folder <> ''")
    return dict(cursor.fetchall())
