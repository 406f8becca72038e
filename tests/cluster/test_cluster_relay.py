"""Two daemons that deliver together: each hand-off at least once, in order, never two of one user at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import frozen
from cluster_relays import Relaying, begun, came
from relayed import TRIES
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from onec_twisted.cluster import claims
from onec_twisted.cluster.presence import SAFE_FOR
from onec_twisted.delivery.interfaces import ImportFailed, ImportInterrupted
from onec_twisted.delivery.relay import AT_ONCE
from onec_twisted.delivery.relaying import IRelay
from onec_twisted.model.errors import CatalogBusy, HandoffRunning
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.runtime.fairness import Sharing

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL


@pytest.fixture
def one(database: PostgreSQL) -> Relaying:
    """A daemon."""
    return Relaying(database)


@pytest.fixture
def two(database: PostgreSQL) -> Relaying:
    """Another."""
    return Relaying(database, "two")


def test_it_is_what_it_says(one: Relaying) -> None:
    """As the relay of one daemon is."""
    assert verifyObject(IRelay, one.relay)


def test_a_hand_off_is_delivered_by_one_of_them(one: Relaying, two: Relaying) -> None:
    """By the one that has recorded it; the other knows how it goes, and answers whoever asks there."""
    handoff = one.hand_off("a.xml")
    two.run(2)
    assert (one.delivered, two.delivered) == (["a.xml"], [])
    _, progress, _ = one.importer.running[0]
    progress("Reading a.xml")
    one.run()
    asked = begun(two.relay.outcome(handoff, 0.0))
    assert (asked[0].state, asked[0].words) == (WAITING, "Reading a.xml")
    waiting = begun(two.relay.outcome(handoff, 5.0))
    one.importer.end()
    two.run()

    assert [outcome.state for outcome in waiting] == [SUCCEEDED]
    assert two.on_record(handoff).state == SUCCEEDED
    assert came(two.relay.outcome(handoff, 0.0)).state == SUCCEEDED


def test_a_hand_off_that_nobody_has_looked_at(one: Relaying, two: Relaying) -> None:
    """Is delivered by whoever looks first, whichever daemon has recorded it."""
    one.sealed("a.xml")
    two.run()
    one.run()
    assert (one.delivered, two.delivered) == ([], ["a.xml"])


def test_each_claim_has_a_higher_number(one: Relaying, two: Relaying) -> None:
    """A site can tell by it who has been replaced."""
    one.hand_off("a.xml")
    one.importer.end(ImportInterrupted("busy"))
    one.due()
    two.run()
    two.importer.end(ImportInterrupted("busy"))
    one.due()
    one.run()
    told = [description.attempt for relaying in (one, two) for description in relaying.importer.delivered]
    assert sorted(told) == [1, 2, 3]


def test_the_order_of_a_user(one: Relaying, two: Relaying) -> None:
    """One after another, whatever session and daemon they come from; those of others meanwhile."""
    one.hand_off("a.xml")
    two.hand_off("b.xml", "6" * 32)
    two.hand_off("c.xml", "7" * 32, exchange_type="sale")
    two.hand_off("d.xml", "8" * 32, "another")
    assert (one.delivered, two.delivered) == (["a.xml"], ["d.xml"])
    one.importer.end()
    assert one.delivered == ["a.xml", "b.xml"]
    two.run()
    assert two.delivered == ["d.xml"]
    one.importer.end()
    one.importer.end()
    assert one.delivered == ["a.xml", "b.xml", "c.xml"]


def test_one_that_is_tried_again_holds_back_its_type(one: Relaying, two: Relaying) -> None:
    """Until it is due, on any daemon; what asks elsewhere is told what it waits for."""
    first = one.hand_off("a.xml")
    second = one.hand_off("b.xml", "6" * 32)
    other = one.hand_off("c.xml", "7" * 32, exchange_type="sale")
    one.importer.end(ImportInterrupted("The site answered 503"))
    assert one.delivered == ["a.xml", "c.xml"]
    one.importer.end()
    assert one.on_record(other).state == SUCCEEDED
    asked = came(two.relay.outcome(second, 0.0))
    told = f"The site answered 503 - try 2 of {TRIES} in 1 s"
    assert asked.words == f"Import waits for an earlier one, a.xml: {told}"
    assert came(two.relay.outcome(first, 0.0)).words == told
    prospect = two.relay.prospects()[first.id]
    assert (prospect.runs, prospect.words) == (False, told)
    assert prospect.pause is not None
    one.due()
    two.run()
    assert two.delivered == ["a.xml"]
    two.importer.end()
    two.importer.end()
    assert two.delivered == ["a.xml", "b.xml"]
    assert one.on_record(second).state == SUCCEEDED


def test_one_that_fails(one: Relaying) -> None:
    """After its last try, with what the importer said; the next one follows."""
    handoff = one.hand_off("a.xml")
    for _ in range(TRIES):
        one.importer.end(ImportInterrupted("no answer"))
        one.due()
        one.run()
    assert one.on_record(handoff).words == f"Given up after {TRIES} tries: no answer"
    again = one.hand_off("b.xml", "6" * 32)
    one.importer.end(ImportFailed("No such group"))
    assert (one.on_record(again).state, one.on_record(again).words) == (FAILED, "No such group")


def test_a_daemon_that_is_not_heard_of(
    one: Relaying, two: Relaying, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Another one takes over; what the first makes of it then is not recorded."""
    handoff = one.hand_off("a.xml")
    two.run()
    assert two.delivered == []
    one.vanish()
    two.run()
    assert two.delivered == ["a.xml"]
    one.importer.end(ImportFailed("late"))
    assert two.on_record(handoff).state == WAITING
    two.importer.end()
    assert two.on_record(handoff).state == SUCCEEDED
    assert [event for event in nothing_left_behind if "taken a hand-off over" in event["log_format"]]


