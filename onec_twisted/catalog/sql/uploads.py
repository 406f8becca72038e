"""SQL for the table ``uploads``: functions of a cursor, and conditions for statements about other tables.

An upload that is gone is remembered for a while, without its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import astuple

from onec_twisted.model.errors import FileBusy, InsufficientStorage, TooManyUnfinished, UploadGone, UploadOpen
from onec_twisted.model.uploads import COMPLETE, GONE, OPEN, RUFH, UploadRecord

if TYPE_CHECKING:
    from sqlite3 import Cursor

__all__ = [
    "FILE_GROWING",
    "GROWING_FILES",
    "SESSION_UNFINISHED",
    "check_import",
    "check_room",
    "end",
    "end_all",
    "end_with_session",
    "expire",
    "find",
    "grow",
    "insert",
    "make_way",
    "unfinished",
]

UNFINISHED_OF_SESSION = 1000
"""Unfinished uploads per session; a page has about twenty on their way at a time, and creates others later."""

UNFINISHED_OF_USER = 10_000
"""Unfinished uploads per user, in all of its sessions."""

REMEMBERED_UPLOADS = 10_000
"""Uploads per user that are remembered as gone; when there are more, the older half is forgotten."""

COLUMNS = "id, username, sessid, name, length, metadata, own, brought, state, protocol, whole_digest"
"""The columns of an ``UploadRecord``, in its order."""

IS_OPEN, IS_GONE = f"state = '{OPEN}'", f"state = '{GONE}'"
"""Conditions; SQLite uses the partial indexes only for a state written in the statement itself."""

SET_GONE = f"state = '{GONE}', metadata = ''"

SESSION_UNFINISHED = f"EXISTS (SELECT 1 FROM uploads WHERE uploads.sessid = sessions.sessid AND {IS_OPEN})"
"""Condition for a row of ``sessions`` with an upload that is not complete."""

_GROWING = (
    f"uploads.sessid = files.sessid AND uploads.name = files.name AND {IS_OPEN}"
    f" AND (length IS NULL OR length > committed OR protocol = '{RUFH}')"
)

FILE_GROWING = f"EXISTS (SELECT 1 FROM uploads WHERE {_GROWING})"
"""Condition for a row of ``files`` that may not be handed off yet: an upload has not received all of it."""

GROWING_FILES = f"files JOIN uploads ON {_GROWING}"
"""The files that meet this condition."""

# ruff: noqa: S608 - the statements are composed of these constants only


def find(cursor: Cursor, upload_id: str) -> UploadRecord | None:
    """Return an upload by its id, None if it is not on record."""
    cursor.execute(f"SELECT {COLUMNS} FROM uploads WHERE id = ?", (upload_id,))
    row = cursor.fetchone()
    if row is None:
        return None
    known, username, sessid, name, length, metadata, own, *rest = row
    return UploadRecord(known, username, sessid, name, length, metadata, bool(own), *rest)


def insert(cursor: Cursor, upload: UploadRecord, now: float) -> None:
    """Record an upload."""
    cursor.execute(
        f"INSERT INTO uploads ({COLUMNS}, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*astuple(upload, recurse=False), now),
    )


def make_way(cursor: Cursor, upload: UploadRecord, committed: int, now: float) -> None:
    """End the other uploads of a file, which has ``committed`` bytes.

    One that is shorter than the file is gone. One that has received nothing is forgotten: its client never received
    its URL, or has given it up. Raises ``UploadOpen`` if another has received something.
    """
    cursor.execute(
        "UPDATE uploads SET state = ?, changed = ?, metadata = ''"
        " WHERE sessid = ? AND name = ? AND state = ? AND length < ?",
        (GONE, now, upload.sessid, upload.name, OPEN, committed),
    )
    cursor.execute(
        "SELECT 1 FROM uploads WHERE sessid = ? AND name = ? AND state = ? AND brought > 0",
        (upload.sessid, upload.name, OPEN),
    )
    if cursor.fetchone() is not None:
        raise UploadOpen
    cursor.execute(
        "DELETE FROM uploads WHERE sessid = ? AND name = ? AND state = ?", (upload.sessid, upload.name, OPEN)
    )


def check_room(cursor: Cursor, upload: UploadRecord, left: int) -> None:
    """Check that a session and a user may have another upload; forget the oldest gone ones if there are too many.

    Metadata counts towards the quota until its upload is complete: ``left`` is how many bytes the session may still
    have. Raises ``TooManyUnfinished`` and ``InsufficientStorage``.
    """
    cursor.execute(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(metadata)), 0) FROM uploads WHERE sessid = ? AND state = ?",
        (upload.sessid, OPEN),
    )
    unfinished, metadata_bytes = cursor.fetchone()
    cursor.execute("SELECT COUNT(*) FROM uploads WHERE username = ? AND state = ?", (upload.username, OPEN))
    if unfinished >= UNFINISHED_OF_SESSION or cursor.fetchone()[0] >= UNFINISHED_OF_USER:
        raise TooManyUnfinished
    if metadata_bytes + len(upload.metadata) > left:
        raise InsufficientStorage
    cursor.execute("SELECT COUNT(*) FROM uploads WHERE username = ? AND state = ?", (upload.username, GONE))
    (gone,) = cursor.fetchone()
    if gone >= REMEMBERED_UPLOADS:
        cursor.execute(
            "DELETE FROM uploads WHERE id IN ("
            "SELECT id FROM uploads WHERE username = ? AND state = ? ORDER BY changed LIMIT ?)",
            (upload.username, GONE, gone - REMEMBERED_UPLOADS // 2),
        )


def grow(cursor: Cursor, upload: UploadRecord, received: int, now: float, *, complete: bool) -> None:
    """Record that an upload has ``received`` more bytes, and its length, which may have come with them.

    Raises ``UploadGone`` when it is not open.
    """
    cursor.execute(
        "UPDATE uploads SET state = ?, length = ?, brought = brought + ?, changed = ? WHERE id = ? AND state = ?",
        (COMPLETE if complete else OPEN, upload.length, received, now, upload.id, OPEN),
    )
    if not cursor.rowcount:
        raise UploadGone


def check_import(cursor: Cursor, sessid: str, name: str) -> None:
    """Check that no client is still sending a file: only RUFH's says itself when it is all. Raises ``FileBusy``."""
    cursor.execute(
        f"SELECT 1 FROM uploads WHERE sessid = ? AND name = ? AND {IS_OPEN} AND protocol = ? AND brought > 0",
        (sessid, name, RUFH),
    )
    if cursor.fetchone() is not None:
        raise FileBusy


