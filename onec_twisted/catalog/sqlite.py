"""The connections to SQLite, and the translation of its errors."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.python.failure import Failure

from onec_twisted.catalog.sql.schema import LOCK_PATIENCE
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "CHECKPOINT_PAGES",
    "CatalogUnusable",
    "DatabaseFailed",
    "EngineError",
    "Line",
    "Names",
    "begin",
    "failure_of",
    "opened",
    "usable",
]

T = TypeVar("T")

EngineError = sqlite3.Error
"""What the engine raises, where no exception of this package fits."""

CHECKPOINT_PAGES = 4000
"""Pages of the write-ahead log, 4 KiB each, after which it is checkpointed; that costs syncs."""


class CatalogUnusable(Exception):
    """The database cannot be used; the message says what to do."""


class DatabaseFailed(Exception):
    """Nothing can be recorded now; the message is the engine's."""


def opened(path: Path, *, synced: bool = True) -> sqlite3.Connection:
    """Return a connection without implicit transactions, to be used by one thread at a time.

    The write-ahead log is synced to the disk when a transaction ends. Without ``synced``, it survives kill -9, but
    not a power cut.
    """
    connection = sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None, check_same_thread=False)
    connection.create_function("CASEFOLD", 1, str.casefold, deterministic=True)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn errors of the database or the system into ``CatalogUnusable``, with a message for the administrator.

    It does not suggest restoring a copy of the database: files would be cut back to the lengths in the copy.
    """
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        if "full" in str(error):
            raise CatalogUnusable(f"{path} cannot be written ({error}); free some disk space") from error
        if "locked" in str(error):
            raise CatalogUnusable(
                f"{path} is held by another program ({error}); close the program that uses it, often a sqlite3 shell"
            ) from error
        raise CatalogUnusable(
            f"{path} cannot be used ({error}); move the whole folder {path.parent} away to start over, "
            "and let the nodes export again"
        ) from error


class Names:
    """The names of the database and of its log, which somebody may remove or replace while they are open.

    SQLite continues with removed files, and everything recorded in them is lost when the daemon exits.
    """

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._known: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """Check that the names still belong to the same files. Raises ``StorageRemoved``."""
        for path in self._paths:
            known = self._known.get(path)
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if known is None:
                    continue  # nothing was written to it yet
                raise StorageRemoved from error
            if known is None:
                self._known[path] = found.st_dev, found.st_ino
            elif known != (found.st_dev, found.st_ino):
                raise StorageRemoved

    def forget(self) -> None:
        """Accept whatever files have the names next."""
        self._known.clear()


class Line:
    """A connection, made at its first use, for one thread at a time: the one that holds the lock ``turn``."""

    def __init__(self, path: Path, names: Names, *, synced: bool) -> None:
        self._path = path
        self._names = names
        self._synced = synced
        self.turn = Lock()
        self.connection: sqlite3.Connection | None = None

    def cursor(self) -> sqlite3.Cursor:
        """Return a cursor; the caller holds ``turn``. Raises ``StorageRemoved``."""
        self._names.check()
        if self.connection is None:
            self.connection = opened(self._path, synced=self._synced)
        return self.connection.cursor()

    def ask(self, question: Callable[..., T], *args: Any) -> T:
        """Run a query in a transaction of its own, so that it sees a consistent snapshot."""
        with self.turn:
            cursor = self.cursor()
            cursor.execute("BEGIN")
            try:
                return question(cursor, *args)
            except sqlite3.OperationalError as error:
                _raise_if_held(error)
                raise
            finally:
                cursor.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        with self.turn:
            if self.connection is not None:
                self.connection.close()
                self.connection = None


def begin(cursor: sqlite3.Cursor) -> None:
    """Begin a write transaction. Raises ``CatalogBusy`` when another process has locked the database."""
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        _raise_if_held(error)
        raise


def failure_of(error: BaseException) -> Failure:
    """Return the Failure of the exception being handled; a full disk becomes ``InsufficientStorage``."""
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):  # error codes: from Python 3.11 on
        full = InsufficientStorage()
        full.__cause__ = error
        return Failure(full)
    return Failure()


def _raise_if_held(error: sqlite3.OperationalError) -> None:
    """Raise ``CatalogBusy`` when another process has locked the database."""
    if "locked" in str(error):  # error codes: from Python 3.11 on
        raise CatalogBusy("another program holds it") from error
