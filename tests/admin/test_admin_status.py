"""How an exchange looks at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from administrator import MIN_FREE, observed
from line import Line, post
from twisted.internet.defer import Deferred

from onec_twisted.admin.status import MOST_SHOWN, Status

if TYPE_CHECKING:
    from in_memory import InMemory


def looked_at(exchange: InMemory) -> Status:
    """Return the status."""
    found: list[Any] = []
    Deferred.fromCoroutine(observed(exchange).status()).addBoth(found.append)
    status: Status = found[0]
    return status


def test_an_exchange_where_nothing_happens(exchange: InMemory) -> None:
    """There is the disk, and nothing else."""
    status = looked_at(exchange)

    assert (status.free, status.reserved, status.connections) == (1_000_000, MIN_FREE, 0)
    assert (status.transfers, status.overview.sessions, status.overview.handoffs) == ((), (), ())


def test_pieces_on_their_way(exchange: InMemory) -> None:
    """How far one is, how fast, behind which bytes; and that another waits for it."""
    session = exchange.checkauth()
    before = Line(exchange.site)
    before.send(post(session, "a", b"x" * 50))
    writer, waiter, other = (Line(exchange.site) for _ in range(3))
    wire = post(session, "a", b"y" * 100)
    writer.send(wire[:-60])
    exchange.clock.advance(2)
    waiter.send(post(session, "a", b"z" * 10))
    other.send(post(session, "b", b"w" * 30, chunks=10)[:-10])
    first, second, third = looked_at(exchange).transfers

    assert (first.name, first.received, first.length, first.committed) == ("a", 40, 100, 50)
    assert (first.rate, first.age, first.waits) == (20, 2, False)
    assert (second.name, second.waits, second.rate) == ("a", True, 0)
    assert (third.name, third.length, third.committed) == ("b", None, 0)
    assert first.user == "shop"
    assert first.sessid == session[1]
    assert len({first.key, second.key, third.key}) == 3
    for line in (writer, waiter, other):
        line.lose()
    assert looked_at(exchange).transfers == ()
    assert looked_at(exchange).received == 50 + 40 + 10 + third.received


def test_no_more_than_a_page_holds(exchange: InMemory) -> None:
    """However many there are."""
    for _ in range(MOST_SHOWN + 5):
        exchange.clock.advance(1)
        exchange.checkauth()
    status = looked_at(exchange)

    assert len(status.overview.sessions) == MOST_SHOWN
    assert status.overview.summary.sessions == MOST_SHOWN + 5
    touched = [line.session.touched for line in status.overview.sessions]
    assert touched == sorted(touched, reverse=True)
