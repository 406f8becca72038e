"""SQL for what becomes of hand-offs: their outcomes, and what people decide. Functions of a cursor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onec_twisted.catalog.sql.handoffs import again, owe_documents, where
from onec_twisted.catalog.sql.journal import note_attempt, note_found, note_superseded
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.records import Handoff

__all__ = ["Superseded", "checked", "drop", "note_checked", "note_outcome", "note_reported", "redeliver", "retry"]


def note_outcome(
    cursor: Cursor,
    handoff: Handoff,
    now: float,
    documents: tuple[str, ...] = (),
    begun: float | None = None,
) -> list[Handoff]:
    """Record the outcome of an attempt to deliver a hand-off; return older ones that waited and are superseded by it.

    The attempt began at ``begun``; None if there was none, because the administrator gave the hand-off up.
    ``documents`` are the names of those that it brings to the site. A node that receives a failed import sends
    everything again, in another session: what it had not yet requested to import is no longer owed.
    """
    cursor.execute(
        "UPDATE handoffs SET state = ?, tries = ?, words = ?, changed = ?, documents = CASE WHEN ? > 0 THEN ?"
        " ELSE documents END WHERE id = ? AND state = ?",
        (
            handoff.state,
            handoff.tries,
            handoff.words,
            now,
            len(documents),
            json.dumps(documents, ensure_ascii=False),
            handoff.id,
            WAITING,
        ),
    )
    if not cursor.rowcount:
        return []
    note_attempt(cursor, handoff, begun, now)
    if handoff.state == FAILED and handoff.event == "import":
        cursor.execute("UPDATE sessions SET owed = 0 WHERE sessid = ?", (handoff.sessid,))
    return _supersede(cursor, handoff, frozenset(documents), now) if handoff.state == SUCCEEDED and documents else []


def _supersede(cursor: Cursor, handoff: Handoff, documents: frozenset[str], now: float) -> list[Handoff]:
    """Let older hand-offs fail for good that have one of these documents; return those that waited.

    They have failed before: hand-offs are delivered in order. The site must not get them after the newer one.
    """
    cursor.execute(
        "SELECT number, id, state, documents FROM handoffs WHERE username = ? AND type = ? AND state IN (?, ?)"
        " AND number < ? AND superseded = 0 ORDER BY number",
        (handoff.username, handoff.type, FAILED, WAITING, handoff.number),
    )
    waited = []
    for number, older, state, theirs in cursor.fetchall():
        same = sorted(documents.intersection(json.loads(theirs)))
        if same:
            words = f"A newer {same[0]} was imported, so this one is not imported any more"
            cursor.execute(
                "UPDATE handoffs SET state = ?, superseded = 1, words = ?, changed = ? WHERE number = ?",
                (FAILED, words, now, number),
            )
            note_superseded(cursor, older, words, now)
            if state == WAITING:
                waited += where(cursor, "number = ?", number)
    return waited


def checked(cursor: Cursor, handoff: str) -> str:
    """Return what was found in the documents of a hand-off, by its id; empty if nothing was yet."""
    cursor.execute("SELECT checked FROM handoffs WHERE id = ?", (handoff,))
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def note_checked(cursor: Cursor, handoff: str, found: str) -> None:
    """Record what was found in the documents of a hand-off."""
    cursor.execute("UPDATE handoffs SET checked = ? WHERE id = ?", (found, handoff))
    note_found(cursor, handoff, found)


def note_reported(cursor: Cursor, handoff: Handoff) -> None:
    """Record that a failure was reported to the node."""
    cursor.execute("UPDATE handoffs SET told = 1 WHERE id = ?", (handoff.id,))


class Superseded(Exception):
    """A newer hand-off has brought a document of this one to the site."""


def retry(cursor: Cursor, failed: str, now: float) -> Handoff | None:
    """Let a failed hand-off wait again, and return it; None if there is no such hand-off. Raises ``Superseded``.

    It keeps its number, and so its place before younger ones. It gets a new id, because the site may remember its
    answer to the old one. What the session no longer
    owed because of a failed import is owed again, unless the failure was reported to the node: then the node sends
    everything again.
    """
    found = where(cursor, "id = ? AND state = ?", failed, FAILED)
    if not found:
        return None
    if found[0].superseded:
        raise Superseded
    if found[0].event == "import" and not found[0].failure_reported:
        owe_documents(cursor, found[0].sessid)
    return again(cursor, found[0], now)


def redeliver(cursor: Cursor, delivered: str, now: float) -> Handoff | None:
    """Let a delivered hand-off wait again, and return it; None if there is none, or its files are no longer there.

    Raises ``Superseded`` if a newer one has brought one of its documents since: the site must not get the older one.
    """
    found = where(cursor, "id = ? AND state = ?", delivered, SUCCEEDED)
    if not found or not _has_files(cursor, found[0]):
        return None
    handoff = found[0]
    cursor.execute("SELECT documents FROM handoffs WHERE number = ?", (handoff.number,))
    documents = frozenset(json.loads(cursor.fetchone()[0]))
    cursor.execute(
        "SELECT documents FROM handoffs WHERE username = ? AND type = ? AND state = ? AND number > ?",
        (handoff.username, handoff.type, SUCCEEDED, handoff.number),
    )
    if any(documents.intersection(json.loads(newer)) for (newer,) in cursor.fetchall()):
        raise Superseded
    return again(cursor, handoff, now)


def _has_files(cursor: Cursor, handoff: Handoff) -> bool:
    """Return whether the files of a hand-off are still those of its session; an event has none."""
    name = handoff.archive or handoff.filename
    if name:
        cursor.execute("SELECT COUNT(*) FROM files WHERE sessid = ? AND name = ?", (handoff.sessid, name))
    else:
        cursor.execute("SELECT COUNT(*) FROM files WHERE sessid = ? AND sealed = ?", (handoff.sessid, handoff.number))
    return bool(cursor.fetchone()[0] >= handoff.count)


def drop(cursor: Cursor, failed: str) -> bool:
    """Delete a hand-off that failed; return whether there was one."""
    found = where(cursor, "id = ? AND state = ?", failed, FAILED)
    for handoff in found:  # its files stay sealed, by none: its number may be reused
        cursor.execute(
            "UPDATE files SET sealed = -1 WHERE sessid = ? AND sealed = ?", (handoff.sessid, handoff.number)
        )
        cursor.execute("DELETE FROM handoffs WHERE number = ?", (handoff.number,))
    return bool(found)
