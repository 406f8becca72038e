"""SQL that takes the records of a daemon alone into PostgreSQL, and compares both sides. Functions of a cursor.

Rows keep their numbers, so the database must have no others. Each step leaves alone what is there already: it may be
taken again after a break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.cluster.tables import LEASE_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from onec_twisted.catalog.interfaces import IDatabase
    from onec_twisted.cluster.cursor import SharedCursor
    from onec_twisted.model.records import Segment

__all__ = [
    "LEFT_BEHIND",
    "OF_SESSION",
    "TABLES",
    "Row",
    "add",
    "add_session",
    "columns_of",
    "count_from",
    "digests_of",
    "is_there",
    "kept_folders",
    "rows_of",
    "rows_of_session",
    "running",
    "sizes",
]

Row = tuple[Any, ...]
"""The values of a row, in the order of its table's columns."""

# ruff: noqa: S608 - the statements are composed of constants and of names of columns

TABLES: Mapping[str, tuple[str, ...]] = {
    "sessions": ("sessid",),
    "files": ("sessid", "name"),
    "handoffs": ("number",),
    "uploads": ("id",),
    "exchanges": ("number",),
    "exchange_files": ("exchange", "place"),
    "imports": ("id",),
    "tries": ("import", "number"),
    "refusals": ("number",),
    "minutes": ("minute",),
}
"""The tables that are moved, in this order, with the columns of their keys."""

OF_SESSION = ("sessions", "files", "handoffs", "uploads")
"""The tables whose rows are recorded together, session by session."""

LEFT_BEHIND = ("kept",)
"""Tables that are not moved: folders of earlier epochs are of use where the site reads them, on that disk."""

NUMBERED = ("handoffs", "exchanges", "refusals")
"""Tables that count their rows."""

ROWS_AT_ONCE = 1000
"""Rows that are read at a time."""

INSERTED_AT_ONCE = 200
"""Rows of one statement."""


def columns_of(cursor: Any, table: str) -> tuple[str, ...]:
    """Return the columns of a table of SQLite's; PostgreSQL's has them too."""
    cursor.execute(f"SELECT * FROM {table} LIMIT 0")
    return tuple(column[0] for column in cursor.description)


def _page(cursor: Any, table: str, columns: Sequence[str], after: Row) -> list[Row]:
    """Return some rows, in the order of their keys: those that follow a key, the first if it is empty."""
    keys = TABLES[table]
    where = f"WHERE ({', '.join(keys)}) > ({', '.join('?' * len(keys))})" if after else ""
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM {table} {where} ORDER BY {', '.join(keys)} LIMIT {ROWS_AT_ONCE}", after
    )
    return [_without_nul(row) for row in cursor.fetchall()]


def _without_nul(row: Sequence[Any]) -> Row:
    """Return a row as PostgreSQL has it, see ``SharedCursor``."""
    return tuple(
        value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value for value in row
    )


def rows_of(database: IDatabase, table: str, columns: Sequence[str]) -> Iterator[Row]:
    """Yield all rows of a table in the order of their keys, which is the same in both databases."""
    places = [columns.index(key) for key in TABLES[table]]
    after: Row = ()
    while True:
        rows = database.survey(_page, table, columns, after)
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        after = tuple(rows[-1][place] for place in places)


def rows_of_session(cursor: Any, table: str, columns: Sequence[str], sessid: str) -> list[Row]:
    """Return the rows of a session, in the order of keys."""
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM {table} WHERE sessid = ? ORDER BY {', '.join(TABLES[table])}", (sessid,)
    )
    return [_without_nul(row) for row in cursor.fetchall()]


def sizes(cursor: Any) -> tuple[int, int]:
    """Return how many sessions there are, and how many bytes they hold."""
    cursor.execute("SELECT COUNT(*), COALESCE(SUM(held), 0) FROM sessions")
    count, held = cursor.fetchone()
    return int(count), int(held)


def kept_folders(cursor: Any) -> int:
    """Return how many folders of earlier epochs are kept."""
    cursor.execute("SELECT COUNT(*) FROM kept")
    return int(cursor.fetchone()[0])


def running(cursor: Any) -> list[str]:
    """Return the names of the daemons that run on this database."""
    cursor.execute(f"SELECT name FROM daemons WHERE seen > now() - interval '{LEASE_TIME} seconds' ORDER BY name")
    return [name for (name,) in cursor.fetchall()]


def is_there(cursor: Any, sessid: str) -> bool:
    """Return whether a session is on record."""
    cursor.execute("SELECT 1 FROM sessions WHERE sessid = ?", (sessid,))
    return cursor.fetchone() is not None


def digests_of(cursor: Any, sessid: str) -> dict[str, bytes]:
    """Return the digest of the last piece of each file of a session, by name."""
    cursor.execute("SELECT name, digest FROM files WHERE sessid = ?", (sessid,))
    return {name: bytes(digest) for name, digest in cursor.fetchall()}


def add(cursor: SharedCursor, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Record rows, but those that are there."""
    one = f"({', '.join('?' * len(columns))})"
    for first in range(0, len(rows), INSERTED_AT_ONCE):
        some = rows[first : first + INSERTED_AT_ONCE]
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(some))}"
            " ON CONFLICT DO NOTHING",
            [value for row in some for value in row],
        )


def add_session(
    cursor: SharedCursor,
    sessid: str,
    epoch: int,
    tables: Mapping[str, tuple[Sequence[str], Sequence[Row]]],
    segments: Iterable[tuple[str, Segment]],
) -> None:
    """Record a session with all that belongs to it.

    ``tables`` has columns and rows by table, ``segments`` those of its epoch, each with the name of its file.
    """
    for table, (columns, rows) in tables.items():
        add(cursor, table, columns, rows)
    add(
        cursor,
        "segments",
        ("sessid", "name", "epoch", "start", "length", "object", "digest"),
        [(sessid, name, epoch, one.start, one.length, one.object, one.digest) for name, one in segments],
    )


def count_from(cursor: SharedCursor) -> None:
    """Let new rows have numbers behind those that are there."""
    for table in NUMBERED:
        cursor.execute(
            f"SELECT setval('{table}_number_seq', COALESCE(MAX(number), 0) + 1, false) FROM {table}",
        )
