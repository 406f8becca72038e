"""What nobody touched is removed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import InMemory, flush_failures
from node_in_memory import Node
from records import now_of
from twisted.internet.defer import Deferred

from onec_twisted.daemon.sweep import AT_ONCE, Lifetimes, Sweep, interval_for
from onec_twisted.model.errors import ImportFailed
from onec_twisted.model.journal import ExchangeFilter
from onec_twisted.testing import FakeBody, FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import Clock


@pytest.fixture
def sweep(exchange: InMemory) -> Sweep:
    """A sweep of the exchange in memory."""
    means, parts = exchange.means, exchange.parts
    return Sweep(
        recorder=means.catalog.recorder,
        sessions=means.catalog.sessions,
        store=means.store,
        locks=parts.locks,
        workers=means.workers,
        session_ttl=exchange.config.session_ttl,
        journal=means.catalog.journal,
        lifetimes=lambda: Lifetimes(KEEP, 86400.0, history_of_shops={"north": 100.0}),
        now=means.now,
    )


KEEP = 600


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter()


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> InMemory:
    """An exchange that leaves no manifests."""
    return make_exchange(importer=importer)


def upload(exchange: InMemory) -> str:
    """Open a session with one file; return its sessid."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"x", Cookie=cookie)
    return sessid


def imported(exchange: InMemory) -> str:
    """Open a session with one file, and ask for its import; return its sessid."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"x", Cookie=cookie)
    exchange.request("GET", f"type=catalog&mode=import&filename=a&sessid={sessid}", Cookie=cookie)
    return sessid


def test_a_session_without_files_goes(exchange: InMemory, sweep: Sweep, clock: Clock) -> None:
    """When nobody has touched it for its time."""
    cookie, sessid = exchange.checkauth()
    clock.advance(exchange.config.session_ttl - 1)
    sweep.once()
    alive = exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", Cookie=cookie)
    clock.advance(exchange.config.session_ttl + 1)
    sweep.once()

    assert alive.status == 200
    assert (
        exchange.catalog.recorder.database.read(lambda cursor: cursor.execute("SELECT * FROM sessions").fetchall())
        == []
    )


def test_what_was_imported_is_kept_for_its_time(exchange: InMemory, sweep: Sweep, clock: Clock) -> None:
    """Shorter or longer than a session; the others stay, and the folder goes with the record."""
    imported(exchange)
    clock.advance(KEEP - 1)
    young = imported(exchange)
    sweep.once()
    assert len(exchange.files()) == 2
    clock.advance(2)
    sweep.once()

    assert exchange.files() == {f"{young}/a": b"x"}
    assert [path.name for path in (exchange.folder / "1c_temp").iterdir() if path.is_dir()] == [young]


def test_what_was_imported_is_kept_though_its_node_starts_anew(
    exchange: InMemory, sweep: Sweep, clock: Clock, importer: FakeImporter
) -> None:
    """By init in the same session, of whatever type; where importers were told, and no longer than its time."""
    node = Node(exchange)
    node.send("a", b"old")
    assert node.ask("mode=import&filename=a") == b"success"
    clock.advance(KEEP / 2)
    node.exchange_type = "sale"
    node.ask("mode=init")
    node.send("a", b"new")
    first, second = f"{node.sessid}/a", f"{node.sessid}.2/a"
    assert exchange.files() == {first: b"old", second: b"new"}
    assert node.ask("mode=import&filename=a") == b"success"
    assert [told.folder.rpartition("/")[2] for told in importer.delivered] == [node.sessid, f"{node.sessid}.2"]
    node.ask("mode=init")
    node.ask("mode=init")
    sweep.once()
    assert exchange.files() == {first: b"old", second: b"new"}
    clock.advance(KEEP / 2 + 1)
    sweep.once()
    assert exchange.files() == {second: b"new"}
    node.send("b", b"newest")
    clock.advance(KEEP / 2)
    sweep.once()

    assert exchange.files() == {f"{node.sessid}.3/b": b"newest"}


def test_a_folder_that_nobody_keeps_goes_without_the_one_in_use(exchange: InMemory, sweep: Sweep) -> None:
    """Though it has the session's name."""
    node = Node(exchange)
    node.send("a", b"old")
    node.ask("mode=import&filename=a")
    node.ask("mode=init")
    node.send("a", b"new")
    exchange.catalog.recorder.database.record([(lambda cursor: cursor.execute("DELETE FROM kept"), ())])
    os.utime(exchange.folder / "1c_temp" / node.sessid, (1, 1))
    sweep.once()

    assert exchange.files() == {f"{node.sessid}.2/a": b"new"}


def test_what_was_not_handed_off_stays(exchange: InMemory, sweep: Sweep, clock: Clock) -> None:
    """However old it is: 1C has forgotten it. It goes when it was handed off, and kept."""
    sessid = upload(exchange)
    clock.advance(100 * exchange.config.session_ttl)
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    exchange.parts.handoffs.settle_quiet()
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    clock.advance(KEEP + 1)
    sweep.once()

    assert exchange.files() == {}


