"""Uploads on record: functions of a cursor, each a step of a transaction or a question.

The length of an upload's file is the file's, in ``files``: a node that goes on with it, and a tus client, go by the
same number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.errors import FileTooLarge, InsufficientStorage, InvalidSession, SessionRestarted
from onec_twisted.model.records import Session
from onec_twisted.model.upload_errors import InvalidLength, TooManyUnfinished, UploadGone, UploadOpen
from onec_twisted.model.uploads import COMPLETE, GONE, OPEN, Found, UploadRecord

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.records import Handoff

__all__ = ["create", "create_with_session", "find", "grow", "remove"]

UNFINISHED_OF_SESSION = 1000
"""Uploads of a session that are not complete; a page has some twenty on their way, and makes others later."""

UNFINISHED_OF_USER = 10_000
"""The same of a user, in all of its sessions."""

REMEMBERED_UPLOADS = 10_000
"""Uploads of a user that are gone, and remembered as gone; when they are more, the older half is forgotten."""

COLUMNS = "id, username, sessid, name, length, metadata, own, brought, state"


def find(cursor: Cursor, upload_id: str) -> Found | None:
    """Return an upload by its id, None if it is not on record."""
    cursor.execute(f"SELECT {COLUMNS} FROM uploads WHERE id = ?", (upload_id,))  # noqa: S608 - a constant
    row = cursor.fetchone()
    if row is None:
        return None
    known, username, sessid, name, length, metadata, own, brought, state = row
    upload = UploadRecord(known, username, sessid, name, length, metadata, bool(own), brought, state)
    return Found(upload, statements.session_of(cursor, sessid), statements.file(cursor, sessid, name))


def create_with_session(
    cursor: Cursor, upload: UploadRecord, token_hash: str, quota: int, now: float, most: int
) -> Found:
    """Put an upload on record, with a session of its own.

    Raises ``TooManySessions`` when its user has ``most``; 0 is no limit; ``FileTooLarge`` when it is larger than
    ``quota`` bytes.
    """
    if (upload.length or 0) > quota:
        raise FileTooLarge
    _check_room(cursor, upload, quota)
    statements.open_session(cursor, upload.sessid, token_hash, upload.username, now, most)
    _insert(cursor, upload, now)
    return Found(upload, Session(upload.sessid, upload.username, 1, 0, now), None)


def create(cursor: Cursor, upload: UploadRecord, epoch: int, quota: int, now: float) -> Found:
    """Put an upload on record that goes to a session that is there, and goes on with its file, if there is one.

    One of the same name that has brought nothing is forgotten: its client never heard of it, or has thought better
    of it. One that its file has outgrown is gone. Raises ``UploadOpen`` for one that has brought something,
    ``SessionRestarted``, ``InvalidSession``, ``FileDamaged``, ``FileSealed``, ``FileTooLarge`` when the session would
    hold more than ``quota`` bytes, and ``InvalidLength`` when the file has more than the upload is to have.
    """
    session = statements.session_of(cursor, upload.sessid)
    if session is None:
        raise InvalidSession
    if session.epoch != epoch:
        raise SessionRestarted
    found = Found(upload, session, statements.file(cursor, upload.sessid, upload.name))
    found.check_file()
    cursor.execute(
        "UPDATE uploads SET state = ?, changed = ?, metadata = ''"
        " WHERE sessid = ? AND name = ? AND state = ? AND length < ?",
        (GONE, now, upload.sessid, upload.name, OPEN, found.committed),
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
    if upload.length is not None:
        if upload.length < found.committed:
            raise InvalidLength
        if upload.length - found.committed > quota - session.held:
            raise FileTooLarge
    _check_room(cursor, upload, quota - session.held)
    _insert(cursor, upload, now)
    statements.touch(cursor, upload.sessid, now)
    return found


def _check_room(cursor: Cursor, upload: UploadRecord, left: int) -> None:
    """See that a session, and a user, may have another upload; forget the oldest that are gone, if they are many.

    Metadata counts as bytes do until its upload is complete: ``left`` is how many the session may still have. Raises
    ``TooManyUnfinished`` and ``InsufficientStorage``.
    """
    cursor.execute(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(metadata)), 0) FROM uploads WHERE sessid = ? AND state = ?",
        (upload.sessid, OPEN),
    )
    unfinished, told = cursor.fetchone()
    cursor.execute("SELECT COUNT(*) FROM uploads WHERE username = ? AND state = ?", (upload.username, OPEN))
    if unfinished >= UNFINISHED_OF_SESSION or cursor.fetchone()[0] >= UNFINISHED_OF_USER:
        raise TooManyUnfinished
    if told + len(upload.metadata) > left:
        raise InsufficientStorage
    cursor.execute("SELECT COUNT(*) FROM uploads WHERE username = ? AND state = ?", (upload.username, GONE))
    (gone,) = cursor.fetchone()
    if gone >= REMEMBERED_UPLOADS:
        cursor.execute(
            "DELETE FROM uploads WHERE id IN ("
            "SELECT id FROM uploads WHERE username = ? AND state = ? ORDER BY changed LIMIT ?)",
            (upload.username, GONE, gone - REMEMBERED_UPLOADS // 2),
        )


def _insert(cursor: Cursor, upload: UploadRecord, now: float) -> None:
    cursor.execute(
        f"INSERT INTO uploads ({COLUMNS}, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (
            upload.id,
            upload.username,
            upload.sessid,
            upload.name,
            upload.length,
            upload.metadata,
            upload.own,
            upload.brought,
            upload.state,
            now,
        ),
    )


def grow(
    cursor: Cursor,
    session: Session,
    upload: UploadRecord,
    before: int | None,
    after: int,
    quota: int,
    now: float,
    metadata: dict[str, str] | None,
) -> Handoff | None:
    """Record that an upload's file has grown from ``before`` bytes (None: it was not there) to ``after`` bytes.

    So is the upload's length, which its client may have told with these bytes. With ``metadata`` the upload is
    complete: its file is sealed and handed off, and the hand-off is returned. Raises what ``statements.commit`` does,
    and ``UploadGone`` when the upload is not open.
    """
    cursor.execute(
        "UPDATE uploads SET state = ?, length = ?, brought = brought + ?, changed = ? WHERE id = ? AND state = ?",
        (OPEN if metadata is None else COMPLETE, upload.length, after - (before or 0), now, upload.id, OPEN),
    )
    if not cursor.rowcount:
        raise UploadGone
    if after == before and metadata is None:
        statements.touch(cursor, session.sessid, now)  # the last piece of a node is as it was
        return None
    statements.commit(cursor, session, upload.name, before, after, quota, now, by_node=False)
    if metadata is None:
        return None
    cursor.execute("SELECT type FROM files WHERE sessid = ? AND name = ?", (session.sessid, upload.name))
    (kind,) = cursor.fetchone()
    told = json.dumps(metadata, ensure_ascii=False)
    return outbox.upload_complete(cursor, session, kind, upload.name, after, told, now)


def remove(cursor: Cursor, upload: UploadRecord, now: float) -> bool:
    """Note that an upload is gone, and forget its file, unless a node has sent any of it; return whether.

    Its session stays. Raises ``HandoffRunning`` when the file is still to be delivered, ``FileSealed`` when it was
    handed off together with others, ``UploadGone`` when the upload is gone.
    """
    found = find(cursor, upload.id)
    if found is None or found.upload.state == GONE:
        raise UploadGone
    cursor.execute("SELECT 1 FROM files WHERE sessid = ? AND name = ? AND by_node = 0", (upload.sessid, upload.name))
    is_no_nodes = cursor.fetchone() is not None
    if is_no_nodes:
        outbox.forget_file(cursor, upload.sessid, upload.name)
    cursor.execute("UPDATE uploads SET state = ?, changed = ?, metadata = '' WHERE id = ?", (GONE, now, upload.id))
    if not is_no_nodes:
        return False
    cursor.execute("DELETE FROM files WHERE sessid = ? AND name = ?", (upload.sessid, upload.name))
    cursor.execute("UPDATE sessions SET held = held - ? WHERE sessid = ?", (found.committed, upload.sessid))
    return True
