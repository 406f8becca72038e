"""What becomes of one piece: the rules of a repeat."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from line import Line, post
from twisted.internet.defer import Deferred

from onec_twisted.ingest.daemons import REPEAT_PATIENCE
from onec_twisted.ingest.engine import Stored
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.ingest.proofs import PROOF_DELAY, Proofs
from onec_twisted.model.errors import InsufficientStorage
from onec_twisted.model.names import SafeName
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from in_memory import InMemory

    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.model.records import Session

NAME = SafeName(("a",))


@pytest.fixture
def pieces(exchange: InMemory) -> Pieces:
    """The pieces of an exchange in memory."""
    return exchange.pieces()


@pytest.fixture
def session(exchange: InMemory) -> Session:
    """A session of it."""
    cookie, _ = exchange.checkauth()
    found: list[Any] = []
    Deferred.fromCoroutine(exchange.catalog.sessions.find(cookie.partition("=")[2])).addCallback(found.append)
    session: Session = found[0]
    return session


def send(pieces: Pieces, session: Session, data: bytes, *, chunked: bool = False) -> list[Any]:
    """Send a piece; the list holds what becomes of it."""
    body = FakeBody(None if chunked else len(data))
    outcome: list[Any] = []
    Deferred.fromCoroutine(pieces.take(session, NAME, body, None)).addBoth(outcome.append)
    body.feed(data)
    body.end()
    return outcome


def stored(pieces: Pieces, session: Session, data: bytes, **how: bool) -> Stored:
    """Send a piece that is stored at once."""
    (outcome,) = send(pieces, session, data, **how)
    assert isinstance(outcome, Stored), outcome
    return outcome


def way(stored: Stored) -> Acknowledgement:
    """Return the way of the answer."""
    assert stored.acknowledgement is not None
    return stored.acknowledgement


def content(exchange: InMemory, session: Session) -> bytes:
    """Return what lies on the disk."""
    return exchange.files()[f"{session.sessid}/a"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_repeat_is_not_appended(exchange: InMemory, pieces: Pieces, session: Session, chunked: bool) -> None:
    """Again and again, while no answer arrives; then the next equal piece is data."""
    way(stored(pieces, session, b"first")).sent(None)
    way(stored(pieces, session, b"same")).lost()
    for _ in range(3):
        again = stored(pieces, session, b"same", chunked=chunked)
        assert again.committed == 9
        way(again).lost()
    way(stored(pieces, session, b"same")).sent(None)
    assert content(exchange, session) == b"firstsame"
    assert pieces.ingest.metrics.registry.get_sample_value("onec_pieces_total", {"outcome": "repeat"}) == 4
    way(stored(pieces, session, b"same")).sent(None)

    assert content(exchange, session) == b"firstsamesame"
    exchange.clock.advance(PROOF_DELAY)


def test_equal_pieces_that_arrive_are_both_data(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """Files of zeros must grow."""
    for _ in range(5):
        way(stored(pieces, session, bytes(1000))).sent(None)

    assert content(exchange, session) == bytes(5000)
    exchange.clock.advance(PROOF_DELAY)


@pytest.mark.parametrize("other", [b"samE", b"sam", b"same!"])
def test_another_piece_is_data(exchange: InMemory, pieces: Pieces, session: Session, other: bytes) -> None:
    """Near is not equal, whatever became of the answer."""
    way(stored(pieces, session, b"same")).lost()
    stored(pieces, session, other)

    assert content(exchange, session) == b"same" + other


def test_only_the_last_piece_can_be_repeated(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """An older one that comes again is data."""
    way(stored(pieces, session, b"one")).lost()
    way(stored(pieces, session, b"two")).lost()
    stored(pieces, session, b"one")

    assert content(exchange, session) == b"onetwoone"


@pytest.mark.parametrize("arrives", [True, False])
def test_an_equal_piece_waits_for_the_fate_of_the_answer(
    exchange: InMemory, pieces: Pieces, session: Session, arrives: bool
) -> None:
    """At most 2 s: an answer that is still open then was not delivered."""
    first = stored(pieces, session, b"same")
    again = send(pieces, session, b"same")
    exchange.clock.advance(REPEAT_PATIENCE - 0.1)
    assert again == []
    if arrives:
        way(first).sent(None)
    else:
        exchange.clock.advance(0.1)

    assert isinstance(again[0], Stored)
    assert content(exchange, session) == (b"samesame" if arrives else b"same")
    exchange.clock.advance(PROOF_DELAY)


def test_an_answer_that_arrives_while_an_equal_piece_comes_in(
    exchange: InMemory, pieces: Pieces, session: Session
) -> None:
    """Its proof is on record, and forgotten, before the last byte of the piece: the piece is data."""
    first = way(stored(pieces, session, b"same"))
    body = FakeBody(4)
    outcome: list[Any] = []
    Deferred.fromCoroutine(pieces.take(session, NAME, body, None)).addBoth(outcome.append)
    body.feed(b"sa")
    first.sent(None)
    exchange.clock.advance(1)
    assert len(pieces.proofs) == 0
    body.feed(b"me")
    body.end()

    assert isinstance(outcome[0], Stored)
    assert content(exchange, session) == b"samesame"


def test_a_range_that_is_held_needs_no_room(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """A node that lost the answer to the last piece of a full quota can finish."""
    pieces.session_quota = 4
    stored(pieces, session, b"same")
    body = FakeBody(4)
    outcome: list[Any] = []
    Deferred.fromCoroutine(pieces.take(session, NAME, body, 0)).addBoth(outcome.append)
    body.feed(b"same")
    body.end()

    assert outcome == [Stored(4, None, "held")]


@pytest.mark.parametrize("other", [b"same", b"diff"])
def test_a_repeat_at_the_quotas_edge(exchange: InMemory, pieces: Pieces, session: Session, other: bytes) -> None:
    """It is confirmed; another piece of its size is refused, and leaves nothing."""
    pieces.session_quota = 4
    way(stored(pieces, session, b"same")).lost()
    (outcome,) = send(pieces, evolve(session, held=4), other)

    assert isinstance(outcome, Stored) if other == b"same" else outcome.check(InsufficientStorage)
    assert content(exchange, session) == b"same"


def test_settling(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """Before the daemon ends, answers are asked for once more, and proofs are on record."""
    way(stored(pieces, session, b"1")).sent(None)
    settled = Deferred.fromCoroutine(pieces.proofs.settle(1))
    assert settled.called
    stored(pieces, session, b"2")
    settled = Deferred.fromCoroutine(pieces.proofs.settle(1))
    assert not settled.called
    exchange.clock.advance(1)

    assert settled.called


@pytest.mark.parametrize("proven", [True, False])
def test_a_proof_survives(exchange: InMemory, pieces: Pieces, session: Session, proven: bool) -> None:
    """What is on record counts after a restart; a piece with no proof there was not delivered."""
    acknowledgement = way(stored(pieces, session, b"same"))
    if proven:
        acknowledgement.sent(None)
        exchange.clock.advance(1)
    else:
        pieces.proofs._open.clear()
    proofs = Proofs(pieces.ingest.files, exchange.clock)
    restarted = Pieces(pieces.ingest, proofs, pieces.body_limit, pieces.session_quota, pieces.received)
    way(stored(restarted, session, b"same")).lost()

    assert content(exchange, session) == (b"samesame" if proven else b"same")


def test_many_pieces_at_the_quotas_edge(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """Fifty that race for the last bytes: never more than the quota, and no room is lost."""
    pieces.session_quota = 1000
    bodies = [FakeBody(90) for _ in range(50)]
    outcomes: list[Any] = []
    for number, body in enumerate(bodies):
        name = SafeName((f"{number}",))
        Deferred.fromCoroutine(pieces.take(session, name, body, None)).addBoth(outcomes.append)
    for body in bodies:
        body.feed(b"x" * 90)
    for body in bodies:
        body.end()

    assert sum(isinstance(outcome, Stored) for outcome in outcomes) == 11
    assert sum(map(len, exchange.files().values())) == 990


def test_many_sessions_at_the_disks_edge(exchange: InMemory, pieces: Pieces) -> None:
    """Fifty that race for what the disk has left: the bytes to leave free stay free."""
    exchange.store.free_bytes = 2000
    bodies = []
    outcomes: list[Any] = []
    for _ in range(50):
        cookie, _sessid = exchange.checkauth()
        found: list[Any] = []
        Deferred.fromCoroutine(exchange.catalog.sessions.find(cookie.partition("=")[2])).addCallback(found.append)
        bodies.append(FakeBody(90))
        Deferred.fromCoroutine(pieces.take(found[0], NAME, bodies[-1], None)).addBoth(outcomes.append)
    for body in bodies:
        body.feed(b"x" * 90)
        body.end()

    assert sum(map(len, exchange.files().values())) == 990


def test_nothing_is_remembered(exchange: InMemory, pieces: Pieces, session: Session) -> None:
    """Of answers that arrived, were lost, or belong to an epoch that is gone."""
    way(stored(pieces, session, b"1")).sent(None)
    exchange.clock.advance(1)
    way(stored(pieces, session, b"2")).lost()
    assert len(pieces.proofs) == 0
    stored(pieces, session, b"3")
    pieces.proofs.forget(session.sessid)

    assert len(pieces.proofs) == 0
    assert exchange.clock.getDelayedCalls() == []


def test_a_piece_leaves_no_garbage(exchange: InMemory) -> None:
    """What it took is free again at once: it need not be looked for, and the next piece uses it while it is warm."""
    session, line = exchange.checkauth(), Line(exchange.site)

    def send(names: str) -> None:
        for name in names:
            line.transport.clear()
            assert line.send(post(session, name, b"x" * 1000)).endswith(b"success")
            exchange.clock.advance(1)

    send("ab")
    gc.collect()
    gc.disable()
    try:
        send("abcde")
        assert gc.collect() == 0
    finally:
        gc.enable()
