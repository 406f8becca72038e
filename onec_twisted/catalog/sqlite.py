"""The connections to the catalog's database, and group commit.

What several workers have to record at the same time goes to the disk in one transaction: the first takes along what
the others have asked for while the transaction before it ran.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from contextlib import closing, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define
from twisted.python.failure import Failure

from onec_twisted.catalog.sql.schema import INDEXES, LOCK_PATIENCE, MIGRATIONS, SCHEMA, SCHEMA_VERSION, UPLOADS
from onec_twisted.model.errors import CatalogBusy, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "CHECKPOINT_PAGES",
    "CatalogUnusable",
    "Database",
    "Step",
    "create_catalog",
    "opened",
    "record_damage",
    "recorded_lengths",
]

CHECKPOINT_PAGES = 4000
"""Pages of the write-ahead log, 4 KiB each, after which it is taken into the database; that costs syncs."""


class CatalogUnusable(Exception):
    """The database cannot be used; the words say what to do."""


def opened(path: Path, *, synced: bool = True) -> sqlite3.Connection:
    """Return a connection that begins and ends no transaction by itself, and may be used in one thread at a time.

    The write-ahead log is on the disk when a transaction ends. Without ``synced`` it is safe against kill -9, but not
    against a power cut.
    """
    connection = sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the database or the system says into words for the administrator.

    A copy of the database would be worse than none: files would be cut back to what it knows.
    """
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        if "full" in str(error):
            raise CatalogUnusable(f"{path} cannot be written ({error}); make room on the disk") from error
        if "locked" in str(error):
            raise CatalogUnusable(
                f"{path} is held by another program ({error}); end what works in it, often a sqlite3 shell"
            ) from error
        raise CatalogUnusable(
            f"{path} cannot be used ({error}); move the whole folder {path.parent} away to start afresh, "
            "and let the nodes export again"
        ) from error


