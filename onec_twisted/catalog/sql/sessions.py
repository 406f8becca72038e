"""SQL for sessions and their files: functions of a cursor, each a step of a transaction or a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import fields

from onec_twisted.catalog.sql import journal, kept, uploads
from onec_twisted.model.errors import (
    FileSealed,
    HandoffRunning,
    InsufficientStorage,
    InvalidSession,
    SessionRestarted,
    TooManySessions,
)
from onec_twisted.model.journal import UNKNOWN_SENDER, Sender
from onec_twisted.model.records import FAILED, WAITING, Epoch, FileRecord, Session
from onec_twisted.model.shops import DEFAULT_SHOP, SEPARATOR, accounts_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor

    from onec_twisted.model.records import Written

__all__ = [
    "commit",
    "damage",
    "damage_all",
    "damage_files",
    "end_session",
    "ended",
    "file",
    "has_damaged",
    "held_by",
    "nothing",
    "open_session",
    "prove",
    "remove_session",
    "revoke",
    "session",
    "session_of",
    "sessions_of",
    "start_epoch",
    "touch",
    "unknown",
    "users",
]


SESSION_COLUMNS = ", ".join(one.name for one in fields(Session))
FILE_COLUMNS = ", ".join(one.name for one in fields(FileRecord) if one.name not in ("answer", "digest"))

REVOKED = "revoked"
"""What replaces the token's hash of a revoked session, followed by the sessid."""

# ruff: noqa: S608 - the statements are composed of constants only


def nothing(_: Cursor) -> None:
    """Record nothing; records that wait for another one are committed with it."""


def open_session(
    cursor: Cursor,
    sessid: str,
    token_hash: str,
    username: str,
    now: float,
    most: int = 0,
    sender: Sender = UNKNOWN_SENDER,
) -> None:
    """Record a new session. Raises ``TooManySessions`` when its user has ``most``; 0 means no limit."""
    if most:
        cursor.execute("SELECT COUNT(*) FROM sessions WHERE username = ?", (username,))
        if cursor.fetchone()[0] >= most:
            raise TooManySessions
    cursor.execute(
        "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
        " VALUES (?, ?, ?, 1, 0, ?, 0)",
        (sessid, token_hash, username, now),
    )
    journal.begin_exchange(cursor, sessid, username, sender, now)


def touch(cursor: Cursor, sessid: str, now: float) -> None:
    """Record that a session is in use."""
    cursor.execute("UPDATE sessions SET touched = ? WHERE sessid = ?", (now, sessid))


def session(cursor: Cursor, token_hash: str, most: int) -> tuple[Session, dict[str, FileRecord], int] | None:
    """Return the session that a token opens, its files, and their number.

    The files are omitted when there are more than ``most``.
    """
    cursor.execute(f"SELECT {SESSION_COLUMNS} FROM sessions WHERE token_hash = ?", (token_hash,))
    row = cursor.fetchone()
    if row is None:
        return None
    found = Session(*row)
    cursor.execute(f"SELECT name, {FILE_COLUMNS} FROM files WHERE sessid = ? LIMIT ?", (found.sessid, most + 1))
    files = {name: _file_record(values) for name, *values in cursor}
    if len(files) <= most:
        return found, files, len(files)
    cursor.execute("SELECT COUNT(*) FROM files WHERE sessid = ?", (found.sessid,))
    return found, {}, cursor.fetchone()[0]


def session_of(cursor: Cursor, sessid: str) -> Session | None:
    """Return a session by its sessid."""
    cursor.execute(f"SELECT {SESSION_COLUMNS} FROM sessions WHERE sessid = ?", (sessid,))
    row = cursor.fetchone()
    return Session(*row) if row else None


def file(cursor: Cursor, sessid: str, name: str) -> FileRecord | None:
    """Return a file's record, None if there is none."""
    cursor.execute(f"SELECT {FILE_COLUMNS} FROM files WHERE sessid = ? AND name = ?", (sessid, name))
    row = cursor.fetchone()
    return _file_record(row) if row else None


def _file_record(row: Sequence[int]) -> FileRecord:
    return FileRecord(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4]))


GROW = (
    "UPDATE sessions SET held = held + ?, touched = ?, owed = CASE WHEN ? > 0 THEN 1 ELSE owed END"
    " WHERE sessid = ? AND epoch = ? AND held + ? <= ?"
)
BEGIN = GROW.replace(" WHERE", ", begun = begun + 1 WHERE", 1)
"""What a piece changes in its session, and what the first piece of a file does."""


