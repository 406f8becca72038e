"""The statements that every piece needs, as one each, and what a step of ``catalog.sql`` needs in PostgreSQL besides.

A piece takes its place in a file by comparing the length on record with what its daemon has read: who finds another
length has been overtaken. Nothing is locked longer than one statement takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.catalog.sql import contents
from onec_twisted.catalog.sql import sessions as local
from onec_twisted.cluster.contents import QUESTIONS
from onec_twisted.ingest.daemons import Overtaken
from onec_twisted.model.errors import (
    FileDamaged,
    FileSealed,
    InsufficientStorage,
    InvalidSession,
    SessionRestarted,
)
from onec_twisted.model.records import FileRecord, Segment, Session, Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection, Cursor

    from onec_twisted.cluster.cursor import SharedCursor

__all__ = [
    "HOT",
    "confirm",
    "has_recorded",
    "join_segments",
    "settle",
    "take_answer",
    "take_upload",
]

FILE_COLUMNS = "committed, last_start, proven, damaged, sealed, answer, files.digest"

# ruff: noqa: S608 - the statements are composed of these constants only

GROW = """
WITH held AS (
    SELECT sessid, begun FROM sessions
    WHERE sessid = %(sessid)s AND epoch = %(epoch)s AND held + %(grown)s <= %(quota)s AND doubtful = 0 FOR UPDATE
), changed AS ({file}), added AS (
    INSERT INTO segments (sessid, name, epoch, start, length, object, digest)
    SELECT %(sessid)s, %(name)s, %(epoch)s, new.* FROM changed,
        unnest(%(starts)s::bigint[], %(lengths)s::bigint[], %(objects)s::text[], %(digests)s::bytea[]) AS new
), grown AS (
    UPDATE sessions
    SET held = held + %(grown)s, touched = GREATEST(touched, %(now)s), owed = 1, begun = begun + %(new)s
    WHERE sessid = (SELECT sessid FROM changed)
)
SELECT count(*) FROM changed
"""

GROWN = GROW.format(
    file="""
    UPDATE files SET committed = %(after)s, last_start = %(before)s, proven = 0, answer = %(answer)s,
        digest = %(digest)s, by_node = 1
    WHERE sessid = (SELECT sessid FROM held) AND name = %(name)s AND committed = %(before)s AND sealed = 0
        AND damaged = 0
    RETURNING sessid
"""
)

BEGUN = GROW.format(
    file="""
    INSERT INTO files (sessid, name, committed, last_start, proven, damaged, type, sealed, by_node, place, answer,
        digest)
    SELECT sessid, %(name)s, %(after)s, 0, 0, 0, %(type)s, 0, 1, begun + 1, %(answer)s, %(digest)s FROM held
    ON CONFLICT DO NOTHING RETURNING sessid
"""
)


def commit(
    cursor: Cursor[Any],
    session: Session,
    name: str,
    before: int | None,
    written: Written,
    quota: int,
    now: float,
    exchange_type: str = "catalog",
    answer: str = "",
) -> None:
    """Record a piece, as ``catalog.sql.sessions.commit`` does, in one statement, with its segments and its answer.

    Raises what that raises, ``FileDamaged``, and ``Overtaken`` if the file has another length by now.
    """
    grown = written.length - (before or 0)
    values = {
        "sessid": session.sessid,
        "epoch": session.epoch,
        "name": name,
        "type": exchange_type,
        "answer": answer,
        "before": before or 0,
        "after": written.length,
        "grown": grown,
        "quota": quota,
        "now": now,
        "digest": written.digest,
        "new": int(before is None),
        "starts": [one.start for one in written.segments],
        "lengths": [one.length for one in written.segments],
        "objects": [one.object for one in written.segments],
        "digests": [one.digest for one in written.segments],
    }
    row = cursor.execute(BEGUN if before is None else GROWN, values).fetchone()
    if row is None or not row[0]:
        _raise_why(cursor, session, name, grown, quota)
        raise Overtaken(written)


def _raise_why(cursor: Cursor[Any], session: Session, name: str, grown: int, quota: int) -> None:
    """Raise why a piece was not recorded, unless only its file has changed."""
    row = cursor.execute(
        "SELECT epoch, held, sealed, damaged > 0 OR doubtful > 0 FROM sessions"
        " LEFT JOIN files ON files.sessid = sessions.sessid AND name = %s WHERE sessions.sessid = %s",
        (name, session.sessid),
    ).fetchone()
    if row is None:
        raise InvalidSession
    epoch, held, sealed, damaged = row
    if epoch != session.epoch:
        raise SessionRestarted
    if sealed:
        raise FileSealed
    if damaged:
        raise FileDamaged
    if held + grown > quota:
        raise InsufficientStorage


def has_recorded(
    cursor: Cursor[Any], session: Session, name: str, _before: int | None, written: Written, *args: Any
) -> bool:
    """Return whether ``commit`` with these arguments has recorded its piece: its objects are nobody else's."""
    if written.segments:
        first = written.segments[0]
        found = cursor.execute("SELECT 1 FROM segments WHERE object = %s", (first.object,))
    else:  # an empty piece: nobody else has its name
        found = cursor.execute(
            "SELECT 1 FROM files WHERE sessid = %s AND name = %s AND answer = %s", (session.sessid, name, args[-1])
        )
    return found.fetchone() is not None


