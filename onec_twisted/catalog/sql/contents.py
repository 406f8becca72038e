"""SQL for what a session holds: how much, and which files may hold a document. Functions of a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Cursor

__all__ = ["amount", "archives", "epochs", "holders", "lengths", "moved"]


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
