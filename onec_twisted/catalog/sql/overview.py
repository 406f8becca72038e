"""Queries for the administrator: how much is on record, and what is stuck.

Functions of a cursor, as in ``sessions``. They use a connection of their own: they scan all sessions once, and read a
bounded number of files and hand-offs, by key, for the sessions shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import uploads
from onec_twisted.catalog.sql.sessions import SESSION_COLUMNS
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Session
from onec_twisted.model.shops import DEFAULT_SHOP, SEPARATOR, accounts_of

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.journal import HandoffFilter
    from onec_twisted.model.records import Handoff

__all__ = [
    "FEW_FILES",
    "MANY_FILES",
    "Overview",
    "SessionLine",
    "Summary",
    "latest",
    "matching",
    "of_shop",
    "overview",
    "summary",
]

# ruff: noqa: S608 - the statements are composed of constants only

MANY_FILES = 1000
"""Files of a session that are counted; a session with more has many."""

FEW_FILES = 3
"""Files of a hand-off that are shown."""


@frozen
class Summary:
    """How much is on record: sessions, those that owe the site something, damaged files, and hand-offs by state.

    ``oldest`` is when the longest-waiting hand-off was recorded, in seconds since 1970; None if none waits.
    ``unfinished`` counts tus uploads that are not complete.
    """

    sessions: int
    owing: int
    damaged: int
    handoffs: dict[str, int]
    oldest: float | None = None
    unfinished: int = 0


@frozen
class SessionLine:
    """A session, with a summary of its content.

    ``files`` counts up to ``MANY_FILES`` plus one; ``waiting`` and ``failed`` count hand-offs.
    """

    session: Session
    owed: bool
    files: int
    damaged: bool
    waiting: int
    failed: int


@frozen
class Overview:
    """What the status page shows: the sessions used last, and hand-offs, failed ones first."""

    summary: Summary
    sessions: tuple[SessionLine, ...]
    handoffs: tuple[Handoff, ...]


def summary(cursor: Cursor) -> Summary:
    """Return how much is on record."""
    cursor.execute("SELECT COUNT(*), COALESCE(SUM(owed), 0) FROM sessions")
    sessions, owing = cursor.fetchone()
    cursor.execute("SELECT COUNT(*) FROM files WHERE damaged <> 0")
    (damaged,) = cursor.fetchone()
    cursor.execute("SELECT state, COUNT(*) FROM handoffs GROUP BY state")
    counted = dict(cursor.fetchall())
    handoffs = {state: counted.get(state, 0) for state in (WAITING, SUCCEEDED, FAILED)}
    cursor.execute("SELECT created FROM handoffs WHERE state = ? ORDER BY number LIMIT 1", (WAITING,))
    row = cursor.fetchone()
    return Summary(sessions, owing, damaged, handoffs, row[0] if row else None, uploads.unfinished(cursor))


def of_shop(shop: str) -> tuple[str, list[str]]:
    """Return the condition that a username is of a shop, of any if that is empty, with its values.

    Accounts of a shop are next to one another in an index: they are what is between ``SHOP:`` and ``SHOP;``.
    """
    if not shop:
        return "1 = 1", []
    if shop == DEFAULT_SHOP:
        return f"username NOT LIKE '%{SEPARATOR}%'", []
    return "username >= ? AND username < ?", [*accounts_of(shop)]


def _numbered(cursor: Cursor) -> list[Handoff]:
    """Return the hand-offs whose numbers were selected, each with its first files."""
    handoffs = [outbox.where(cursor, "number = ?", number)[0] for (number,) in cursor.fetchall()]
    return [evolve(handoff, files=tuple(outbox.files_of(cursor, handoff, FEW_FILES))) for handoff in handoffs]


def latest(cursor: Cursor, state: str, most: int) -> list[Handoff]:
    """Return at most ``most`` hand-offs in a state, the newest first, each with its first files."""
    cursor.execute("SELECT number FROM handoffs WHERE state = ? ORDER BY number DESC LIMIT ?", (state, most))
    return _numbered(cursor)


def matching(cursor: Cursor, wanted: HandoffFilter) -> tuple[tuple[Handoff, ...], int]:
    """Return the hand-offs that a filter lets through, the newest first; and how many of its user and shop failed."""
    condition, values = of_shop(wanted.shop)
    if wanted.username:
        condition, values = f"{condition} AND username = ?", [*values, wanted.username]
    cursor.execute(
        f"SELECT number FROM handoffs WHERE {condition} AND (? = '' OR state = ?)"
        " AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?",
        (*values, wanted.state, wanted.state, wanted.before, wanted.before, wanted.limit),
    )
    found = tuple(_numbered(cursor))
    cursor.execute(f"SELECT COUNT(*) FROM handoffs WHERE state = ? AND {condition}", (FAILED, *values))
    return found, cursor.fetchone()[0]


def overview(cursor: Cursor, most: int) -> Overview:
    """Return what the status page shows: at most ``most`` sessions, and as many hand-offs in each state."""
    cursor.execute(
        f"SELECT {SESSION_COLUMNS}, owed,"
        " (SELECT COUNT(*) FROM (SELECT 1 FROM files WHERE files.sessid = sessions.sessid LIMIT ?) AS few),"
        " EXISTS (SELECT 1 FROM files WHERE files.sessid = sessions.sessid AND damaged <> 0),"
        f" (SELECT COUNT(*) FROM handoffs WHERE handoffs.sessid = sessions.sessid AND state = '{WAITING}'),"
        f" (SELECT COUNT(*) FROM handoffs WHERE handoffs.sessid = sessions.sessid AND state = '{FAILED}')"
        " FROM (SELECT * FROM sessions ORDER BY touched DESC LIMIT ?) AS sessions ORDER BY touched DESC",
        (MANY_FILES + 1, most),
    )
    sessions = tuple(
        SessionLine(Session(*session), bool(owed), files, bool(damaged), waiting, failed)
        for *session, owed, files, damaged, waiting, failed in cursor.fetchall()
    )
    handoffs = tuple(handoff for state in (FAILED, WAITING, SUCCEEDED) for handoff in latest(cursor, state, most))
    return Overview(summary(cursor), sessions, handoffs)
