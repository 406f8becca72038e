"""The connection to the catalog's database, and group commit.

What several workers have to record at the same time goes to the disk in one transaction: the first takes along what
the others have asked for while the transaction before it ran.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define
from twisted.python.failure import Failure

from onec_twisted.schema import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Database", "Step"]

T = TypeVar("T")

if TYPE_CHECKING:
    Step = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a cursor and of what follows, and what follows."""


@define(eq=False)
class _Asked:
    """Steps that somebody wants recorded, and what became of each: what it returned, or a Failure."""

    steps: list[Step]
    outcomes: list[Any] | None = None


class Database:
    """One connection, used by whichever thread has its turn. Its methods block.

    ``path`` is a database that ``create_catalog`` has seen. ``synced`` brings each transaction to the disk; without
    it a power cut may take the last ones back.
    """

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        """Connect at the first question."""
        self._path = path
        self._synced = synced
        self._connection: sqlite3.Connection | None = None
        self._turn = Lock()
        self._gathered: deque[_Asked] = deque()

    def read(self, question: Callable[..., T], *args: Any) -> T:
        """Return the answer to a question, a function of a cursor."""
        with self._turn:
            return question(self._cursor(), *args)

    def record(self, steps: list[Step]) -> list[Any]:
        """Record steps; return what each returned, or its Failure. One that fails harms no other."""
        asked = _Asked(steps)
        self._gathered.append(asked)
        with self._turn:
            if asked.outcomes is None:
                self._record_gathered()
        return asked.outcomes or []

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _cursor(self) -> sqlite3.Cursor:
        """With the turn: return a cursor, of a connection that is made if need be."""
        if self._connection is None:
            self._connection = opened(self._path, synced=self._synced)
        return self._connection.cursor()

    def _record_gathered(self) -> None:
        """With the turn: record all that was asked for until now, in one transaction."""
        together = []
        while self._gathered:
            together.append(self._gathered.popleft())
        steps = [step for asked in together for step in asked.steps]
        try:
            outcomes = self._transaction(steps)
        except BaseException:
            outcomes = [Failure()] * len(steps)
        for asked in together:
            asked.outcomes, outcomes = outcomes[: len(asked.steps)], outcomes[len(asked.steps) :]

    def _transaction(self, steps: list[Step]) -> list[Any]:
        """Take steps in one transaction; one that fails leaves nothing, and its Failure in its place.

        That one fails is seldom: only then they are taken again with a savepoint each.
        """
        try:
            return self._take_all(steps, _take)
        except Exception:
            return self._take_all(steps, _take_safely)

    def _take_all(self, steps: list[Step], take: Callable[..., Any]) -> list[Any]:
        """Take steps in one transaction."""
        cursor = self._cursor()
        cursor.execute("BEGIN")
        try:
            outcomes = [take(cursor, *step) for step in steps]
            cursor.execute("COMMIT")
        except BaseException:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return outcomes


def _take(cursor: sqlite3.Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Take one step of a transaction."""
    return step(cursor, *args)


def _take_safely(cursor: sqlite3.Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Take one step of a transaction; one that fails leaves nothing."""
    cursor.execute("SAVEPOINT step")
    try:
        outcome = step(cursor, *args)
    except Exception as error:
        outcome = Failure()
        try:
            cursor.execute("ROLLBACK TO step")
        except sqlite3.Error:  # a full disk has rolled all of it back
            raise error from None
    cursor.execute("RELEASE step")
    return outcome
