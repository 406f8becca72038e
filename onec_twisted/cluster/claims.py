"""SQL for which daemon delivers a hand-off: it holds a claim with a number, as long as it is heard of.

A claim that was taken over is worth nothing any more: its outcome and its progress are not recorded. Claims are made
under a lock that nobody waits for, because two of one user must not be delivered at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from onec_twisted.catalog.sql import outcomes
from onec_twisted.cluster.presence import LEASE_TIME
from onec_twisted.model.records import WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from onec_twisted.cluster.cursor import SharedCursor
    from onec_twisted.model.records import Handoff

__all__ = [
    "WAITS",
    "OutcomeRow",
    "WaitingRow",
    "claim",
    "give_up",
    "hurry",
    "note_outcome",
    "note_progress",
    "outcome",
    "release",
    "sessions_waiting",
    "waiting",
]

# ruff: noqa: S608 - the statements are composed of constants only

CLAIM_LOCK = 0x1C_C1
"""The key of the lock under which claims are made."""

MOST_OF_USER = 500
"""Waiting hand-offs of a user that are looked at."""

WAITS = "Import waits for its turn"
"""What a person reads of a hand-off that nobody has begun."""

RUNS = (
    "EXISTS (SELECT 1 FROM daemons WHERE daemons.id = {row}.runner"
    f" AND daemons.seen > now() - make_interval(secs => {LEASE_TIME}))"
)
"""Condition for a hand-off that a daemon delivers which has been heard of."""

PAUSE = "extract(epoch FROM due - now())::float8"

LOOK = f"""
SELECT id, username, type, filename, {RUNS.format(row="handoffs")}, {PAUSE}, progress, of_user
FROM (
    SELECT *, row_number() OVER (PARTITION BY username ORDER BY number) AS place,
        count(*) OVER (PARTITION BY username) AS of_user
    FROM handoffs WHERE state = '{WAITING}'
) AS handoffs
WHERE place <= %s ORDER BY number
"""

CLAIM = f"""
UPDATE handoffs SET runner = %(me)s, claim = claim + 1 WHERE number IN (
    SELECT DISTINCT ON (username) number FROM handoffs AS one
    WHERE id = ANY(%(ids)s) AND state = '{WAITING}' AND due <= now()
        AND NOT {RUNS.format(row="one")}
        AND NOT EXISTS (
            SELECT 1 FROM handoffs AS older WHERE older.username = one.username AND older.type = one.type
                AND older.state = '{WAITING}' AND older.number < one.number)
        AND NOT EXISTS (
            SELECT 1 FROM handoffs AS other WHERE other.username = one.username AND other.state = '{WAITING}'
                AND other.number <> one.number AND {RUNS.format(row="other")})
    ORDER BY username, number) AND state = '{WAITING}' AND due <= now()
RETURNING id, claim
"""

OUTCOME = f"""
SELECT one.state, one.words, one.told, {RUNS.format(row="one")}, one.progress,
    first.number < one.number AND first.due > now(), first.filename, first.progress
FROM handoffs AS one LEFT JOIN handoffs AS first ON first.number = (
    SELECT MIN(number) FROM handoffs WHERE username = one.username AND type = one.type AND state = '{WAITING}')
