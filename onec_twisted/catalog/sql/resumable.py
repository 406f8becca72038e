"""SQL for a resumable upload together with its session, file and hand-off: functions of a cursor.

The length of an upload's file is recorded only in ``files``: a node that continues the file and a tus client use the
same number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sql import uploads
from onec_twisted.model.errors import (
    FileBegun,
    FileTooLarge,
    InvalidLength,
    InvalidSession,
    SessionRestarted,
    UploadGone,
)
from onec_twisted.model.records import Session
from onec_twisted.model.uploads import GONE, RUFH, Found, UploadRecord

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.journal import Sender
    from onec_twisted.model.records import Handoff, Written

__all__ = ["create", "create_with_session", "find", "grow", "remove"]


def find(cursor: Cursor, upload_id: str) -> Found | None:
    """Return an upload by its id, None if it is not on record."""
    upload = uploads.find(cursor, upload_id)
    if upload is None:
        return None
    sessid, name = upload.sessid, upload.name
    return Found(upload, statements.session_of(cursor, sessid), statements.file(cursor, sessid, name))


def create_with_session(
    cursor: Cursor, upload: UploadRecord, token_hash: str, quota: int, now: float, most: int, sender: Sender
) -> Found:
    """Record an upload, with a session of its own.

    Raises ``TooManySessions`` when its user has ``most`` (0 means no limit), ``FileTooLarge`` when it is larger than
    ``quota`` bytes.
    """
    if (upload.length or 0) > quota:
        raise FileTooLarge
    uploads.check_room(cursor, upload, quota)
    statements.open_session(cursor, upload.sessid, token_hash, upload.username, now, most, sender)
    uploads.insert(cursor, upload, now)
    return Found(upload, Session(upload.sessid, upload.username, 1, 0, now), None)


def create(cursor: Cursor, upload: UploadRecord, epoch: int, quota: int, now: float) -> Found:
    """Record an upload in an existing session; it continues the file of its name, if there is one.

    Another upload of the same name that has received nothing is forgotten: its client never received its URL, or has
    given it up. One that is shorter than the file is gone. Raises ``UploadOpen`` if another has received something,
    ``SessionRestarted``, ``InvalidSession``, ``FileDamaged``, ``FileSealed``, ``FileTooLarge`` when the session would
    hold more than ``quota`` bytes, ``InvalidLength`` when the file is longer than the upload, and ``FileBegun`` when
    it has bytes and the upload, by RUFH, brings it from the first one on.
    """
    session = statements.session_of(cursor, upload.sessid)
    if session is None:
        raise InvalidSession
    if session.epoch != epoch:
        raise SessionRestarted
    found = Found(upload, session, statements.file(cursor, upload.sessid, upload.name))
    found.check_file()
    if upload.protocol == RUFH and found.committed:
        raise FileBegun
    uploads.make_way(cursor, upload, found.committed, now)
    if upload.length is not None:
        if upload.length < found.committed:
            raise InvalidLength
        if upload.length - found.committed > quota - session.held:
            raise FileTooLarge
    uploads.check_room(cursor, upload, quota - session.held)
    uploads.insert(cursor, upload, now)
    statements.touch(cursor, upload.sessid, now)
    return found


def grow(
    cursor: Cursor,
    session: Session,
    upload: UploadRecord,
    before: int | None,
    written: Written,
    quota: int,
    now: float,
    metadata: dict[str, str] | None,
    _claim: int = 0,
) -> Handoff | None:
    """Record that an upload's file has grown from ``before`` bytes (None: it was not there).

    Also record the upload's length, which its client may have sent with these bytes. With ``metadata`` the upload is
    complete: its file is sealed and handed off, and the hand-off is returned. ``_claim`` is for a shared database.
    Raises what ``sql.sessions.commit`` raises, and ``UploadGone`` when the upload is not open.
    """
    after = written.length
    uploads.grow(cursor, upload, after - (before or 0), now, complete=metadata is not None)
    if after == before and metadata is None:
        statements.touch(cursor, session.sessid, now)  # the last piece of a node is unchanged
        return None
    statements.commit(cursor, session, upload.name, before, written, quota, now, by_node=False)
    if metadata is None:
        return None
    cursor.execute("SELECT type FROM files WHERE sessid = ? AND name = ?", (session.sessid, upload.name))
    (exchange_type,) = cursor.fetchone()
    text = json.dumps(metadata, ensure_ascii=False)
    return outbox.upload_complete(cursor, session, exchange_type, upload.name, after, text, now)


def remove(cursor: Cursor, upload: UploadRecord, now: float) -> bool:
    """Record that an upload is gone; delete its file's record, unless a node has sent part of it; return whether.

    Its session stays. Raises ``HandoffRunning`` when the file is still to be delivered, ``FileSealed`` when it was
    handed off together with others, ``UploadGone`` when the upload is gone already.
    """
    found = find(cursor, upload.id)
    if found is None or found.upload.state == GONE:
        raise UploadGone
    cursor.execute("SELECT 1 FROM files WHERE sessid = ? AND name = ? AND by_node = 0", (upload.sessid, upload.name))
    by_uploads_alone = cursor.fetchone() is not None
    if by_uploads_alone:
        outbox.forget_file(cursor, upload.sessid, upload.name)
    uploads.end(cursor, upload.id, now)
    if not by_uploads_alone:
        return False
    cursor.execute("DELETE FROM files WHERE sessid = ? AND name = ?", (upload.sessid, upload.name))
    cursor.execute("UPDATE sessions SET held = held - ? WHERE sessid = ?", (found.committed, upload.sessid))
    return True
