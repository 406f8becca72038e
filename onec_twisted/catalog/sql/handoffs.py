"""The outbox: SQL for hand-offs. Functions of a cursor, as in ``sessions``.

A hand-off is recorded in the transaction that seals its files, before it is reported to anybody.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING

from attrs import asdict, evolve

from onec_twisted.catalog.sql.journal import note_handoff, note_repeated
from onec_twisted.catalog.sql.sessions import SESSION_COLUMNS
from onec_twisted.catalog.sql.uploads import FILE_GROWING, GROWING_FILES, check_import
from onec_twisted.model.errors import FileSealed, HandoffRunning, InvalidSession, SessionRestarted, TooManyImports
from onec_twisted.model.records import FAILED, SETTLED, WAITING, Handoff, Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor
    from typing import Any

__all__ = [
    "FileHasGrown",
    "again",
    "event_came",
    "files_of",
    "forget_file",
    "import_requested",
    "imported",
    "owe_documents",
    "quiet_since",
    "settle",
    "unchanged",
    "upload_complete",
    "waiting",
    "waiting_before",
    "where",
]

COLUMNS = (
    "number, id, sessid, username, event, type, filename, archive, timestamp, files, created,"
    " state, tries, words, told, count, metadata, checked, superseded"
)


def _handoff(row: Sequence[Any]) -> Handoff:
    known: dict[str, Any] = dict(zip(COLUMNS.split(", "), row, strict=True))
    known["files"] = tuple((name, size) for name, size in json.loads(known["files"]))
    known["failure_reported"] = bool(known.pop("told"))
    known["superseded"] = bool(known["superseded"])
    return Handoff(**known)


def where(cursor: Cursor, condition: str, *values: Any) -> list[Handoff]:
    """Return hand-offs in order; ``condition`` is a constant of this package."""
    cursor.execute(f"SELECT {COLUMNS} FROM handoffs WHERE {condition} ORDER BY number", values)  # noqa: S608 - texts of this module
    return [_handoff(row) for row in cursor.fetchall()]


def _check_epoch(cursor: Cursor, session: Session) -> None:
    """Raise ``SessionRestarted`` if a session is now in another epoch, ``InvalidSession`` if it is gone."""
    cursor.execute("SELECT epoch FROM sessions WHERE sessid = ?", (session.sessid,))
    row = cursor.fetchone()
    if row is None:
        raise InvalidSession
    if row[0] != session.epoch:
        raise SessionRestarted


def _put(cursor: Cursor, handoff: Handoff, begun: int | None = None) -> Handoff:
    """Record a new hand-off, assign its number, and seal the files that it names.

    ``begun`` is how many files its session had begun when they were found; None is now.
    """
    values = asdict(handoff, recurse=False)
    documents = [handoff.filename] if handoff.event == "import" else []
    values |= {"files": json.dumps(handoff.files, ensure_ascii=False), "told": False, "changed": handoff.created}
    values |= {"documents": json.dumps(documents, ensure_ascii=False), "begun": begun}
    names = COLUMNS.replace("number", "changed, documents")
    cursor.execute(
        f"INSERT INTO handoffs (begun, {names}) VALUES ("  # noqa: S608 - constants
        f"COALESCE(:begun, (SELECT begun FROM sessions WHERE sessid = :sessid)), :{names.replace(', ', ', :')})",
        values,
    )
    number = int(cursor.lastrowid or 0)
    note_handoff(cursor, handoff)
    cursor.executemany(
        "UPDATE files SET sealed = -1 WHERE sessid = ? AND name = ? AND sealed = 0",
        [(handoff.sessid, name) for name, _ in handoff.files],
    )
    return evolve(handoff, number=number)


def files_of(cursor: Cursor, handoff: Handoff, most: int = sys.maxsize) -> list[tuple[str, int]]:
    """Return the names and lengths of at most ``most`` files of a hand-off."""
    if handoff.event != SETTLED or handoff.files:
        return list(handoff.files[:most])
    cursor.execute(
        "SELECT name, committed FROM files WHERE sessid = ? AND sealed = ? ORDER BY name LIMIT ?",
        (handoff.sessid, handoff.number, most),
    )
    return cursor.fetchall()


def imported(cursor: Cursor, sessid: str, filename: str) -> Handoff | None:
    """Return the last hand-off of a name whose import was requested, or whose upload is complete; None if neither."""
    found = where(cursor, IMPORTED, sessid, filename)
    return found[-1] if found else None


IMPORTED = "sessid = ? AND event IN ('import', 'upload') AND filename = ?"
"""Condition for the hand-offs of a name: one for each file that it was found in."""

UNCHANGED = "begun = (SELECT begun FROM sessions WHERE sessions.sessid = handoffs.sessid)"
"""Condition for a hand-off whose session has begun no file since."""


def unchanged(cursor: Cursor, sessid: str, filename: str) -> Handoff | None:
    """Return the hand-off of a name, None if its session has begun a file since it was asked for.

    That file may hold another document of this name.
    """
    found = where(cursor, f"{IMPORTED} AND {UNCHANGED}", sessid, filename)
    return found[-1] if found else None


class FileHasGrown(Exception):
    """A piece was appended to a file between reading its length and sealing it."""


MOST_HANDOFFS = 10_000
"""Hand-offs that a session may have on record: they are scanned for each new one, and do not count as quota."""


def _check_room(cursor: Cursor, sessid: str) -> None:
    """Raise ``TooManyImports`` when a session may have no more hand-offs."""
    cursor.execute("SELECT COUNT(*) FROM handoffs WHERE sessid = ?", (sessid,))
    if cursor.fetchone()[0] >= MOST_HANDOFFS:
        raise TooManyImports


def again(cursor: Cursor, failed: Handoff, now: float) -> Handoff:
    """Let a failed hand-off wait again in its place, under a new id, and return it."""
    new = evolve(
        failed, id=uuid.uuid4().hex, created=now, state=WAITING, tries=0, words="", failure_reported=False, checked=""
    )
    cursor.execute(
        "UPDATE handoffs SET id = ?, event = ?, type = ?, created = ?, changed = ?, state = ?, tries = 0, words = '',"
        " told = 0, checked = '' WHERE number = ?",
        (new.id, new.event, new.type, now, now, WAITING, new.number),
    )
    note_repeated(cursor, failed.id, new)
    return new


def import_requested(
    cursor: Cursor,
    session: Session,
    exchange_type: str,
    filename: str,
    archive: str,
    size: int,
    now: float,
    begun: int | None = None,
) -> Handoff:
    """Return the hand-off of a name: the existing one, or a new one if there is none.

    One whose failure was reported waits again, under a new id, unless it is superseded. ``archive`` is the uploaded
    file that contains it, empty if it was uploaded itself; that file is sealed at ``size`` bytes. The same name in
    another file is another document. ``begun`` is how many files the session had begun when it was found. A node that
    requests one document will request the others too; until then only those are owed. Raises ``SessionRestarted``,
    ``InvalidSession``, ``FileHasGrown`` if the file now has another length, ``FileBusy`` while a client uploads it.
    """
    _check_epoch(cursor, session)
    found = where(cursor, f"{IMPORTED} AND archive = ?", session.sessid, filename, archive)
    if found:
        known = found[-1]
        if begun is not None:
            cursor.execute("UPDATE handoffs SET begun = ? WHERE number = ?", (begun, known.number))
        if known.state == FAILED and known.failure_reported and not known.superseded:
            known = again(cursor, evolve(known, event="import", type=exchange_type), now)
            owe_documents(cursor, session.sessid)
        return known
    _check_room(cursor, session.sessid)
    name = archive or filename
    check_import(cursor, session.sessid, name)
    cursor.execute(
        "SELECT 1 FROM files WHERE sessid = ? AND name = ? AND committed = ?", (session.sessid, name, size)
    )
    if cursor.fetchone() is None:
        raise FileHasGrown
    files = ((name, size),)
    new = _new(session, "import", exchange_type, now, filename=filename, archive=archive, files=files)
    handoff = _put(cursor, new, begun)
    owe_documents(cursor, session.sessid)
    return handoff


def owe_documents(cursor: Cursor, sessid: str) -> None:
    """Mark a session as owing only if it has documents that nobody has requested to import yet."""
    cursor.execute(
        "UPDATE sessions SET owed = CASE WHEN EXISTS (SELECT 1 FROM files WHERE files.sessid = sessions.sessid"
        " AND sealed = 0 AND by_node <> 0 AND (LOWER(name) LIKE '%.xml' OR LOWER(name) LIKE '%.zip'))"
        " THEN 1 ELSE 0 END WHERE sessid = ?",
        (sessid,),
    )


def upload_complete(
    cursor: Cursor, session: Session, exchange_type: str, name: str, size: int, metadata: str, now: float
) -> Handoff:
    """Return the hand-off of a file whose upload is complete; ``metadata`` is JSON."""
    _check_room(cursor, session.sessid)
    files = ((name, size),)
    return _put(cursor, _new(session, "upload", exchange_type, now, filename=name, files=files, metadata=metadata))


def forget_file(cursor: Cursor, sessid: str, name: str) -> None:
    """Delete the hand-offs of a file that is to be removed, so that another of its name may follow.

    Raises ``HandoffRunning`` if it is still to be delivered, and ``FileSealed`` if it was handed off with others.
    """
    about = where(cursor, "sessid = ? AND (filename = ? OR archive = ?)", sessid, name, name)
    about += where(
        cursor,
        "sessid = ? AND number = (SELECT sealed FROM files WHERE files.sessid = handoffs.sessid AND name = ?)",
        sessid,
        name,
    )
    for handoff in about:
        if handoff.state == WAITING:
            raise HandoffRunning
        if handoff.filename != name:
            raise FileSealed
        cursor.execute("DELETE FROM handoffs WHERE number = ?", (handoff.number,))


def event_came(
    cursor: Cursor, session: Session, event: str, exchange_type: str, timestamp: str, now: float
) -> list[Handoff]:
    """Return the hand-offs that an event causes: files that nobody requested to import, and the event itself.

    An event that is on record already, did not fail, and has no new files causes none. Raises
    ``SessionRestarted``, ``InvalidSession``.
    """
    _check_epoch(cursor, session)
    same = "sessid = ? AND event = ? AND type = ? AND timestamp = ?"
    found = where(cursor, same, session.sessid, event, exchange_type, timestamp)
    made = _settle(cursor, session, now)
    if made or not found or found[-1].state == FAILED:
        _check_room(cursor, session.sessid)
        made.append(_put(cursor, _new(session, event, exchange_type, now, timestamp=timestamp)))
    return made


def quiet_since(cursor: Cursor, then: float) -> list[Session]:
    """Return the sessions that owe the site something, and have not been used since ``then``."""
    cursor.execute(f"SELECT {SESSION_COLUMNS} FROM sessions WHERE owed <> 0 AND touched < ?", (then,))  # noqa: S608 - a constant
    return [Session(*row) for row in cursor.fetchall()]


def settle(cursor: Cursor, session: Session, now: float) -> list[Handoff]:
    """Return the hand-offs of a session whose node has become silent: its files, by type.

    There are none if the session was used in the meantime.
    """
    cursor.execute("SELECT 1 FROM sessions WHERE sessid = ? AND touched <= ?", (session.sessid, session.touched))
    return [] if cursor.fetchone() is None else _settle(cursor, session, now)


OWED = f"sessid = ? AND sealed = 0 AND by_node <> 0 AND NOT {FILE_GROWING}"
"""Condition for the files of a session that are handed off when its node has become silent."""


def _settle(cursor: Cursor, session: Session, now: float) -> list[Handoff]:
    """Hand off what the node of a session has sent, if that is owed, except for files of unfinished uploads."""
    cursor.execute("UPDATE sessions SET owed = 0 WHERE sessid = ? AND owed <> 0", (session.sessid,))
    if not cursor.rowcount:
        return []
    cursor.execute(f"SELECT type, COUNT(*) FROM files WHERE {OWED} GROUP BY type ORDER BY type", (session.sessid,))  # noqa: S608 - a constant
    found = cursor.fetchall()
    made = [_put(cursor, _new(session, SETTLED, exchange_type, now, count=count)) for exchange_type, count in found]
    for handoff in made:  # one statement, however many files there are
        cursor.execute(
            f"UPDATE files SET sealed = ? WHERE {OWED} AND type = ?",  # noqa: S608 - a constant
            (handoff.number, session.sessid, handoff.type),
        )
    # A file that a node began and a tus upload continues is owed until that upload ends, one way or the other
    cursor.execute(
        "UPDATE sessions SET owed = 1 WHERE sessid = ? AND EXISTS ("  # noqa: S608 - a constant
        f"SELECT 1 FROM {GROWING_FILES}"
        " WHERE files.sessid = sessions.sessid AND sealed = 0 AND by_node <> 0)",
        (session.sessid,),
    )
    return made


def _new(
    session: Session,
    event: str,
    exchange_type: str,
    now: float,
    *,
    filename: str = "",
    archive: str = "",
    timestamp: str = "",
    files: tuple[tuple[str, int], ...] = (),
    count: int = 0,
    metadata: str = "",
) -> Handoff:
    """Return a hand-off with a new id."""
    new = uuid.uuid4().hex
    return Handoff(
        0,
        new,
        session.sessid,
        session.username,
        event,
        exchange_type,
        filename,
        archive,
        timestamp,
        files,
        now,
        count=count or len(files),
        metadata=metadata,
    )


def waiting(cursor: Cursor) -> list[Handoff]:
    """Return all hand-offs that are still to be delivered, in order."""
    return where(cursor, "state = ?", WAITING)


def waiting_before(cursor: Cursor, handoff: Handoff) -> list[Handoff]:
    """Return the hand-offs of a user and type that are to be delivered before this one."""
    same = "username = ? AND type = ? AND state = ? AND number < ?"
    return where(cursor, same, handoff.username, handoff.type, WAITING, handoff.number)
