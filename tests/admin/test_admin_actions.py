"""What an administrator may do, and what stays safe all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator, actions
from line import Line, post
from twisted.internet.defer import Deferred

from onec_twisted.model.errors import ImportFailed, ImportInterrupted
from onec_twisted.model.journal import HandoffFilter
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from in_memory import InMemory


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off; the tests say how it ends."""
    return FakeImporter(patient=True)


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> InMemory:
    """An exchange that hands off to the fake."""
    return make_exchange(importer=importer)


@pytest.fixture
def session(exchange: InMemory) -> tuple[str, str]:
    """A session with a file whose import was asked for."""
    session = exchange.checkauth()
    ask(exchange, session, "file", "POST")
    waiting = exchange.send("GET", query(session, "import"), Cookie=session[0])
    waiting.addErrback(lambda _: None)
    return session


def query(session: tuple[str, str], mode: str) -> str:
    """Return a query about the file."""
    return f"type=catalog&mode={mode}&filename=a.xml&sessid={session[1]}"


def ask(exchange: InMemory, session: tuple[str, str], mode: str, method: str = "GET") -> bytes:
    """Ask, and return the answer."""
    return exchange.request(
        method, query(session, mode), b"<?xml" if method == "POST" else b"", Cookie=session[0]
    ).body


def done(action: Coroutine[Any, Any, str]) -> str:
    """Return what has come of an action."""
    found: list[Any] = []
    Deferred.fromCoroutine(action).addBoth(found.append)
    (outcome,) = found
    assert isinstance(outcome, str), outcome
    return outcome


def failed(exchange: InMemory, importer: FakeImporter) -> str:
    """Let the import fail, and return its id."""
    importer.end(ImportFailed("no such price"))
    return importer.delivered[-1].id