def test_what_is_being_imported_stays(exchange: InMemory, sweep: Sweep, clock: Clock, importer: FakeImporter) -> None:
    """And its time begins when that ends."""
    importer.patient = True
    sessid = upload(exchange)
    clock.advance(400)
    exchange.parts.handoffs.settle_quiet()
    clock.advance(100 * exchange.config.session_ttl)
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    importer.end()
    clock.advance(KEEP - 1)
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    clock.advance(2)
    sweep.once()

    assert exchange.files() == {}


def test_what_could_not_be_imported_stays_as_long_as_a_session(
    exchange: InMemory, sweep: Sweep, clock: Clock, importer: FakeImporter
) -> None:
    """So that somebody may look at it, also when it failed late."""
    importer.patient = True
    sessid = upload(exchange)
    clock.advance(100 * exchange.config.session_ttl)
    exchange.parts.handoffs.settle_quiet()
    importer.end(ImportFailed("no"))
    clock.advance(exchange.config.session_ttl - 1)
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    clock.advance(2)
    sweep.once()

    assert exchange.files() == {}


def test_an_upload_in_progress_keeps_its_session(exchange: InMemory, sweep: Sweep, clock: Clock) -> None:
    """However slow it is; when it is done the time starts anew."""
    sessid = imported(exchange)
    over: Deferred[None] = Deferred()

    async def slowly() -> None:
        async with exchange.parts.locks.of_file(sessid, "a", FakeBody()):
            await over

    Deferred.fromCoroutine(slowly())
    clock.advance(2 * exchange.config.session_ttl)
    sweep.once()
    assert exchange.files() == {f"{sessid}/a": b"x"}
    over.callback(None)
    sweep.once()

    assert exchange.files() == {}


def test_a_folder_without_a_record_goes(exchange: InMemory, sweep: Sweep) -> None:
    """A stop between the record and the folder leaves one; when it is old enough it is removed."""
    known = upload(exchange)
    orphan = exchange.folder / "1c_temp" / ("0" * 32)
    orphan.mkdir()
    (orphan / "a").write_bytes(b"old")
    now = exchange.clock.seconds()
    os.utime(orphan, (now, now))
    sweep.once()
    assert len(exchange.files()) == 2, "a young one may belong to a catalog that is being put back"
    os.utime(orphan, (1, 1))
    sweep.once()

    assert exchange.files() == {f"{known}/a": b"x"}


def test_the_journal_forgets(exchange: InMemory, sweep: Sweep, clock: Clock) -> None:
    """What is older than its history, or than that of its shop."""
    journal, sessions = exchange.catalog.journal, exchange.catalog.sessions
    for user in ("shop", "north:shop"):
        now_of(sessions.open(user, user, user, exchange.means.now()))
        now_of(sessions.end(user))
    clock.advance(101)
    sweep.once()
    assert [line.username for line in now_of(journal.exchanges(ExchangeFilter()))] == ["shop"]
    clock.advance(86400)
    sweep.once()

    assert now_of(journal.exchanges(ExchangeFilter())) == ()


def test_an_error_does_not_end_the_sweeping(
    exchange: InMemory, sweep: Sweep, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TimerService would stop for ever at the first."""
    reason = OSError("broken")

    def broken(store: Any) -> list[str]:
        raise reason

    with monkeypatch.context() as patch:
        patch.setattr(type(exchange.store), "folders", broken)
        outcome: list[Any] = []
        sweep.once().addBoth(outcome.append)

    assert outcome == [None]
    assert flush_failures(nothing_left_behind) == [reason]


def test_an_object_store_that_is_away(
    exchange: InMemory, sweep: Sweep, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says so, without a traceback: the next sweep finds it again."""

    def away(*_: object) -> None:
        raise OSError(errno.EREMOTE, "the connection broke")

    monkeypatch.setattr(type(exchange.store), "folders", away)
    now_of(sweep.once())
    told = [event for event in nothing_left_behind if event["log_namespace"].endswith("sweep.Sweep")]
    assert [(event["log_level"].name, event["reason"]) for event in told] == [("warn", "the connection broke")]
    assert "log_failure" not in told[0]


def test_a_session_that_cannot_be_removed_does_not_keep_the_others(
    exchange: InMemory, sweep: Sweep, clock: Clock, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Whatever is wrong with its folder; the next sweep tries again."""
    stuck = imported(exchange)
    for _ in range(3 * AT_ONCE):
        imported(exchange)
    clock.advance(KEEP + 1)
    real = exchange.store.store.drop

    def drop(store: Any, folder: str) -> None:
        if folder == stuck:
            raise OSError(1, "Operation not permitted")
        real(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(exchange.store.store), "drop", drop)
        sweep.once()

    assert exchange.files() == {f"{stuck}/a": b"x"}
    assert {str(error) for error in flush_failures(nothing_left_behind)} == {"[Errno 1] Operation not permitted"}
    sweep.once()
    assert exchange.files() == {}


@pytest.mark.parametrize(("ttl", "interval"), [(86400, 60), (60, 15), (1, 1)])
def test_it_comes_often_enough(ttl: float, interval: float) -> None:
    """At least once a minute, and several times in a session's life."""
    assert interval_for(ttl) == interval
    assert interval_for(86400, ttl) == interval
