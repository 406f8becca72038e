"""A catalog for tests that have no daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import defer

from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.model.records import Session
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from twisted.internet.defer import Deferred

    from onec_twisted.runtime.workers import Workers


T = TypeVar("T")
QUOTA = 1000


def make_catalog(
    path: Path, workers: Workers = inline, errands: Workers | None = None, metrics: Metrics | None = None
) -> Catalog:
    """Return the catalog of a database that is there."""
    return Catalog(Recorder(Database(path), workers, metrics or Metrics(), errands or workers))


def session_of(sessid: str) -> Session:
    """Return a session whose records nobody has."""
    return Session(sessid, "shop", 1, 0, 0.0)


def now_of(awaitable: Coroutine[Any, Any, T] | Deferred[T]) -> T:
    """Return what has fired already, or raise it."""
    fired: list[Any] = []
    defer.ensureDeferred(awaitable).addBoth(fired.append)
    if hasattr(fired[0], "raiseException"):
        fired[0].raiseException()
    result: T = fired[0]
    return result


def opened(catalog: Catalog, sessid: str = "s", at: float = 1.0) -> Session:
    """Open a session whose token is its sessid, doubled."""
    now_of(catalog.sessions.open(sessid, sessid * 2, "shop", at))
    session = now_of(catalog.sessions.find(sessid * 2))
    assert session is not None
    return session


def length(catalog: Catalog, sessid: str, name: str) -> int | None:
    """Return a file's committed length."""
    record = now_of(catalog.files.find(sessid, name))
    return record.committed if record is not None else None


def opened_late(path: Path) -> tuple[LateWorkers, Catalog, Session]:
    """Return workers that wait to be told, and a catalog with a session whose opening they have recorded."""
    workers = LateWorkers()
    catalog = make_catalog(path, workers)
    opening = defer.ensureDeferred(catalog.sessions.open("s", "ss", "shop", 1.0))
    workers.run()
    now_of(opening)
    session = now_of(catalog.sessions.find("ss"))
    assert session is not None
    return workers, catalog, session