def end(cursor: Cursor, upload_id: str, now: float) -> None:
    """Record that an upload is gone."""
    cursor.execute(f"UPDATE uploads SET {SET_GONE}, changed = ? WHERE id = ?", (now, upload_id))


def end_all(cursor: Cursor, sessid: str, now: float) -> None:
    """Record that all uploads of a session are gone."""
    cursor.execute(f"UPDATE uploads SET {SET_GONE}, changed = ? WHERE sessid = ?", (now, sessid))


def end_with_session(cursor: Cursor, sessid: str) -> None:
    """Record that the uploads of a session about to be deleted are gone, as of its last use."""
    cursor.execute(
        f"UPDATE uploads SET {SET_GONE}, changed = (SELECT touched FROM sessions WHERE sessid = ?)"
        f" WHERE sessid = ? AND state <> '{GONE}'",
        (sessid, sessid),
    )


def expire(cursor: Cursor, ended: float, before: float, busy: frozenset[str]) -> None:
    """Expire open uploads in sessions that have not been used since ``ended``, except in ``busy`` sessions.

    A session that owes the site something stays, and what a node sent of its file can then be handed off. Uploads
    that were gone before ``before`` are forgotten.
    """
    cursor.execute(
        f"SELECT id, sessid FROM uploads WHERE {IS_OPEN} AND changed < ? AND EXISTS ("
        "SELECT 1 FROM sessions WHERE sessions.sessid = uploads.sessid AND touched < ?)",
        (ended, ended),
    )
    over = [(upload_id,) for upload_id, sessid in cursor.fetchall() if sessid not in busy]
    cursor.executemany(f"UPDATE uploads SET {SET_GONE} WHERE id = ?", over)
    cursor.execute(f"DELETE FROM uploads WHERE {IS_GONE} AND changed < ?", (before,))


def unfinished(cursor: Cursor) -> int:
    """Return how many uploads are not complete."""
    cursor.execute(f"SELECT COUNT(*) FROM uploads WHERE {IS_OPEN}")
    return int(cursor.fetchone()[0])