def commit(
    cursor: Cursor,
    session: Session,
    name: str,
    before: int | None,
    written: Written,
    quota: int,
    now: float,
    exchange_type: str = "catalog",
    _answer: str = "",
    *,
    by_node: bool = True,
) -> None:
    """Record that a file has grown from ``before`` bytes (None: it was not there).

    ``exchange_type`` is the type in the query of its first piece; ``_answer`` is for a shared database. What arrives
    ``by_node`` is owed to the site from now on; anything else needs no proof that its answer arrived. Raises
    ``FileSealed`` if it was handed off in the meantime, ``SessionRestarted`` if the session is now in another epoch,
    ``InvalidSession`` if it is gone, ``InsufficientStorage`` if it would hold more than ``quota`` bytes.
    """
    after = written.length
    grown = after - (before or 0)
    owed, proven = int(by_node), int(not by_node)  # the engine takes long to see what a bool is
    cursor.execute(
        GROW if before is not None else BEGIN,
        (grown, now, owed, session.sessid, session.epoch, grown, quota),
    )
    if not cursor.rowcount:
        cursor.execute("SELECT epoch FROM sessions WHERE sessid = ?", (session.sessid,))
        row = cursor.fetchone()
        if row is None:
            raise InvalidSession
        raise InsufficientStorage if row[0] == session.epoch else SessionRestarted
    if before is None:
        cursor.execute(
            "INSERT INTO files (sessid, name, committed, last_start, proven, damaged, type, sealed, by_node, place)"
            " VALUES (?, ?, ?, 0, ?, 0, ?, 0, ?, (SELECT begun FROM sessions WHERE sessid = ?))",
            (session.sessid, name, after, proven, exchange_type, owed, session.sessid),
        )
        return
    cursor.execute(
        "UPDATE files SET committed = ?, last_start = ?, proven = ?,"
        " by_node = CASE WHEN ? > 0 THEN 1 ELSE by_node END"
        " WHERE sessid = ? AND name = ? AND committed = ? AND sealed = 0",
        (after, before, proven, owed, session.sessid, name, before),
    )
    if cursor.rowcount != 1:
        known = file(cursor, session.sessid, name)
        if known is not None and known.sealed:
            raise FileSealed
        raise RuntimeError(f"two writers of {name} in {session.sessid}")


def prove(cursor: Cursor, session: Session, name: str, committed: int, _answer: str = "") -> None:
    """Record that the answer to the piece that ends at ``committed`` bytes has arrived; see ``commit``."""
    cursor.execute(
        "UPDATE files SET proven = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)"
        " AND name = ? AND committed = ?",
        (session.sessid, session.epoch, name, committed),
    )


def damage(cursor: Cursor, session: Session, name: str) -> None:
    """Record that acknowledged bytes of a file are doubtful."""
    cursor.execute(
        "UPDATE files SET damaged = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)"
        " AND name = ?",
        (session.sessid, session.epoch, name),
    )


def damage_all(cursor: Cursor, session: Session) -> None:
    """Record that acknowledged bytes of every file of a session are doubtful."""
    cursor.execute(
        "UPDATE files SET damaged = 1 WHERE sessid = (SELECT sessid FROM sessions WHERE sessid = ? AND epoch = ?)",
        (session.sessid, session.epoch),
    )


def damage_files(cursor: Cursor, damaged: list[tuple[str, str]]) -> None:
    """Record that acknowledged bytes of files, by sessid and name, are missing."""
    cursor.executemany("UPDATE files SET damaged = 1 WHERE sessid = ? AND name = ?", damaged)


def has_damaged(cursor: Cursor, sessid: str) -> bool:
    """Return whether any file of a session is damaged."""
    cursor.execute("SELECT 1 FROM files WHERE sessid = ? AND damaged <> 0 LIMIT 1", (sessid,))
    return cursor.fetchone() is not None


def start_epoch(cursor: Cursor, sessid: str, now: float, room: int = 0, _expected: int = 0) -> Epoch:
    """Start a new epoch of a session, and return it; its number is 0 when the session is gone.

    If something was imported, its folder is kept, and the epoch has another; ``room`` is how many bytes of a session
    may be kept, ``_expected`` is for a shared database. Raises ``HandoffRunning`` while something waits for delivery.
    """
    _check_delivered(cursor, sessid)
    is_kept, outdated = kept.keep(cursor, sessid, room)
    journal.restart_exchange(cursor, sessid, now)
    cursor.execute("DELETE FROM files WHERE sessid = ?", (sessid,))
    cursor.execute("DELETE FROM handoffs WHERE sessid = ?", (sessid,))
    uploads.end_all(cursor, sessid, now)
    cursor.execute(
        "UPDATE sessions SET epoch = epoch + 1, held = 0, owed = 0, touched = ? WHERE sessid = ?", (now, sessid)
    )
    cursor.execute("SELECT epoch, folder FROM sessions WHERE sessid = ?", (sessid,))
    number, folder = cursor.fetchone() or (0, "")
    if is_kept:
        folder = f"{sessid}.{number}"
        cursor.execute("UPDATE sessions SET folder = ? WHERE sessid = ?", (folder, sessid))
    return Epoch(number, folder or sessid, is_kept, tuple(outdated))