def test_a_failed_hand_off_is_tried_again(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """Under an id of its own; a node that asks hears how that goes."""
    handoff = failed(exchange, importer)
    assert done(actions(exchange).retry(handoff)) == "retried"
    assert len(importer.running) == 1
    assert importer.delivered[1].id != handoff
    assert importer.delivered[1].files == importer.delivered[0].files
    importer.end()

    assert ask(exchange, session, "import") == b"success"
    assert len(importer.delivered) == 2
    assert done(actions(exchange).retry(handoff)) == "gone"


def test_only_what_failed_is_tried_again_or_dropped(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """What runs, or is done, or is not there, is left alone."""
    running = importer.delivered[0].id
    for handoff, outcome in ((running, "running"), ("nonsense", "gone")):
        assert done(actions(exchange).retry(handoff)) == outcome
        assert done(actions(exchange).drop(handoff)) == outcome
    importer.end()
    assert done(actions(exchange).drop(running)) == "gone"

    assert len(importer.delivered) == 1


def test_one_that_waits_for_its_next_try(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """Is tried at once, or given up: then its node receives the failure."""
    importer.end(ImportInterrupted("The site is asleep"))
    page = Administrator(exchange).ask("/handoffs").body.decode()
    assert "Retry: a.xml" in page
    assert "Give up: a.xml" in page
    handoff = importer.delivered[0].id
    assert done(actions(exchange).retry(handoff)) == "retried"
    assert len(importer.delivered) == 2
    importer.end(ImportInterrupted("The site is asleep"))
    waiting = exchange.send("GET", query(session, "import"), Cookie=session[0])
    assert done(actions(exchange).drop(handoff)) == "given_up"

    assert exchange.reply(waiting).body == b"failure\nGiven up by the administrator: The site is asleep"
    assert done(actions(exchange).drop(handoff)) == "dropped"


def test_one_that_a_newer_one_has_superseded(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """Is not tried again, and its node hears why; it can be dropped."""
    handoff = failed(exchange, importer)
    newer = exchange.checkauth()
    ask(exchange, newer, "file", "POST")
    waiting = exchange.send("GET", query(newer, "import"), Cookie=newer[0])
    importer.end()
    assert exchange.reply(waiting).body == b"success"
    page = Administrator(exchange).page()
    assert "Retry: a.xml" not in page
    assert done(actions(exchange).retry(handoff)) == "superseded"
    reason = b"failure\nA newer a.xml was imported, so this one is not imported any more"
    assert ask(exchange, session, "import") == ask(exchange, session, "import") == reason
    assert done(actions(exchange).drop(handoff)) == "dropped"


def test_a_failed_hand_off_is_dropped(exchange: InMemory, importer: FakeImporter, session: tuple[str, str]) -> None:
    """The file stays; a node that asks again has it made anew."""
    handoff = failed(exchange, importer)
    assert done(actions(exchange).drop(handoff)) == "dropped"
    assert Administrator(exchange).page().count("no such price") == 0
    waiting = exchange.send("GET", query(session, "import"), Cookie=session[0])
    assert len(importer.delivered) == 2
    importer.end()

    assert exchange.reply(waiting).body == b"success"


def test_a_session_is_ended(exchange: InMemory, importer: FakeImporter, session: tuple[str, str]) -> None:
    """Its piece on the way hears why it is dropped, its files go, its cookie opens nothing; others stay."""
    importer.end()
    other = exchange.checkauth()
    Line(exchange.site).send(post(other, "b", b"kept"))
    line = Line(exchange.site)
    line.send(post(session, "c", b"x" * 100)[:-50])
    assert done(actions(exchange).end(session[1])) == "ended"

    assert line.answered.startswith(b"HTTP/1.1 403 ")
    assert line.answered.endswith(b"failure\nSession was ended by the administrator")
    line.lose()
    assert exchange.files() == {f"{other[1]}/b": b"kept"}
    assert ask(exchange, session, "init") == b"failure\nInvalid session"
    assert ask(exchange, other, "init").startswith(b"zip=")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_session_with_a_hand_off_stays(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str], interrupted: bool
) -> None:
    """What is promised to the site is kept, whether it is being delivered or waits for another try."""
    if interrupted:
        importer.end(ImportInterrupted("not now"))
    found: list[Any] = []
    Deferred.fromCoroutine(actions(exchange).end(session[1])).addBoth(found.append)
    for _ in range(20):
        exchange.clock.advance(0.5)

    assert found == ["busy"]
    assert f"{session[1]}/a.xml" in exchange.files()
    importer.end()
    assert done(actions(exchange).end(session[1])) == "ended"
    assert exchange.files() == {}


def test_a_retry_that_meets_init(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is not emptied: the importer finds its files."""
    handoff = failed(exchange, importer)
    idle = type(exchange.parts.relay).idle

    async def late(relay: Any, sessid: str, patience: float) -> None:
        await idle(relay, sessid, patience)
        assert done(actions(exchange).retry(handoff)) == "retried"

    monkeypatch.setattr(type(exchange.parts.relay), "idle", late)
    answer = ask(exchange, session, "init")

    assert answer == b"failure\nSession is being imported - retry later"
    assert f"{session[1]}/a.xml" in exchange.files()
    importer.end()


def test_those_who_wait_hear_that_the_session_is_ended(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """As well as the one that writes."""
    importer.end()
    lines = [Line(exchange.site), Line(exchange.site)]
    for line in lines:
        line.send(post(session, "c", b"x" * 100)[:-50])
    assert done(actions(exchange).end(session[1])) == "ended"
    for line in lines:
        assert line.answered.endswith(b"failure\nSession was ended by the administrator")
        line.lose()


def test_a_session_that_is_not_there(exchange: InMemory) -> None:
    """Nothing is removed for a name that is not on record, whatever it is."""
    beside = exchange.folder / "1c_temp" / ("f" * 32)
    beside.mkdir()
    for sessid in (beside.name, "..", "../..", "."):
        assert done(actions(exchange).end(sessid)) == "gone"

    assert beside.is_dir()
    assert (exchange.folder / "1c_temp" / "exchange.sqlite3").exists()


def send_and_fail(exchange: InMemory, importer: FakeImporter, name: str) -> None:
    """Let the import of a file fail."""
    cookie, sessid = exchange.checkauth()
    about = f"type=catalog&filename={name}&sessid={sessid}&mode="
    exchange.request("POST", about + "file", b"<?xml", Cookie=cookie)
    exchange.send("GET", about + "import", Cookie=cookie).addErrback(lambda _: None)
    importer.end(ImportFailed("no"))


def states(exchange: InMemory) -> list[str]:
    """Return the states of all hand-offs, the newest first."""
    found: list[Any] = []
    Deferred.fromCoroutine(exchange.catalog.journal.handoffs(HandoffFilter())).addCallback(found.append)
    return [handoff.state for handoff in found[0][0]]


def test_all_that_failed(exchange: InMemory, importer: FakeImporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is retried or dropped with one button, however many there are; of a user, a shop, or everybody."""
    monkeypatch.setattr("onec_twisted.admin.actions.READ_AT_ONCE", 2)
    for number in range(5):
        send_and_fail(exchange, importer, f"{number}.xml")

    assert done(actions(exchange).retry_all(HandoffFilter(username="nobody"))) == "gone"
    assert done(actions(exchange).drop_all(HandoffFilter(shop="north"))) == "gone"
    assert states(exchange) == ["failed"] * 5
    assert done(actions(exchange).retry_all(HandoffFilter(username="shop", shop="default"))) == "retried_all"
    assert states(exchange) == ["waiting"] * 5
    for _ in range(4):
        importer.end(ImportFailed("no"))
    assert states(exchange) == ["waiting", *["failed"] * 4]  # in their order
    assert done(actions(exchange).drop_all(HandoffFilter())) == "dropped_all"
    assert states(exchange) == ["waiting"]
    importer.end()


def test_what_was_delivered_is_delivered_again(
    exchange: InMemory, importer: FakeImporter, session: tuple[str, str]
) -> None:
    """With the same files, under another id, which the site cannot take for a repeat."""
    importer.end()
    assert states(exchange) == ["succeeded"]
    found: list[Any] = []
    Deferred.fromCoroutine(exchange.catalog.journal.handoffs(HandoffFilter())).addCallback(found.append)
    ((delivered,), _) = found[0]

    assert done(actions(exchange).redeliver(delivered.id)) == "redelivered"
    assert states(exchange) == ["waiting"]
    assert done(actions(exchange).redeliver(delivered.id)) == "gone"
    importer.end()
    assert states(exchange) == ["succeeded"]