WHERE one.id = %s
"""


@frozen
class WaitingRow:
    """A hand-off that waits: whether a daemon ``runs`` it, and in how many seconds its next try is due.

    ``of_user`` is how many of its user wait.
    """

    id: str
    username: str
    type: str
    filename: str
    runs: bool
    pause: float
    progress: str
    of_user: int


@frozen
class OutcomeRow:
    """What is on record of a hand-off; ``words`` say what it waits for while it does."""

    state: str
    words: str
    failure_reported: bool


def waiting(connection: Connection[Any]) -> list[WaitingRow]:
    """Return the hand-offs that wait, in order."""
    return [WaitingRow(*row) for row in connection.execute(LOOK, (MOST_OF_USER,)).fetchall()]


def sessions_waiting(connection: Connection[Any]) -> list[str]:
    """Return the sessids of which something waits to be delivered."""
    found = connection.execute("SELECT DISTINCT sessid FROM handoffs WHERE state = %s", (WAITING,))
    return [sessid for (sessid,) in found]


def claim(connection: Connection[Any], me: str, ids: Sequence[str]) -> dict[str, int] | None:
    """Claim hand-offs for a daemon; return the numbers of the claims by id, None if another daemon claims just now.

    One is not claimed while an older one of its user and type waits, or another of its user is delivered.
    """
    with connection.transaction():
        row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (CLAIM_LOCK,)).fetchone()
        if row is None or not row[0]:
            return None
        return dict(connection.execute(CLAIM, {"me": me, "ids": list(ids)}).fetchall())


def note_progress(connection: Connection[Any], progress: Mapping[str, tuple[int, str]]) -> None:
    """Record what importers say, by hand-off, with the claim under which they run."""
    for handoff, (number, words) in progress.items():
        connection.execute(
            "UPDATE handoffs SET progress = %s WHERE id = %s AND claim = %s AND state = %s",
            (words, handoff, number, WAITING),
        )


def note_outcome(
    cursor: SharedCursor,
    handoff: Handoff,
    number: int,
    progress: str,
    pause: float,
    now: float,
    documents: tuple[str, ...],
    begun: float | None,
) -> list[Handoff] | None:
    """Record the outcome of a try, as ``sql.outcomes.note_outcome`` does; None if the claim was taken over.

    The next try is due in ``pause`` seconds, until when ``progress`` is shown.
    """
    cursor.execute("SELECT 1 FROM handoffs WHERE id = ? AND state = ? AND claim = ?", (handoff.id, WAITING, number))
    if cursor.fetchone() is None:
        return None
    superseded = outcomes.note_outcome(cursor, handoff, now, documents, begun)  # type: ignore[arg-type]
    cursor.execute(
        "UPDATE handoffs SET runner = '', progress = ?, due = now() + make_interval(secs => ?) WHERE id = ?",
        (progress, pause, handoff.id),
    )
    return superseded


def hurry(cursor: SharedCursor, handoff: str) -> bool:
    """Let the next try of a hand-off be due now, by its id; return whether it waited for that."""
    cursor.execute(
        "UPDATE handoffs SET due = now()"
        f" WHERE id = ? AND state = ? AND due > now() AND NOT {RUNS.format(row='handoffs')}",
        (handoff, WAITING),
    )
    return cursor.rowcount == 1


def give_up(cursor: SharedCursor, handoff: Handoff, now: float) -> bool:
    """Let a hand-off fail, as it is given, that waits for its next try; return whether it did."""
    if not hurry(cursor, handoff.id):
        return False
    cursor.execute("UPDATE handoffs SET claim = claim + 1 WHERE id = ?", (handoff.id,))
    outcomes.note_outcome(cursor, handoff, now)  # type: ignore[arg-type]
    return True


def outcome(connection: Connection[Any], handoff: str) -> OutcomeRow | None:
    """Return what is on record of a hand-off, by its id; None if that is gone."""
    row = connection.execute(OUTCOME, (handoff,)).fetchone()
    if row is None:
        return None
    state, words, told, runs, progress, is_held, filename, first = row
    if state != WAITING:
        return OutcomeRow(state, words, bool(told))
    if is_held and not runs:
        named = f", {filename}" if filename else ""
        progress = f"Import waits for an earlier one{named}: {first}"
    return OutcomeRow(state, progress or WAITS, bool(told))


def release(connection: Connection[Any], me: str, held: Sequence[str] = ()) -> None:
    """Give the claims of a daemon back, all but those that it still holds, by the ids of the hand-offs."""
    connection.execute(
        "UPDATE handoffs SET runner = '' WHERE runner = %s AND state = %s AND id <> ALL(%s)",
        (me, WAITING, list(held)),
    )