def end_session(cursor: Cursor, sessid: str) -> None:
    """Delete a session and all that belongs to it.

    Raises ``InvalidSession`` if there is no such session, ``HandoffRunning`` if something of it is to be delivered.
    """
    cursor.execute("SELECT 1 FROM sessions WHERE sessid = ?", (sessid,))
    if cursor.fetchone() is None:
        raise InvalidSession
    _check_delivered(cursor, sessid)
    _forget(cursor, sessid)


def held_by(cursor: Cursor, shop: str) -> int:
    """Return how many bytes the sessions of a shop hold together."""
    if shop == DEFAULT_SHOP:
        cursor.execute(f"SELECT COALESCE(SUM(held), 0) FROM sessions WHERE username NOT LIKE '%{SEPARATOR}%'")
    else:
        cursor.execute(
            "SELECT COALESCE(SUM(held), 0) FROM sessions WHERE username >= ? AND username < ?", accounts_of(shop)
        )
    return int(cursor.fetchone()[0])


def users(cursor: Cursor) -> list[str]:
    """Return the users that have sessions which are not revoked."""
    cursor.execute(f"SELECT DISTINCT username FROM sessions WHERE token_hash NOT LIKE '{REVOKED}%'")
    return [username for (username,) in cursor.fetchall()]


def sessions_of(cursor: Cursor, username: str) -> list[str]:
    """Return the sessids of all sessions of a user that are not revoked."""
    cursor.execute(
        f"SELECT sessid FROM sessions WHERE username = ? AND token_hash NOT LIKE '{REVOKED}%'", (username,)
    )
    return [sessid for (sessid,) in cursor.fetchall()]


def revoke(cursor: Cursor, sessid: str) -> None:
    """Revoke a session's token by a hash that no token has; the session's files and hand-offs stay."""
    cursor.execute(f"UPDATE sessions SET token_hash = '{REVOKED} ' || sessid WHERE sessid = ?", (sessid,))


def _check_delivered(cursor: Cursor, sessid: str) -> None:
    """Raise ``HandoffRunning`` when something of a session is still to be delivered."""
    cursor.execute("SELECT 1 FROM handoffs WHERE sessid = ? AND state = ? LIMIT 1", (sessid, WAITING))
    if cursor.fetchone() is not None:
        raise HandoffRunning


def _forget(cursor: Cursor, sessid: str) -> None:
    """Delete a session and all that belongs to it; its uploads are remembered as gone since its last use."""
    uploads.end_with_session(cursor, sessid)
    journal.end_exchange(cursor, sessid)
    cursor.execute("DELETE FROM sessions WHERE sessid = ?", (sessid,))
    cursor.execute("DELETE FROM files WHERE sessid = ?", (sessid,))
    cursor.execute("DELETE FROM handoffs WHERE sessid = ?", (sessid,))


def unknown(cursor: Cursor, folders: list[str]) -> list[str]:
    """Return those folders that are neither a session's on record nor kept."""
    unknown = []
    for folder in folders:
        cursor.execute("SELECT folder FROM sessions WHERE sessid = ?", (folder.partition(".")[0],))
        row = cursor.fetchone()
        is_current = row is not None and (row[0] or folder.partition(".")[0]) == folder
        if not is_current and not kept.is_kept(cursor, folder):
            unknown.append(folder)
    return unknown


ENDED = f"""
SELECT sessid, username FROM (
    SELECT sessid, username, touched, CASE
        WHEN EXISTS (SELECT 1 FROM handoffs WHERE handoffs.sessid = sessions.sessid)
        AND NOT {uploads.SESSION_UNFINISHED}
        AND NOT EXISTS (SELECT 1 FROM handoffs WHERE handoffs.sessid = sessions.sessid AND state = '{FAILED}')
        THEN :kept ELSE :ended END AS last
    FROM sessions WHERE owed = 0 {{which}}) AS quiet
WHERE touched < last AND NOT EXISTS (
    SELECT 1 FROM handoffs WHERE handoffs.sessid = quiet.sessid AND (state = '{WAITING}' OR changed >= last))
"""


def ended(cursor: Cursor, ended: float, kept: float) -> list[tuple[str, str]]:
    """Return the sessids and users of all sessions that may be removed.

    Those are the ones that have not been used since ``ended``; or since ``kept``, where everything was handed off
    successfully and no tus upload is unfinished. Sessions with anything not yet handed off stay, and so do those with
    hand-offs since then.
    """
    cursor.execute(ENDED.format(which=""), {"ended": ended, "kept": kept})
    return [(sessid, username) for sessid, username in cursor.fetchall()]


def remove_session(cursor: Cursor, sessid: str, ended: float, kept: float) -> bool:
    """Delete a session and all that belongs to it, if it may still be removed (see ``ended``); return whether."""
    cursor.execute(ENDED.format(which="AND sessid = :sessid"), {"sessid": sessid, "ended": ended, "kept": kept})
    if cursor.fetchone() is None:
        return False
    _forget(cursor, sessid)
    return True
