"""Whether a daemon runs, was away, and what time it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.cluster.presence import AWAY_AFTER, SAFE_FOR, TICK_INTERVAL, Presence
from onec_twisted.model.errors import CatalogBusy
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL

SESSID = "5" * 32


def made(database: Any, clock: Clock, name: str = "one", **more: Any) -> Presence:
    """Return the presence of a daemon."""
    return Presence(
        database=database,
        workers=inline,
        clock=clock,
        wall=lambda: 1000.0,
        name=lambda: name,
        version="1.0",
        touch_interval=10.0,
        **{"busy": tuple, **more},
    )


@define(eq=False)
class Said:
    """A server whose clock a test sets."""

    time: float | None = 5000.0
    states: list[Any] = field(factory=list)

    def using(self, function: Any, *args: Any) -> Any:
        """Say the time, or be away."""
        if self.time is None:
            raise CatalogBusy("it is away")
        self.states.append(args)
        seconds = function.__self__.clock.seconds()
        return seconds, seconds, self.time


def run(clock: Clock, presence: Presence, seconds: float) -> None:
    """Let time pass for a daemon that runs."""
    for _ in range(int(seconds / TICK_INTERVAL)):
        clock.advance(TICK_INTERVAL)
        presence.look()


def test_the_others_leave_a_version_behind(database: PostgreSQL) -> None:
    """A daemon learns that its tables are of a version that it must not use any more."""
    presence = made(database, Clock())
    presence.beat()
    assert not presence.is_outdated
    later = SCHEMA_VERSION + 1
    database.using(lambda connection: connection.execute("UPDATE schema_version SET oldest = %s", (later,)))
    presence.beat()
    assert presence.is_outdated


def test_a_slow_start_is_no_absence(database: PostgreSQL) -> None:
    """Nothing was served before the first look; what comes after it is looked at closely."""
    clock = Clock()
    presence = made(database, clock)
    clock.advance(60.0)
    presence.look()
    assert not presence.was_away_since(clock.seconds())
    clock.advance(60.0)
    presence.look()
    assert presence.was_away_since(clock.seconds() - 1.0)


def test_a_heartbeat_is_on_record(database: PostgreSQL) -> None:
    """With what this daemon says of itself, until it leaves; the time is that of the server."""
    clock = Clock()
    one, two = made(database, clock, state=lambda: {"pieces": 2}), made(database, clock, "two")
    for presence in (one, two, one):
        presence.beat()

    def daemons() -> list[Any]:
        asked = "SELECT name, state, knows > 5, seen >= started FROM daemons ORDER BY name"
        return database.using(lambda connection: connection.execute(asked).fetchall())

    assert daemons() == [("one", '{"pieces": 2}', True, True), ("two", "{}", True, True)]
    (now,) = database.using(
        lambda connection: connection.execute("SELECT extract(epoch FROM now())::float8").fetchone()
    )
    assert abs(one.now() - now) < 60
    two.leave()
    assert [name for name, *_ in daemons()] == ["one"]


def test_sessions_in_use_are_touched(database: PostgreSQL) -> None:
    """Other daemons do not take them for settled; one that was touched a moment ago is left alone."""
    database.record([(steps.open_session, (SESSID, "hash", "shop", 1.0))])
    made(database, Clock(), busy=lambda: [SESSID, "6" * 32]).beat()
    first = database.read(steps.session, "hash", 0)[0].touched
    assert first > 1.0
    made(database, Clock(), busy=lambda: [SESSID]).beat()
    assert database.read(steps.session, "hash", 0)[0].touched == first


def test_who_has_not_been_told_of_is_not_safe() -> None:
    """Before the first heartbeat, and when the last is too old: others may have taken over."""
    clock, server = Clock(), Said()
    presence = made(server, clock)
    assert not presence.is_safe()
    presence.beat()
    clock.advance(SAFE_FOR - 0.1)
    assert presence.is_safe()
    server.time = None
    presence.beat()
    clock.advance(0.2)
    assert not presence.is_safe()
    server.time = 5010.0
    presence.beat()
    assert presence.is_safe()


def test_a_daemon_that_was_frozen(nothing_left_behind: list[dict[str, Any]]) -> None:
    """Knows it at once, whoever asks first: what came before it was back, or just then, may be late."""
    clock = Clock()
    presence = made(Said(), clock)
    presence.beat()
    run(clock, presence, 10)
    assert not presence.was_away_since(0.0)
    before = clock.seconds()
    clock.advance(AWAY_AFTER + 0.1)
    assert presence.was_away_since(before)
    assert presence.left == pytest.approx(5000.0 + before)
    back = clock.seconds()
    run(clock, presence, 5)
    assert presence.was_away_since(back)
    assert presence.was_away_since(back + 0.4)
    assert not presence.was_away_since(back + 0.6)
    (said,) = [event for event in nothing_left_behind if "was away" in event["log_format"]]
    assert said["seconds"] == pytest.approx(AWAY_AFTER + 0.1)


def test_a_machine_that_slept() -> None:
    """Its own clock stood still: the server's shows it. A clock that is a little ahead does not."""
    clock, server = Clock(), Said()
    presence = made(server, clock)
    presence.beat()
    run(clock, presence, 1)
    server.time = 5002.0
    presence.beat()
    assert not presence.was_away_since(clock.seconds())
    run(clock, presence, 1)
    server.time = 5030.0
    presence.beat()
    assert presence.was_away_since(clock.seconds())
    assert presence.now() == pytest.approx(5030.0)


def test_a_server_that_is_away_is_told_once(nothing_left_behind: list[dict[str, Any]]) -> None:
    """And that it is back."""
    server = Said(time=None)
    presence = made(server, Clock())
    for _ in range(3):
        presence.beat()
    server.time = 5000.0
    presence.beat()
    assert [event["log_format"].split(":")[0] for event in nothing_left_behind] == [
        "PostgreSQL cannot be reached",
        "PostgreSQL can be reached again",
    ]
