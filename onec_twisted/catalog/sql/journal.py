"""SQL that keeps the journal: functions of a cursor, each part of the transaction of what it notes.

A piece is noted nowhere: an exchange's files are those of its session while that is there, and copied when it ends.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from attrs import evolve

from onec_twisted.model.journal import BROKEN, EMPTY, IMPORTING, RUNNING
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.model.shops import shop_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor

    from onec_twisted.model.journal import Minute, RefusalLine, Sender
    from onec_twisted.model.records import Handoff

__all__ = [
    "REPEATED",
    "add_refusals",
    "begin_exchange",
    "end_exchange",
    "forget_exchanges",
    "note_attempt",
    "note_found",
    "note_handoff",
    "note_minute",
    "note_repeated",
    "note_superseded",
    "restart_exchange",
]

REPEATED = "repeated"
"""The state of an import that was delivered again, under another id."""

MOST_FILES = 1000
"""Files that are remembered of an exchange: documents and archives first, then in the order in which they came."""

MOST_REFUSALS = 1000
"""Lines of refusals that are remembered."""

CURRENT = "(SELECT MAX(number) FROM exchanges WHERE sessid = ? AND live <> 0)"


def begin_exchange(cursor: Cursor, sessid: str, username: str, sender: Sender, now: float) -> None:
    """Note that a session begins."""
    cursor.execute(
        "INSERT INTO exchanges (sessid, username, shop, address, agent, started, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (sessid, username, shop_of(username), sender.address, sender.agent, now, RUNNING),
    )


def restart_exchange(cursor: Cursor, sessid: str, now: float) -> None:
    """Note that a session is emptied by ``init``: if it had any files or hand-offs, another exchange begins."""
    cursor.execute(
        "SELECT imports > 0 OR EXISTS (SELECT 1 FROM files WHERE files.sessid = exchanges.sessid) FROM exchanges"  # noqa: S608 - a constant
        f" WHERE number = {CURRENT}",
        (sessid,),
    )
    row = cursor.fetchone()
    if row is None or row[0]:
        end_exchange(cursor, sessid)
        cursor.execute(
            "INSERT INTO exchanges (sessid, username, shop, address, agent, started, state)"
            " SELECT sessid, username, shop, address, agent, ?, ? FROM exchanges WHERE number ="
            " (SELECT MAX(number) FROM exchanges WHERE sessid = ?)",
            (now, RUNNING, sessid),
        )


def end_exchange(cursor: Cursor, sessid: str) -> None:
    """Note that a session ends, or is emptied, and copy what is known of its files, before that is deleted."""
    cursor.execute("SELECT MAX(number) FROM exchanges WHERE sessid = ? AND live <> 0", (sessid,))
    (number,) = cursor.fetchone()
    if number is None:
        return
    cursor.execute(
        "SELECT name, committed, type FROM files WHERE sessid = ? ORDER BY"
        " LOWER(name) LIKE '%.xml' OR LOWER(name) LIKE '%.zip' DESC, place LIMIT ?",
        (sessid, MOST_FILES),
    )
    files = [(number, place, name, name.casefold(), *rest) for place, (name, *rest) in enumerate(cursor.fetchall())]
    cursor.executemany("INSERT INTO exchange_files VALUES (?, ?, ?, ?, ?, ?)", files)
    cursor.execute("SELECT COUNT(*), COALESCE(SUM(committed), 0) FROM files WHERE sessid = ?", (sessid,))
    count, size = cursor.fetchone()
    cursor.execute(
        "UPDATE exchanges SET live = 0, files = ?, size = ?,"
        " state = CASE WHEN state <> ? THEN state WHEN ? > 0 THEN ? ELSE ? END,"
        " ended = COALESCE(ended, (SELECT touched FROM sessions WHERE sessid = exchanges.sessid), started)"
        " WHERE number = ?",
        (count, size, RUNNING, count, BROKEN, EMPTY, number),
    )


def note_handoff(cursor: Cursor, handoff: Handoff) -> None:
    """Note a new hand-off of a session."""
    cursor.execute(
        "INSERT INTO imports (id, exchange, event, type, filename, created, state)"  # noqa: S608 - a constant
        f" VALUES (?, {CURRENT}, ?, ?, ?, ?, ?)",
        (
            handoff.id,
            handoff.sessid,
            handoff.event,
            handoff.type,
            handoff.filename,
            handoff.created,
            handoff.state,
        ),
    )
    cursor.execute(
        f"UPDATE exchanges SET state = ?, imports = imports + 1, ended = NULL WHERE number = {CURRENT}",  # noqa: S608 - a constant
        (IMPORTING, handoff.sessid),
    )


def note_repeated(cursor: Cursor, failed: str, new: Handoff) -> None:
    """Note that a hand-off that failed waits again under a new id: its failure no longer counts."""
    cursor.execute("UPDATE imports SET state = ? WHERE id = ?", (REPEATED, failed))
    note_handoff(cursor, new)


def note_attempt(cursor: Cursor, handoff: Handoff, begun: float | None, now: float) -> None:
    """Note the outcome of an attempt that began at ``begun``; None if somebody decided without one."""
    if begun is not None:
        cursor.execute(
            "INSERT INTO tries (import, number, begun, ended, outcome, words)"
            " SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ?, ?, ? FROM tries WHERE import = ?",
            (handoff.id, begun, now, handoff.state, handoff.words, handoff.id),
        )
    ended = None if handoff.state == WAITING else now
    cursor.execute(
        "UPDATE imports SET state = ?, words = ?, ended = ? WHERE id = ?",
        (handoff.state, handoff.words, ended, handoff.id),
    )
    _sum_up(cursor, handoff.id, 0.0 if begun is None else now - begun)


def _sum_up(cursor: Cursor, changed: str, seconds: float = 0.0) -> None:
    """Note in an exchange what became of all its imports, one of which has changed."""
    cursor.execute("SELECT exchange, ended FROM imports WHERE id = ?", (changed,))
    row = cursor.fetchone()
    if row is None or row[0] is None:
        return
    exchange, ended = row
    cursor.execute("SELECT 1 FROM imports WHERE exchange = ? AND state = ? LIMIT 1", (exchange, WAITING))
    waits = cursor.fetchone() is not None
    cursor.execute(
        "SELECT words FROM imports WHERE exchange = ? AND state = ? ORDER BY ended DESC LIMIT 1", (exchange, FAILED)
    )
    failure = cursor.fetchone()
    state = IMPORTING if waits else FAILED if failure else SUCCEEDED
    cursor.execute(
        "UPDATE exchanges SET state = ?, words = ?, ended = ?, seconds = seconds + ? WHERE number = ?",
        (state, failure[0] if failure else "", None if waits else ended, seconds, exchange),
    )


def note_superseded(cursor: Cursor, handoff: str, words: str, now: float) -> None:
    """Note that a newer document has made a hand-off fail for good, by its id."""
    cursor.execute("UPDATE imports SET state = ?, words = ?, ended = ? WHERE id = ?", (FAILED, words, now, handoff))
    _sum_up(cursor, handoff)


def note_found(cursor: Cursor, handoff: str, found: str) -> None:
    """Note what was found in the documents of a hand-off, as JSON, by its id."""
    cursor.execute("UPDATE imports SET checked = ? WHERE id = ?", (found, handoff))


def add_refusals(cursor: Cursor, refusals: Sequence[RefusalLine]) -> None:
    """Add refused requests to those that were refused alike, and forget the oldest lines."""
    for line in [_attributed(cursor, refused) for refused in refusals]:
        alike = line.shop, line.username, line.address, line.code, line.asked
        cursor.execute(
            "UPDATE refusals SET last = ?, count = count + ?, words = ?, sessid = ?, status = ? WHERE number ="
            " (SELECT MAX(number) FROM refusals WHERE shop = ? AND username = ? AND address = ? AND code = ?"
            " AND asked = ? AND first >= ?)",
            (line.last, line.count, line.words, line.sessid, line.status, *alike, line.first - 86400),
        )
        if not cursor.rowcount:
            cursor.execute(
                "INSERT INTO refusals"
                " (first, last, count, shop, username, address, code, asked, sessid, status, words)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (line.first, line.last, line.count, *alike, line.sessid, line.status, line.words),
            )
    cursor.execute(
        "DELETE FROM refusals WHERE number IN (SELECT number FROM refusals ORDER BY last DESC LIMIT ? OFFSET ?)",
        (sys.maxsize, MOST_REFUSALS),
    )


def _attributed(cursor: Cursor, refused: RefusalLine) -> RefusalLine:
    """Return a refusal with the user of its session, if it is on record, and with the shop of its user.

    A node sends its name only once.
    """
    if refused.username or not refused.sessid:
        return evolve(refused, shop=shop_of(refused.username)) if refused.username else refused
    cursor.execute("SELECT username, shop FROM exchanges WHERE sessid = ? LIMIT 1", (refused.sessid,))
    row = cursor.fetchone()
    return evolve(refused, username=row[0], shop=row[1]) if row else refused


def note_minute(cursor: Cursor, minute: Minute, oldest: int) -> None:
    """Add a minute's totals to what is known of it, and forget those before the minute ``oldest``."""
    cursor.execute(
        "INSERT INTO minutes (minute, received, accepted, discarded, refusals, imports, failures, free)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (minute) DO UPDATE SET received = minutes.received +"
        " excluded.received, accepted = minutes.accepted + excluded.accepted, discarded = minutes.discarded +"
        " excluded.discarded, refusals = minutes.refusals + excluded.refusals, imports = minutes.imports +"
        " excluded.imports, failures = minutes.failures + excluded.failures, free = CASE WHEN"
        " excluded.free < minutes.free THEN excluded.free ELSE minutes.free END",
        (
            minute.minute,
            minute.received,
            minute.accepted,
            minute.discarded,
            minute.refusals,
            minute.imports,
            minute.failures,
            minute.free,
        ),
    )
    cursor.execute("DELETE FROM minutes WHERE minute < ?", (oldest,))


def forget_exchanges(cursor: Cursor, numbers: Sequence[int]) -> None:
    """Forget exchanges, with all that belongs to them."""
    for statement in (
        "DELETE FROM tries WHERE import IN (SELECT id FROM imports WHERE exchange = ?)",
        "DELETE FROM imports WHERE exchange = ?",
        "DELETE FROM exchange_files WHERE exchange = ?",
        "DELETE FROM exchanges WHERE number = ?",
    ):
        cursor.executemany(statement, [(number,) for number in numbers])
