"""The catalog's database in PostgreSQL, which several daemons share.

What every piece needs is one statement each (``statements``). All other steps are those of ``catalog.sql``, each in a
transaction that has its session to itself; so within one session everything happens in turn, as in SQLite. No
transaction has more than one session: two daemons could wait for each other.
"""

from __future__ import annotations

import re
import time
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from attrs import define, field
from psycopg import ClientCursor, Connection, InterfaceError, OperationalError
from psycopg.adapt import Loader
from psycopg.errors import (
    DeadlockDetected,
    DiskFull,
    IdleInTransactionSessionTimeout,
    LockNotAvailable,
    QueryCanceled,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.catalog.interfaces import IDatabase
from onec_twisted.catalog.sql import sessions as local
from onec_twisted.catalog.sqlite import DatabaseFailed
from onec_twisted.cluster.cursor import SharedCursor
from onec_twisted.cluster.refusals import first_line
from onec_twisted.cluster.semaphore import FairSemaphore
from onec_twisted.cluster.statements import HOT, has_recorded, settle
from onec_twisted.cluster.transactions import AFTERWARDS, BEFORE, SESSION_OF
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onec_twisted.catalog.interfaces import Step
    from onec_twisted.model.records import Session

__all__ = ["Number", "PostgreSQL", "connected"]

T = TypeVar("T")

MOST_CONNECTIONS = 8
"""Connections to the server, at most."""

SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "2s",
}
"""Settings of each connection: no daemon that was frozen keeps a session from the others."""

NETWORK: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
"""Parameters of libpq by which a server that has vanished is noticed; times are in seconds, one in milliseconds."""

MOST_ATTEMPTS = 5
"""How often what certainly was not recorded is tried on another connection."""

PAUSES = Backoff(first=0.05, longest=0.5)
"""Between those attempts."""

STILL_UNDECIDED = 2.0
"""Seconds that a transaction whose connection broke may take to end."""

LAX = "SET LOCAL synchronous_commit = off; "
"""For what may be lost with the server: a proof, or that a session is in use."""

MAY_BE_LOST = frozenset({local.prove, local.touch})

SESSID = re.compile(r"[0-9a-f]{32}")


class Number(Loader):
    """Reads sums, which PostgreSQL returns as decimals."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode("ascii")
        return float(text) if "." in text or "N" in text else int(text)


class _Unsure(Exception):
    """The connection broke while a transaction was being committed; ``number`` identifies it to the server."""

    def __init__(self, number: str, outcome: Any) -> None:
        super().__init__(number)
        self.number, self.outcome = number, outcome


def connected(url: str) -> Connection[Any]:
    """Return a new connection. Raises ``OperationalError``."""
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=3, options=options, **NETWORK)
    connection.adapters.register_loader("numeric", Number)
    return connection


def _session_of(cursor: SharedCursor, step: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return the sessid of the session that a step is about, empty for one about none or many."""
    if not args:
        return ""
    if step in SESSION_OF:
        return SESSION_OF[step](cursor, args[0])
    sessid = getattr(args[0], "sessid", args[0])
    return sessid if isinstance(sessid, str) and SESSID.fullmatch(sessid) else ""


