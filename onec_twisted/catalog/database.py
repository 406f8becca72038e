"""The catalog's database, and group commit.

What several workers record at the same time is committed in one transaction: the first takes along what the others
queued while the previous transaction ran.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define
from zope.interface import implementer

from onec_twisted.catalog.interfaces import IDatabase
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

    from onec_twisted.catalog.interfaces import Step

__all__ = ["Database"]

T = TypeVar("T")

LOOK_AFTER = 100
"""Transactions after which the length of the write-ahead log is checked."""

LONG_LOG = 64 * 1024 * 1024
"""Bytes at which the write-ahead log is truncated; it has 16 MB when no other process reads for long."""


@define(eq=False)
class _Waiting:
    """Steps to record, and the outcome of each: what it returned, or a Failure."""

    steps: list[Step]
    outcomes: list[Any] | None = None


@implementer(IDatabase)
class Database:
    """Three connections: for records, for queries, and for long queries. Its methods block.

    So no query waits for a sync, and no record waits for a query. ``path`` is a database that ``create_catalog`` has
    prepared. ``synced`` syncs each transaction to the disk; without it a power cut may lose the last ones.
    """

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        """Prepare the connections; each connects at its first use."""
        self._log = path.with_name(f"{path.name}-wal")
        self._names = Names(path)
        self._records = Line(path, self._names, synced=synced)
        self._questions = Line(path, self._names, synced=synced)
        self._surveys = Line(path, self._names, synced=synced)
        self._gathered: deque[_Waiting] = deque()
        self.patience = LOCK_PATIENCE
        """Seconds that a record waits for another process's lock."""
        self._waits = LOCK_PATIENCE
        self._is_held = False
        """Whether another process held the database at the last attempt: while it does, other callers do not wait."""
        self._log_is_long = False
        self._unseen = 0
        """Transactions since the log was last checked."""

    def read(self, question: Callable[..., T], *args: Any) -> T:
        """Run a query, a function of a cursor, that finds its rows by key."""
        return self._questions.ask(question, *args)

    def survey(self, question: Callable[..., T], *args: Any) -> T:
        """Run a long query; only other long queries wait for it."""
        return self._surveys.ask(question, *args)

    def record(self, steps: list[Step]) -> list[Any]:
        """Record steps; return what each returned, or its Failure. A failed step does not affect the others.

        A step for which the disk has no room fails with ``InsufficientStorage``; all fail with ``CatalogBusy`` when
        another process keeps the database locked.
        """
        waiting = _Waiting(steps)
        self._gathered.append(waiting)
        with self._records.turn:
            if waiting.outcomes is None:
                self._record_gathered()
        return waiting.outcomes or []

    def probe(self) -> None:
        """Check that records can be written. Raises ``DatabaseFailed`` when not, and ``CatalogBusy``."""
        with self._records.turn:
            try:
                cursor = self._records.cursor()
                self._begin(cursor)
                cursor.execute("ROLLBACK")
            except EngineError as error:
                raise DatabaseFailed(str(error)) from error

    def sync(self) -> None:
        """Sync all records to the disk, where single transactions are not synced. Raises ``OSError``.

        All of them are in the write-ahead log, or were synced from there. Raises ``StorageRemoved``.
        """
        self.check()
        log = os.open(self._log, os.O_RDONLY)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)

    def tidy(self) -> None:
        """Truncate the write-ahead log if it has grown while another process was reading.

        The long part runs while recording continues. While that process still reads, nothing happens until next time.
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
        """Check that the database's files still have their names on the disk; may be called in any thread.

        Raises ``StorageRemoved``.
        """
        self._names.check()

    def _is_log_long(self) -> bool:
        """Return whether the write-ahead log is much longer than when nobody else reads."""
        try:
            return self._log.stat().st_size > LONG_LOG
        except FileNotFoundError:
            return False

    def _begin(self, cursor: Cursor) -> None:
        """Begin a write transaction, holding the lock. Raises ``CatalogBusy``.

        The first caller waits a while for another process's lock; until that is released, no other caller waits.
        A long log is left to ``tidy``, because checkpointing it takes long.
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
        """Let records checkpoint the log, or only ``tidy``, depending on its length; the caller holds the lock."""
        self._unseen, is_long = 0, self._is_log_long()
        if is_long != self._log_is_long:
            cursor.execute(f"PRAGMA wal_autocheckpoint={0 if is_long else CHECKPOINT_PAGES}")
            self._log_is_long = is_long

    def _wait(self, cursor: Cursor, seconds: float) -> None:
        """Set how long to wait for another process's lock; the caller holds the connection's lock."""
        cursor.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")
        self._waits = seconds

    def _record_gathered(self) -> None:
        """Record all steps that are queued, in one transaction; the caller holds the lock."""
        together: list[_Waiting] = []
        try:
            cursor = self._records.cursor()
            self._begin(cursor)
            self._gather(together)
            outcomes = self._transaction(cursor, [step for waiting in together for step in waiting.steps])
        except BaseException as error:
            failure = failure_of(error)
            self._gather(together)  # including those queued while it waited
            outcomes = [failure for waiting in together for _ in waiting.steps]
        for waiting in together:
            waiting.outcomes, outcomes = outcomes[: len(waiting.steps)], outcomes[len(waiting.steps) :]

    def _gather(self, together: list[_Waiting]) -> None:
        """Move the queued steps to ``together``."""
        while self._gathered:
            together.append(self._gathered.popleft())

    def _transaction(self, cursor: Cursor, steps: list[Step]) -> list[Any]:
        """Run steps in the open transaction; a failed step is undone, and its outcome is its Failure.

        Failures are rare: only then are all steps run again, each with a savepoint.
        """
        try:
            return self._take_all(cursor, steps, _take)
        except Exception:
            self._begin(cursor)
            return self._take_all(cursor, steps, _take_safely)

    def _take_all(self, cursor: Cursor, steps: list[Step], take: Callable[..., Any]) -> list[Any]:
        """Run steps, and end the transaction."""
        try:
            outcomes = [take(cursor, *step) for step in steps]
            cursor.execute("COMMIT")
        except BaseException:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return outcomes


def _take(cursor: Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run one step of a transaction."""
    return step(cursor, *args)


def _take_safely(cursor: Cursor, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run one step of a transaction; undo it if it fails."""
    cursor.execute("SAVEPOINT step")
    try:
        outcome = step(cursor, *args)
    except Exception as error:
        outcome = failure_of(error)
        try:
            cursor.execute("ROLLBACK TO step")
        except EngineError:  # a full disk has rolled back the whole transaction
            raise error from None
    cursor.execute("RELEASE step")
    return outcome