def test_a_daemon_that_cannot_tell_of_itself(one: Relaying) -> None:
    """Cancels what it delivers before anybody may have begun it again, and begins nothing; then it goes on."""
    one.hand_off("a.xml")
    one.clock.advance(SAFE_FOR + 0.1)
    one.relay.look()
    assert one.importer.cancelled == 1
    one.relay.look()
    assert one.delivered == ["a.xml"]
    one.presence.beat()
    one.relay.look()
    assert one.delivered == ["a.xml", "a.xml"]


def test_the_end_of_a_daemon(one: Relaying, two: Relaying) -> None:
    """Running imports may end; then its claims are free at once."""
    one.hand_off("a.xml")
    one.hand_off("b.xml", "6" * 32, "another")
    stopping: list[Any] = []
    one.relay.stopService().addCallback(stopping.append)
    one.importer.end()
    assert stopping == []
    one.clock.advance(31)
    assert one.importer.cancelled == 1
    assert stopping == [None]
    two.run()
    assert two.delivered == ["b.xml"]


def test_fair_shares(database: PostgreSQL) -> None:
    """A shop whose site hangs leaves slots to others, on each daemon."""
    daemon = Relaying(database, sharing=Sharing(among_shops=True))
    daemon.destinations.shops = dict.fromkeys(("north", "south"), daemon.destinations.shops[DEFAULT_SHOP])
    for number in range(AT_ONCE):
        daemon.hand_off("a.xml", f"{number:032x}", f"north:{number}")
    assert len(daemon.importer.running) == 8
    daemon.hand_off("b.xml", "f" * 32, "south:anna")
    assert daemon.delivered[-1] == "b.xml"


def test_a_session_with_nothing_left_to_deliver(one: Relaying, two: Relaying) -> None:
    """Is idle, whichever daemon delivers; somebody who waits for too long is told."""
    handoff = one.hand_off("a.xml")
    done = begun(two.relay.idle(handoff.sessid, 5.0))
    with pytest.raises(HandoffRunning):
        came(two.relay.idle(handoff.sessid, 0.0))
    one.importer.end()
    two.run(1)
    assert done == [None]


