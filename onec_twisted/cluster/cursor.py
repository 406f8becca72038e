"""A cursor that takes what SQLite takes: the steps of ``catalog.sql`` run on it unchanged."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import ClientCursor

__all__ = ["SharedCursor"]

NAMED = re.compile(r"(?<![:\w]):([a-z_]+)")
"""A named parameter of SQLite's."""

KNOWN_STATEMENTS = 1000
"""Translated statements that are remembered."""


@lru_cache(KNOWN_STATEMENTS)
def _translated(statement: str) -> str:
    """Return a statement of SQLite's as psycopg wants it."""
    return NAMED.sub(r"%(\1)s", statement.replace("%", "%%").replace("?", "%s"))


def _value(value: Any) -> Any:
    """Return a parameter as PostgreSQL takes it: numbers for truth values, text without NUL."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


class SharedCursor:
    """A cursor of SQLite's kind on one of psycopg's, which puts the parameters into the statement itself.

    So the server need not know the type of each: SQLite's statements do not say it.
    """

    def __init__(self, cursor: ClientCursor[Any]) -> None:
        self._cursor = cursor

    def execute(self, statement: str, args: Sequence[Any] | Mapping[str, Any] = ()) -> SharedCursor:
        """Execute a statement."""
        values: Any
        if isinstance(args, dict):
            values = {name: _value(value) for name, value in args.items()}
        else:
            values = [_value(value) for value in args]
        self._cursor.execute(_translated(statement), values)
        return self

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> SharedCursor:
        """Execute a statement for each row."""
        for row in rows:
            self.execute(statement, row)
        return self

    def fetchone(self) -> Any:
        """Return the next row, None if there is none."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        """Return the rows, one after another."""
        return iter(self._cursor)

    @property
    def rowcount(self) -> int:
        """Return how many rows the last statement has changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int:
        """Return the number of the row that was inserted last."""
        self._cursor.execute("SELECT lastval()")
        row = self._cursor.fetchone()
        return int(row[0]) if row else 0
