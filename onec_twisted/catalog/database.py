"""The catalog's database, and group commit.

What several workers have to record at the same time goes to the disk in one transaction: the first takes along what
the others have asked for while the transaction before it ran.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

from onec_twisted.catalog.sql.schema import LOCK_PATIENCE
from onec_twisted.catalog.sqlite import (
    CHECKPOINT_PAGES,
    DatabaseFailed,
    EngineError,
    Line,
    Names,
    begin,
    failure_of,
)
from onec_twisted.model.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from sqlite3 import Cursor

__all__ = ["Database", "Step"]

T = TypeVar("T")

LOOK_AFTER = 100
"""Transactions after which it is looked how long the write-ahead log is."""

LONG_LOG = 64 * 1024 * 1024
"""Bytes of the write-ahead log that is made short again; it has 16 MB when no other process reads for long."""


if TYPE_CHECKING:
    Step = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a cursor and of what follows, and what follows."""


@define(eq=False)
class _Asked:
    """Steps that somebody wants recorded, and what became of each: what it returned, or a Failure."""

    steps: list[Step]
    outcomes: list[Any] | None = None


class Database:
    """Three connections: for records, for questions, and for those that take long. Its methods block.

    So nobody's question waits for a sync, nor any record for somebody's question. ``path`` is a database that
    ``create_catalog`` has seen. ``synced`` brings each transaction to the disk; without it a power cut may take the
    last ones back.
    """

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        """Connect at the first question."""
        self._log = path.with_name(f"{path.name}-wal")
        self._names = Names(path)
        self._records = Line(path, self._names, synced=synced)
        self._questions = Line(path, self._names, synced=synced)
        self._surveys = Line(path, self._names, synced=synced)
        self._gathered: deque[_Asked] = deque()
        self.patience = LOCK_PATIENCE
        """Seconds that a record waits for another process."""
        self._waits = LOCK_PATIENCE
        self._is_held = False
        """Whether another process had the database when it was tried last: nobody else waits until it has let go."""
        self._log_is_long = False
        self._unseen = 0
        """Transactions since the log was looked at."""

    def read(self, question: Callable[..., T], *args: Any) -> T:
        """Return the answer to a question, a function of a cursor, that finds what it wants by its key."""
        return self._questions.ask(question, *args)

    def survey(self, question: Callable[..., T], *args: Any) -> T:
        """Return the answer to a question that takes its time; only others of its kind wait for it."""
        return self._surveys.ask(question, *args)

    def record(self, steps: list[Step]) -> list[Any]:
        """Record steps; return what each returned, or its Failure. One that fails harms no other.

        One for which the disk has no room fails with ``InsufficientStorage``; all fail with ``CatalogBusy`` when
        another process does not let go of the database.
        """
        asked = _Asked(steps)
        self._gathered.append(asked)
        with self._records.turn:
            if asked.outcomes is None:
                self._record_gathered()
        return asked.outcomes or []

    def probe(self) -> None:
        """See that something could be recorded; raises ``DatabaseFailed`` when not, and ``CatalogBusy``."""
        with self._records.turn:
            try:
                cursor = self._records.cursor()
                self._begin(cursor)
                cursor.execute("ROLLBACK")
            except EngineError as error:
                raise DatabaseFailed(str(error)) from error

    def sync(self) -> None:
        """Bring all that is recorded to the disk, where single transactions are not. Raises ``OSError``.

        All of it stands in the write-ahead log, or was brought to the disk from there. Raises ``StorageRemoved``.
        """
        self.check()
        log = os.open(self._log, os.O_RDONLY)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)

    def tidy(self) -> None:
        """Make the write-ahead log short again that has grown while another process was reading.

        What takes long is done while records go on. Nothing happens while that process still reads: next time.
        """
        if not self._is_log_long():
            return
        with self._surveys.turn:
            self._surveys.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        with self._records.turn:
            cursor = self._records.cursor()
            self._wait(cursor, 0.1)
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connections."""
        for line in (self._surveys, self._questions, self._records):
            line.close()
        self._names.forget()

    def check(self) -> None:
        """See that what is recorded has its names on the disk; may be called in any thread.

        Raises ``StorageRemoved``.
        """
        self._names.check()

    def _is_log_long(self) -> bool:
        """Return whether the write-ahead log is much longer than it is when nobody else reads."""
        try:
            return self._log.stat().st_size > LONG_LOG
        except FileNotFoundError:
            return False

    def _begin(self, cursor: Cursor) -> None:
        """With the turn: begin a transaction that records. Raises ``CatalogBusy``.

        Who comes first waits for another process for a while; as long as that does not let go, nobody else does.
        A long log is taken into the database by ``tidy``, for that would take as long as it is.
        """
        self._unseen += 1
        if self._unseen > LOOK_AFTER:
            self._look_at_log(cursor)
        patience = 0.0 if self._is_held else self.patience
        try:
            if patience != self._waits:
                self._wait(cursor, patience)
            begin(cursor)
        except CatalogBusy:
            self._is_held = True
            raise
        except EngineError:
            self._is_held = False
            raise
        self._is_held = False

    def _look_at_log(self, cursor: Cursor) -> None:
        """With the turn: let records take the log into the database, or ``tidy`` alone."""
        self._unseen, is_long = 0, self._is_log_long()
        if is_long != self._log_is_long:
            cursor.execute(f"PRAGMA wal_autocheckpoint={0 if is_long else CHECKPOINT_PAGES}")
            self._log_is_long = is_long

    def _wait(self, cursor: Cursor, seconds: float) -> None:
        """With the turn: let another process have the database for so long, from now on."""
        cursor.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")
        self._waits = seconds

    def _record_gathered(self) -> None:
        """With the turn: record all that was asked for until now, in one transaction."""
        together: list[_Asked] = []
        try:
            cursor = self._records.cursor()
            self._begin(cursor)
            self._gather(together)
            outcomes = self._transaction(cursor, [step for asked in together for step in asked.steps])
        except BaseException as error:
            failure = failure_of(error)
            self._gather(together)  # those as well who came while it waited
            outcomes = [failure for asked in together for _ in asked.steps]
        for asked in together:
            asked.outcomes, outcomes = outcomes[: len(asked.steps)], outcomes[len(asked.steps) :]

    def _gather(self, together: list[_Asked]) -> None:
        """Add those who wait to be recorded together."""
        while self._gathered:
            together.append(self._gathered.popleft())

    def _transaction(self, cursor: Cursor, steps: list[Step]) -> list[Any]:
        """Take steps in the transaction that has begun; one that fails leaves nothing, and its Failure in its place.

        That one fails is seldom: only then they are taken again with a savepoint each.
        """
        try:
            return self._take_all(cursor, steps, _take)
        except Exception:
            self._begin(cursor)
            return self._take_all(cursor, steps, _take_safely)

    def _take_all(self, cursor: Cursor, steps: list[Step], take: Callable[..., Any]) -> list[Any]:
        """Take steps, and end the transaction."""
        try:
            outcomes = [take(cursor, *step) for step in steps]
            cursor.execute("COMMIT")
        except BaseException:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return outcomes


def _take(cursor: Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Take one step of a transaction."""
    return step(cursor, *args)


def _take_safely(cursor: Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Take one step of a transaction; one that fails leaves nothing."""
    cursor.execute("SAVEPOINT step")
    try:
        outcome = step(cursor, *args)
    except Exception as error:
        outcome = failure_of(error)
        try:
            cursor.execute("ROLLBACK TO step")
        except EngineError:  # a full disk has rolled all of it back
            raise error from None
    cursor.execute("RELEASE step")
    return outcome