def test_what_an_administrator_does(one: Relaying, two: Relaying) -> None:
    """Hurries a try, or gives a hand-off up, at any daemon; not while it is delivered."""
    handoff = one.hand_off("a.xml")
    assert not came(two.relay.hurry(handoff.id))
    assert not came(two.relay.give_up(handoff.id))
    one.importer.end(ImportInterrupted("no answer"))
    assert came(two.relay.hurry(handoff.id))
    assert two.delivered == ["a.xml"]
    two.importer.end(ImportInterrupted("no answer"))
    assert came(one.relay.give_up(handoff.id))
    assert one.on_record(handoff).state == FAILED
    assert not came(one.relay.give_up(handoff.id))
    assert not came(one.relay.give_up("unknown"))


def test_a_shop_that_is_back(one: Relaying) -> None:
    """What has waited for it is tried at once."""
    shops = one.destinations.shops
    one.destinations.shops = {}
    handoff = one.hand_off("a.xml", user="north:anna")
    assert one.on_record(handoff).tries == 0
    one.run()
    assert one.delivered == []
    one.destinations.shops = {"north": shops[DEFAULT_SHOP]}
    one.relay.resume_shops({"north"})
    assert one.delivered == ["a.xml"]


def test_another_daemon_that_claims_just_now(one: Relaying, postgresql: Any) -> None:
    """Nobody waits for it: the claim is made a moment later."""
    one.sealed("a.xml")

    def hold(connection: Any) -> None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x1C_C1,))
            one.relay.look()
            assert one.delivered == []

    one.database.using(hold)
    one.clock.advance(0.1)
    assert one.delivered == ["a.xml"]


def test_the_clock_of_a_daemon_does_not_matter(database: PostgreSQL) -> None:
    """What is due is told by the server's."""
    clock = Clock()
    clock.advance(10**9)
    late = Relaying(database, clock=clock)
    late.hand_off("a.xml")
    assert late.delivered == ["a.xml"]


def test_a_claim_does_not_outlive_what_went_wrong(one: Relaying, two: Relaying) -> None:
    """PostgreSQL is away when a claimed hand-off is read: it is delivered a little later, by whichever daemon."""
    handoff = one.sealed("a.xml")
    read, failures = one.relay.recorder.read, [CatalogBusy("it is away")]

    async def fails_once(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(*args)

    one.relay.recorder = cast("Any", Reading(fails_once, one.relay.recorder))
    one.run(1)
    two.run(1)
    one.run(1)
    for relaying in (one, two):
        if relaying.importer.running:
            relaying.importer.end()
    assert [*one.delivered, *two.delivered] == ["a.xml"]
    assert one.on_record(handoff).state == SUCCEEDED


def test_a_claim_whose_answer_was_lost(one: Relaying) -> None:
    """It is on record, and nobody was told: it is given back, and claimed again."""
    one.sealed("a.xml")
    using, losses = one.relay.database.using, [CatalogBusy("the connection broke")]

    def loses_an_answer(function: Any, *args: Any) -> Any:
        outcome = using(function, *args)
        if function is claims.claim and losses:
            raise losses.pop()
        return outcome

    one.relay.database = cast("Any", Using(loses_an_answer))
    one.run(3)
    one.importer.end()
    assert one.delivered == ["a.xml"]


def test_a_look_that_hangs_does_not_keep_an_import(one: Relaying, two: Relaying) -> None:
    """What others may have taken over is cancelled by the clock, whatever the database does."""
    one.hand_off("a.xml")
    assert one.delivered == ["a.xml"]
    one.relay._is_looking = True  # a look waits for its answer
    one.clock.advance(SAFE_FOR + 0.1)
    assert not one.relay.check_safe()
    assert not one.relay.check_safe()
    assert one.importer.cancelled == 1


@frozen
class Reading:
    """A recorder whose reads a test answers."""

    read: Any
    recorder: Any

    def __getattr__(self, name: str) -> Any:
        """Be the recorder otherwise."""
        return getattr(self.recorder, name)


@frozen
class Using:
    """A database that a test is in front of."""

    using: Any