@implementer(IDatabase)
@define(eq=False)
class PostgreSQL:
    """The database at ``url``, libpq's; ``connect`` makes a connection to it.

    ``seconds`` is a monotonic clock. ``note`` is called when a file has grown, with its session, name and length.
    """

    url: str = field(repr=False)
    seconds: Callable[[], float]
    connect: Callable[[str], Connection[Any]] = connected
    note: Callable[[Session, str, int], None] = lambda *_: None
    _free: LifoQueue[Connection[Any]] = field(factory=LifoQueue, init=False)
    _places: FairSemaphore = field(factory=lambda: FairSemaphore(MOST_CONNECTIONS), init=False)

    def read(self, question: Callable[..., Any], *args: Any) -> Any:
        return self._again(self._ask, question, args)

    def survey(self, question: Callable[..., Any], *args: Any) -> Any:
        return self._again(self._ask, question, args)

    def record(self, steps: list[Step]) -> list[Any]:
        """Record each step in a transaction of its own: the server commits those of several connections together."""
        return [self._outcome_of(*step) for step in steps]

    def probe(self) -> None:
        """Check that the server writes: a standby does not, nor one that was told to only read."""
        try:
            row = self._using(lambda connection: connection.execute("SHOW transaction_read_only").fetchone())
        except psycopg.Error as error:
            raise DatabaseFailed(first_line(error)) from None
        if row != ("off",):
            raise DatabaseFailed("PostgreSQL is read-only, as a standby is")

    def sync(self) -> None:
        """Do nothing: each transaction is synced."""

    def tidy(self) -> None:
        """Do nothing: PostgreSQL does it by itself."""

    def check(self) -> None:
        """Do nothing: it is on no disk of ours."""

    def close(self) -> None:
        for connection in self._idle():
            connection.close()

    def using(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function with a connection, again with another one while that breaks. Raises ``CatalogBusy``."""
        return self._again(function, *args)

    def _idle(self) -> Iterator[Connection[Any]]:
        """Yield the connections that nobody uses, and forget them."""
        while True:
            try:
                yield self._free.get_nowait()
            except Empty:
                return

    def _using(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function with a connection; one that broke, or is left in a transaction, is closed."""
        with self._places:
            try:
                connection = self._free.get_nowait()
            except Empty:
                connection = self.connect(self.url)
            try:
                return function(connection, *args)
            finally:
                if connection.closed or connection.info.transaction_status:
                    connection.close()
                else:
                    self._free.put(connection)

    def _again(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function with a connection, again while connections break before anything could be recorded.

        Raises ``CatalogBusy`` when there is no server to be had.
        """
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                return self._using(function, *args)
            except (LockNotAvailable, QueryCanceled) as error:
                raise CatalogBusy(first_line(error)) from None
            except DiskFull:
                raise
            except (DeadlockDetected, IdleInTransactionSessionTimeout, OperationalError, InterfaceError) as error:
                if attempt == MOST_ATTEMPTS:
                    raise CatalogBusy(first_line(error)) from None
                for old in self._idle():  # a server that was started again knows none of them
                    old.close()
                time.sleep(PAUSES.after(attempt))
        raise AssertionError("there is a last attempt")

    def _ask(self, connection: Connection[Any], question: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a query; one of several statements sees them all as of one moment."""
        hot = HOT.get(question)
        if hot is not None:
            with connection.cursor() as cursor:
                return hot(cursor, *args)
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            with ClientCursor(connection) as cursor:
                return question(SharedCursor(cursor), *args)

    def _outcome_of(self, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Record a step; return what it returned, or its Failure."""
        try:
            if step is local.nothing:
                return None
            if step is local.commit:
                self._commit(args)
                session, name, _, written, *_ = args
                return self.note(session, name, written.length)
            if step in HOT:
                return self._again(self._one, step, args)
            return self._step(step, args)
        except DiskFull as error:
            full = InsufficientStorage()
            full.__cause__ = error
            return Failure(full)
        except BaseException:
            return Failure()

    def _one(self, connection: Connection[Any], step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Record a step that is one statement."""
        if step not in MAY_BE_LOST:
            with connection.cursor() as cursor:
                return HOT[step](cursor, *args)
        with ClientCursor(connection) as cursor:
            return HOT[step](_Lax(cursor), *args)

    def _commit(self, args: tuple[Any, ...]) -> None:
        """Record a piece. When the connection breaks, it may be on record already: its segments are nobody else's."""
        try:
            self._using(self._one, local.commit, args)
        except DiskFull:
            raise
        except (OperationalError, InterfaceError) as error:
            if isinstance(error, (LockNotAvailable, QueryCanceled)):
                raise CatalogBusy(first_line(error)) from None
            for attempt in range(1, MOST_ATTEMPTS + 1):
                time.sleep(PAUSES.after(attempt))
                if self._again(has_recorded_on, args):
                    return self._again(settle)
                try:
                    self._using(self._one, local.commit, args)
                except (OperationalError, InterfaceError):
                    continue
                return None
            raise CatalogBusy(first_line(error)) from None

    def _step(self, step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Record a step of several statements, in a transaction."""
        while True:
            try:
                return self._again(self._transaction, step, args)
            except _Unsure as unsure:
                if self._was_committed(unsure.number):
                    self._again(settle)
                    return unsure.outcome

    def _transaction(self, connection: Connection[Any], step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Record a step; raise ``_Unsure`` if the connection breaks at the end."""
        try:
            connection.execute("BEGIN")
            with ClientCursor(connection) as client:
                cursor = SharedCursor(client)
                sessid = _session_of(cursor, step, args)
                cursor.execute(
                    "SELECT pg_current_xact_id()::text, (SELECT 1 FROM sessions WHERE sessid = ? FOR UPDATE)",
                    (sessid,),
                )
                (number, _) = cursor.fetchone()
                if step in BEFORE:
                    BEFORE[step](cursor, *args)
                outcome = step(cursor, *args)
                if step in AFTERWARDS:
                    AFTERWARDS[step](cursor, outcome, *args)
        except BaseException:
            if not connection.closed:
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except (OperationalError, InterfaceError):
            raise _Unsure(number, outcome) from None
        return outcome

    def _was_committed(self, number: str) -> bool:
        """Return whether a transaction was committed whose connection broke. Raises ``CatalogBusy``."""
        deadline = self.seconds() + STILL_UNDECIDED
        while True:
            row = self._again(
                lambda connection: connection.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchone()
            )
            if row[0] != "in progress":
                return bool(row[0] == "committed")
            if self.seconds() > deadline:
                raise CatalogBusy("a transaction does not end")
            time.sleep(PAUSES.after(1))


def has_recorded_on(connection: Connection[Any], args: tuple[Any, ...]) -> bool:
    """Return whether a piece is on record."""
    with connection.cursor() as cursor:
        return has_recorded(cursor, *args)


class _Lax:
    """A cursor whose statement is not synced by the server."""

    def __init__(self, cursor: ClientCursor[Any]) -> None:
        self._cursor = cursor

    def execute(self, statement: str, args: tuple[Any, ...]) -> None:
        """Execute a statement in a transaction of its own."""
        self._cursor.execute(LAX + statement, args)