def prove(cursor: Cursor[Any], session: Session, name: str, _committed: int, answer: str = "") -> None:
    """Record that the answer of a name has arrived; if another counts by now, nothing changes."""
    cursor.execute(
        "UPDATE files SET proven = 1 WHERE sessid = %s AND name = %s AND answer = %s AND answer <> ''",
        (session.sessid, name, answer),
    )


def take_answer(cursor: Cursor[Any], session: Session, name: str, theirs: str, mine: str) -> bool:
    """Let another answer count for the last piece, unless the one that counts has arrived; return whether it does."""
    cursor.execute(
        "UPDATE files SET answer = %s WHERE sessid = %s AND name = %s AND answer = %s AND proven = 0",
        (mine, session.sessid, name, theirs),
    )
    return cursor.rowcount == 1


def take_upload(cursor: Cursor[Any], upload_id: str) -> int:
    """Let a request count as the newest for an upload, and return its number, 0 if there is no such upload."""
    row = cursor.execute(
        "UPDATE uploads SET claim = claim + 1 WHERE id = %s RETURNING claim", (upload_id,)
    ).fetchone()
    return row[0] if row else 0


def touch(cursor: Cursor[Any], sessid: str, now: float) -> None:
    """Record that a session is in use; other daemons' clocks may be ahead."""
    cursor.execute("UPDATE sessions SET touched = GREATEST(touched, %s) WHERE sessid = %s", (now, sessid))


def confirm(cursor: Cursor[Any], sessid: str, now: float) -> None:
    """Record the same, durably: what was read before may not have reached a standby yet."""
    touch(cursor, sessid, now)


def session(cursor: Cursor[Any], token_hash: str, _most: int) -> tuple[Session, dict[str, FileRecord], int] | None:
    """Return the session that a token opens, without its files: nothing of it is kept in memory."""
    row = cursor.execute(
        "SELECT sessid, username, epoch, held, touched FROM sessions WHERE token_hash = %s", (token_hash,)
    ).fetchone()
    return None if row is None else (Session(*row), {}, 0)


def session_and_file(cursor: Cursor[Any], token_hash: str, name: str) -> tuple[Session, FileRecord | None] | None:
    """Return the session that a token opens, and the record of one of its files, None if that is not there."""
    row = cursor.execute(
        f"SELECT sessions.sessid, username, epoch, held, touched, {FILE_COLUMNS} FROM sessions"
        " LEFT JOIN files ON files.sessid = sessions.sessid AND name = %s WHERE token_hash = %s",
        (name, token_hash),
    ).fetchone()
    if row is None:
        return None
    return Session(*row[:5]), None if row[5] is None else _file_record(row[5:])


def file(cursor: Cursor[Any], sessid: str, name: str) -> FileRecord | None:
    """Return a file's record, with the name of its answer and its digest."""
    row = cursor.execute(
        f"SELECT {FILE_COLUMNS} FROM files WHERE sessid = %s AND name = %s",
        (sessid, name),
    ).fetchone()
    return None if row is None else _file_record(row)


def _file_record(columns: tuple[Any, ...]) -> FileRecord:
    """Return a file's record, from the columns ``FILE_COLUMNS``."""
    committed, last_start, proven, damaged, sealed, answer, digest = columns
    return FileRecord(committed, last_start, bool(proven), bool(damaged), bool(sealed), answer, bytes(digest))


def join_segments(cursor: SharedCursor, session: Session, name: str, old: list[str], whole: Segment) -> bool:
    """Let one object take the place of the segments of a file that must not grow any more; return whether it does.

    ``old`` are the objects that were joined: if others are on record by now, nothing changes.
    """
    cursor.execute(
        "SELECT object FROM segments JOIN sessions ON sessions.sessid = segments.sessid"
        " AND sessions.epoch = segments.epoch WHERE segments.sessid = ? AND name = ? AND segments.epoch = ?"
        " AND EXISTS (SELECT 1 FROM files WHERE files.sessid = segments.sessid AND files.name = segments.name"
        " AND sealed <> 0 AND committed = ?)",
        (session.sessid, name, session.epoch, whole.length),
    )
    if {key for (key,) in cursor.fetchall()} != set(old):
        return False
    cursor.execute(
        "DELETE FROM segments WHERE sessid = ? AND name = ? AND epoch = ?", (session.sessid, name, session.epoch)
    )
    cursor.execute(
        "INSERT INTO segments (sessid, name, epoch, start, length, object, digest) VALUES (?, ?, ?, 0, ?, ?, ?)",
        (session.sessid, name, session.epoch, whole.length, whole.object, whole.digest),
    )
    return True


def settle(connection: Connection[Any]) -> None:
    """Write something: that waits until a synchronous standby has all that was committed before.

    A commit whose connection broke is on record, but was perhaps cut short while it waited for the standby.
    """
    connection.execute("SELECT pg_logical_emit_message(true, 'onec-exchange', '')")


HOT: dict[Callable[..., Any], Callable[..., Any]] = {
    local.commit: commit,
    local.prove: prove,
    local.touch: touch,
    local.session: session,
    contents.session_and_file: session_and_file,
    local.file: file,
    take_answer: take_answer,
    take_upload: take_upload,
    confirm: confirm,
    **QUESTIONS,
}
"""Steps and queries that are one statement, to be executed without a transaction around it, and by what."""
