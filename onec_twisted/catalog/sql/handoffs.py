"""The outbox: SQL for hand-offs. Functions of a cursor, as in ``sessions``.

A hand-off is recorded in the transaction that seals its files, before it is reported to anybody.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING

from attrs import asdict, evolve

from onec_twisted.catalog.sql.sessions import SESSION_COLUMNS
from onec_twisted.catalog.sql.uploads import FILE_GROWING, GROWING_FILES
from onec_twisted.model.errors import FileSealed, HandoffRunning, InvalidSession, SessionRestarted, TooManyImports
from onec_twisted.model.records import FAILED, SETTLED, WAITING, Handoff, Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor
    from typing import Any

__all__ = [
    "FileHasGrown",
    "checked",
    "drop",
    "event_came",
    "files_of",
    "forget_file",
    "import_requested",
    "imported",
    "note_checked",
    "note_outcome",
    "note_reported",
    "quiet_since",
    "retry",
    "settle",
    "upload_complete",
    "waiting",
    "where",
]

COLUMNS = (
    "number, id, sessid, username, event, type, filename, archive, timestamp, files, created,"
    " state, tries, words, told, count, metadata, checked"
)


def _handoff(row: Sequence[Any]) -> Handoff:
    known: dict[str, Any] = dict(zip(COLUMNS.split(", "), row, strict=True))
    known["files"] = tuple((name, size) for name, size in json.loads(known["files"]))
    known["failure_reported"] = bool(known.pop("told"))
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


def _put(cursor: Cursor, handoff: Handoff) -> Handoff:
    """Record a hand-off, assign its number, and seal the files that it names."""
    new = evolve(handoff, state=WAITING, tries=0, words="", failure_reported=False, checked="")
    values = asdict(new, recurse=False)
    values |= {"files": json.dumps(new.files, ensure_ascii=False), "told": False, "changed": new.created}
    names = COLUMNS.replace("number", "changed")
    cursor.execute(f"INSERT INTO handoffs ({names}) VALUES (:{names.replace(', ', ', :')})", values)  # noqa: S608 - a constant
    number = int(cursor.lastrowid or 0)
    cursor.executemany(
        "UPDATE files SET sealed = -1 WHERE sessid = ? AND name = ? AND sealed = 0",
        [(handoff.sessid, name) for name, _ in handoff.files],
    )
    return evolve(new, number=number)


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
    """Return the hand-off of a name whose import was requested, or whose upload is complete; None if neither."""
    found = where(cursor, "sessid = ? AND event IN ('import', 'upload') AND filename = ?", sessid, filename)
    return found[0] if found else None


class FileHasGrown(Exception):
    """A piece was appended to a file between reading its length and sealing it."""


MOST_HANDOFFS = 10_000
"""Hand-offs that a session may have on record: they are scanned for each new one, and do not count as quota."""


def _check_room(cursor: Cursor, sessid: str) -> None:
    """Raise ``TooManyImports`` when a session may have no more hand-offs."""
    cursor.execute("SELECT COUNT(*) FROM handoffs WHERE sessid = ?", (sessid,))
    if cursor.fetchone()[0] >= MOST_HANDOFFS:
        raise TooManyImports


def import_requested(
    cursor: Cursor, session: Session, exchange_type: str, filename: str, archive: str, size: int, now: float
) -> Handoff:
    """Return the hand-off of a name: the existing one, or a new one if there is none or its failure was reported.

    ``archive`` is the uploaded file that contains it, empty if it was uploaded itself; that file is sealed at
    ``size`` bytes. A node that requests one document will request the others too; until then only those are owed.
    Raises ``SessionRestarted``, ``InvalidSession``, and ``FileHasGrown`` if the file now has another length.
    """
    _check_epoch(cursor, session)
    known = imported(cursor, session.sessid, filename)
    if known is not None:
        if known.state != FAILED or not known.failure_reported:
            return known
        cursor.execute("DELETE FROM handoffs WHERE number = ?", (known.number,))
    _check_room(cursor, session.sessid)
    name = archive or filename
    cursor.execute(
        "SELECT 1 FROM files WHERE sessid = ? AND name = ? AND committed = ?", (session.sessid, name, size)
    )
    if cursor.fetchone() is None:
        raise FileHasGrown
    files = ((name, size),)
    handoff = _put(
        cursor, _new(session, "import", exchange_type, now, filename=filename, archive=archive, files=files)
    )
    _owe_documents(cursor, session.sessid)
    return handoff


def _owe_documents(cursor: Cursor, sessid: str) -> None:
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


def note_outcome(cursor: Cursor, handoff: Handoff, now: float) -> None:
    """Record the outcome of an attempt to deliver a hand-off.

    A node that receives a failed import sends everything again, in another session: what it had not yet requested to
    import is no longer owed.
    """
    cursor.execute(
        "UPDATE handoffs SET state = ?, tries = ?, words = ?, changed = ? WHERE id = ? AND state = ?",
        (handoff.state, handoff.tries, handoff.words, now, handoff.id, WAITING),
    )
    if handoff.state == FAILED and handoff.event == "import":
        cursor.execute("UPDATE sessions SET owed = 0 WHERE sessid = ?", (handoff.sessid,))


def checked(cursor: Cursor, handoff: str) -> str:
    """Return what was found in the documents of a hand-off, by its id; empty if nothing was yet."""
    cursor.execute("SELECT checked FROM handoffs WHERE id = ?", (handoff,))
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def note_checked(cursor: Cursor, handoff: str, found: str) -> None:
    """Record what was found in the documents of a hand-off."""
    cursor.execute("UPDATE handoffs SET checked = ? WHERE id = ?", (found, handoff))


def note_reported(cursor: Cursor, handoff: Handoff) -> None:
    """Record that a failure was reported to the node."""
    cursor.execute("UPDATE handoffs SET told = 1 WHERE id = ?", (handoff.id,))


def retry(cursor: Cursor, failed: str, now: float) -> Handoff | None:
    """Replace a failed hand-off with a new one, and return that; None if there is no such hand-off.

    The new one has its own id, because the site may remember its answer to the old one. What the session no longer
    owed because of a failed import is owed again, unless the failure was reported to the node: then the node sends
    everything again.
    """
    found = where(cursor, "id = ? AND state = ?", failed, FAILED)
    if not found:
        return None
    if found[0].event == "import" and not found[0].failure_reported:
        _owe_documents(cursor, found[0].sessid)
    again = _put(cursor, evolve(found[0], id=uuid.uuid4().hex, created=now))
    _let_go(cursor, found[0], again.number)
    return again


def drop(cursor: Cursor, failed: str) -> bool:
    """Delete a hand-off that failed; return whether there was one."""
    found = where(cursor, "id = ? AND state = ?", failed, FAILED)
    if found:
        _let_go(cursor, found[0], -1)
    return bool(found)


def _let_go(cursor: Cursor, handoff: Handoff, sealed: int) -> None:
    """Delete a hand-off; its files stay sealed, by another one or by none, because its number may be reused."""
    cursor.execute(
        "UPDATE files SET sealed = ? WHERE sessid = ? AND sealed = ?", (sealed, handoff.sessid, handoff.number)
    )
    cursor.execute("DELETE FROM handoffs WHERE number = ?", (handoff.number,))


def waiting(cursor: Cursor) -> list[Handoff]:
    """Return all hand-offs that are still to be delivered, in order."""
    return where(cursor, "state = ?", WAITING)
