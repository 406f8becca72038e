"""Whether the daemon is ready, and why not."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from administrator import MIN_FREE, Administrator, observed
from in_memory import flush_failures
from twisted.internet.defer import Deferred

from onec_twisted.admin.health import HEALTH_FRESH_FOR, HealthCheck
from onec_twisted.admin.status import STATUS_PATIENCE
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from in_memory import InMemory


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """Who asks."""
    return Administrator(exchange)


def reasons(administrator: Administrator, path: str = "/health") -> list[str]:
    """Return the reasons why it is not ready; status and body say the same."""
    reply = administrator.ask(path)
    told = json.loads(reply.body)
    assert told["live"] is True
    assert told["ready"] is (reply.status == 200)
    assert reply.status in {200, 503}
    assert reply.headers["content-type"] == "application/json"
    found: list[str] = told["reasons"]
    assert bool(found) is (reply.status == 503)
    return found


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_ready(administrator: Administrator, path: str) -> None:
    """All is well."""
    assert reasons(administrator, path) == []


def test_a_media_root_that_cannot_be_written(administrator: Administrator) -> None:
    """The system's words tell why."""
    administrator.exchange.store.on_write = OSError(30, "Read-only file system")

    assert reasons(administrator) == ["the media root cannot be written: Read-only file system"]


def test_a_full_disk(administrator: Administrator) -> None:
    """What is left for others counts as full."""
    administrator.exchange.store.free_bytes = MIN_FREE

    assert reasons(administrator) == [f"the disk has {MIN_FREE} bytes left, --min-free keeps {MIN_FREE}"]


def test_a_database_that_somebody_holds(administrator: Administrator) -> None:
    """As a backup that copies it would."""
    administrator.exchange.catalog.recorder.database.patience = 0.001  # type: ignore[attr-defined]
    other = sqlite3.connect(administrator.exchange.store.store.database, isolation_level=None)  # type: ignore[attr-defined]
    other.execute("BEGIN IMMEDIATE")
    held = reasons(administrator)
    other.close()

    assert held == ["the database cannot be written: another program holds it"]
    administrator.exchange.clock.advance(HEALTH_FRESH_FOR)
    assert reasons(administrator) == []


def test_a_daemon_that_ends(administrator: Administrator) -> None:
    """It takes nobody any more."""
    administrator.exchange.parts.locks.close()

    assert reasons(administrator) == ["the daemon is shutting down"]


def test_a_disk_that_does_not_answer(exchange: InMemory) -> None:
    """It is not waited for, and not asked again before it has answered."""
    workers = LateWorkers()
    health = HealthCheck(observed(exchange, workers), exchange.parts.locks)
    found: list[Any] = []
    for _ in range(3):
        Deferred.fromCoroutine(health.look()).addBoth(found.append)
    exchange.clock.advance(STATUS_PATIENCE)
    Deferred.fromCoroutine(health.look()).addBoth(found.append)
    exchange.clock.advance(HEALTH_FRESH_FOR)
    Deferred.fromCoroutine(health.look()).addBoth(found.append)
    assert [one.reasons for one in found] == [
        ("the media root has not answered for 5 seconds", "the disk has not answered for 5 seconds")
    ] * 5
    assert workers.hops == 2
    workers.run()
    exchange.clock.advance(HEALTH_FRESH_FOR)
    Deferred.fromCoroutine(health.look()).addBoth(found.append)
    workers.run()

    assert found[-1].ready


def test_what_nobody_thought_of(administrator: Administrator, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is not ready then, and the log has the traceback."""
    administrator.exchange.store.on_write = ZeroDivisionError()

    assert reasons(administrator) == ["the media root could not be asked: ZeroDivisionError"]
    assert len(flush_failures(nothing_left_behind)) == 1


def test_live(administrator: Administrator) -> None:
    """Whenever it answers."""
    administrator.exchange.store.on_write = OSError(30, "Read-only file system")
    reply = administrator.ask("/health/live")

    assert (reply.status, json.loads(reply.body)) == (200, {"live": True})
    assert administrator.ask("/health/nonsense").status == 404
