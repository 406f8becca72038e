"""SQL for the folders of earlier epochs: what was imported stays there for a while. Functions of a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.model.records import SUCCEEDED, KeptFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor

__all__ = ["forget", "is_kept", "keep", "kept_since"]

MOST_KEPT = 100
"""Folders that are kept of a session: each is a folder of its own on the disk, however little is in it."""


def keep(cursor: Cursor, sessid: str, room: int) -> tuple[bool, list[str]]:
    """Keep the folder of a session's epoch that ends, if something in it was imported; return whether.

    ``room`` is how many bytes may be kept of a session. Also returned are the folders that have to go for that, the
    oldest first.
    """
    cursor.execute(
        "SELECT MAX(changed) FROM handoffs WHERE sessid = ? AND state = ? AND count > 0", (sessid, SUCCEEDED)
    )
    changed = cursor.fetchone()[0]
    cursor.execute("SELECT folder, held FROM sessions WHERE sessid = ?", (sessid,))
    row = cursor.fetchone()
    kept = row is not None and changed is not None and row[1] <= room
    if kept:
        cursor.execute(
            "INSERT INTO kept (folder, sessid, size, changed) VALUES (?, ?, ?, ?)",
            (row[0] or sessid, sessid, row[1], changed),
        )
    cursor.execute("SELECT folder, size FROM kept WHERE sessid = ? ORDER BY changed DESC, folder DESC", (sessid,))
    outdated: list[str] = []
    for number, (folder, size) in enumerate(cursor.fetchall()):
        room -= size
        if outdated or room < 0 or number >= MOST_KEPT:
            outdated.insert(0, folder)
    cursor.executemany("DELETE FROM kept WHERE folder = ?", [(folder,) for folder in outdated])
    return kept, outdated


def kept_since(cursor: Cursor, before: float) -> list[KeptFolder]:
    """Return the folders whose last import was before a time, the oldest first."""
    cursor.execute(
        "SELECT folder, changed, COALESCE((SELECT username FROM exchanges WHERE exchanges.sessid = kept.sessid"
        " ORDER BY number DESC LIMIT 1), '') FROM kept WHERE changed < ? ORDER BY changed",
        (before,),
    )
    return [KeptFolder(*row) for row in cursor.fetchall()]


def forget(cursor: Cursor, folders: Sequence[str]) -> None:
    """Forget folders."""
    cursor.executemany("DELETE FROM kept WHERE folder = ?", [(folder,) for folder in folders])


def is_kept(cursor: Cursor, folder: str) -> bool:
    """Return whether a folder is kept."""
    cursor.execute("SELECT 1 FROM kept WHERE folder = ?", (folder,))
    return cursor.fetchone() is not None