def create_catalog(path: Path) -> None:
    """Make the database if it is not there, readable by us alone, and see that it can be used.

    One that an earlier version wrote becomes one of this version, all of it or nothing. Blocks; for the start of
    the daemon. Raises ``CatalogUnusable`` with words for the administrator.
    """
    with _told(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(opened(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise CatalogUnusable(
                    f"{path} was written by a later version of onec-exchange (schema {version}, "
                    f"this one knows {SCHEMA_VERSION}); install the version that wrote it"
                )
            if version < SCHEMA_VERSION:
                steps = (
                    [MIGRATIONS[old] for old in range(version, SCHEMA_VERSION)]
                    if version
                    else [SCHEMA, UPLOADS, INDEXES]
                )
                script = "".join(steps)
                connection.executescript(f"BEGIN; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def recorded_lengths(path: Path) -> dict[str, dict[str, int]]:
    """Return the committed length of every file, in bytes, by sessid and name.

    Blocks; for the start of the daemon.
    """
    lengths: dict[str, dict[str, int]] = {}
    with _told(path), closing(sqlite3.connect(path)) as connection:
        for (sessid,) in connection.execute("SELECT sessid FROM sessions"):
            lengths[sessid] = {}
        for sessid, name, committed in connection.execute("SELECT sessid, name, committed FROM files"):
            lengths.setdefault(sessid, {})[name] = int(committed)
    return lengths


def record_damage(path: Path, damaged: list[tuple[str, str]]) -> None:
    """Put files, by sessid and name, on record as damaged. Blocks; for the start of the daemon."""
    with _told(path), closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("UPDATE files SET damaged = 1 WHERE sessid = ? AND name = ?", damaged)


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


class _Names:
    """The names of the database and of its log, which somebody may take from the files that we write to.

    SQLite goes on with files that were removed, and all that is recorded there is gone when we end.
    """

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._known: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """See that they are still those of the same files. Raises ``StorageRemoved``."""
        for path in self._paths:
            known = self._known.get(path)
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if known is None:
                    continue  # nothing has been written to it
                raise StorageRemoved from error
            if known is None:
                self._known[path] = found.st_dev, found.st_ino
            elif known != (found.st_dev, found.st_ino):
                raise StorageRemoved

    def forget(self) -> None:
        """Take whatever has the names next."""
        self._known.clear()


class _Line:
    """A connection, made at the first question, for one thread at a time: whoever has the ``turn``."""

    def __init__(self, path: Path, names: _Names, *, synced: bool) -> None:
        self._path = path
        self._names = names
        self._synced = synced
        self.turn = Lock()
        self.connection: sqlite3.Connection | None = None

    def cursor(self) -> sqlite3.Cursor:
        """With the turn: return a cursor. Raises ``StorageRemoved``."""
        self._names.check()
        if self.connection is None:
            self.connection = opened(self._path, synced=self._synced)
        return self.connection.cursor()

    def ask(self, question: Callable[..., T], *args: Any) -> T:
        """Return the answer to a question; whatever is recorded while it is asked, it sees none of it, or all."""
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


class Database:
    """Three connections: for records, for questions, and for those that take long. Its methods block.

    So nobody's question waits for a sync, nor any record for somebody's question. ``path`` is a database that
    ``create_catalog`` has seen. ``synced`` brings each transaction to the disk; without it a power cut may take the
    last ones back.
    """

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        """Connect at the first question."""
        self._log = path.with_name(f"{path.name}-wal")
        self._names = _Names(path)
        self._records = _Line(path, self._names, synced=synced)
        self._questions = _Line(path, self._names, synced=synced)
        self._surveys = _Line(path, self._names, synced=synced)
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

        All fail with ``CatalogBusy`` when another process does not let go of the database.
        """
        asked = _Asked(steps)
        self._gathered.append(asked)
        with self._records.turn:
            if asked.outcomes is None:
                self._record_gathered()
        return asked.outcomes or []

    def probe(self) -> None:
        """See that something could be recorded; raises what the database says when not, and ``CatalogBusy``."""
        with self._records.turn:
            cursor = self._records.cursor()
            self._begin(cursor)
            cursor.execute("ROLLBACK")

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

    def _begin(self, cursor: sqlite3.Cursor) -> None:
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
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            self._is_held = _is_held(error)
            _raise_if_held(error)
            raise
        self._is_held = False

    def _look_at_log(self, cursor: sqlite3.Cursor) -> None:
        """With the turn: let records take the log into the database, or ``tidy`` alone."""
        self._unseen, is_long = 0, self._is_log_long()
        if is_long != self._log_is_long:
            cursor.execute(f"PRAGMA wal_autocheckpoint={0 if is_long else CHECKPOINT_PAGES}")
            self._log_is_long = is_long

    def _wait(self, cursor: sqlite3.Cursor, seconds: float) -> None:
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
        except BaseException:
            failure = Failure()
            self._gather(together)  # those as well who came while it waited
            outcomes = [failure for asked in together for _ in asked.steps]
        for asked in together:
            asked.outcomes, outcomes = outcomes[: len(asked.steps)], outcomes[len(asked.steps) :]

    def _gather(self, together: list[_Asked]) -> None:
        """Add those who wait to be recorded together."""
        while self._gathered:
            together.append(self._gathered.popleft())

    def _transaction(self, cursor: sqlite3.Cursor, steps: list[Step]) -> list[Any]:
        """Take steps in the transaction that has begun; one that fails leaves nothing, and its Failure in its place.

        That one fails is seldom: only then they are taken again with a savepoint each.
        """
        try:
            return self._take_all(cursor, steps, _take)
        except Exception:
            self._begin(cursor)
            return self._take_all(cursor, steps, _take_safely)

    def _take_all(self, cursor: sqlite3.Cursor, steps: list[Step], take: Callable[..., Any]) -> list[Any]:
        """Take steps, and end the transaction."""
        try:
            outcomes = [take(cursor, *step) for step in steps]
            cursor.execute("COMMIT")
        except BaseException:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return outcomes


def _is_held(error: sqlite3.OperationalError) -> bool:
    """Return whether another process has the database to itself."""
    return "locked" in str(error)  # error codes: from Python 3.11 on


def _raise_if_held(error: sqlite3.OperationalError) -> None:
    """Raise ``CatalogBusy`` when another process has the database to itself."""
    if _is_held(error):
        raise CatalogBusy("another program holds it") from error


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
