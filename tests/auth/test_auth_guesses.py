"""What is counted of those who guess, and whose turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred

from onec_twisted.auth import guesses
from onec_twisted.auth.guesses import (
    ANSWER_DELAY,
    BURST_REFILL,
    BURST_SIZE,
    FORGET_AFTER,
    WRONG_REST,
    Failures,
    Lane,
    TokenBuckets,
    delay_after,
)

if TYPE_CHECKING:
    from twisted.internet.task import Clock


def never() -> bool:
    """Stay."""
    return False


def test_delays_double_and_have_an_end() -> None:
    """The first wrong password is answered at once, unless a crowd waits behind it."""
    assert [delay_after(failures) for failures in (0, 1, 2, 3, 9, 10, 10**6)] == [
        0,
        0.1,
        0.2,
        0.4,
        25.6,
        ANSWER_DELAY.longest,
        ANSWER_DELAY.longest,
    ]
    assert delay_after(0, 100) == delay_after(1, 100) == pytest.approx(100 * WRONG_REST)
    assert delay_after(0, 10**6) == ANSWER_DELAY.longest


def test_failures_are_forgotten() -> None:
    """Of who is quiet, and not of who goes on."""
    failures = Failures()
    for now in range(0, 200, 20):
        failures.add("goes on", now)
    failures.add("quiet", 0)
    assert failures.of("goes on", 200) == 10
    assert failures.of("quiet", FORGET_AFTER) == 1
    assert failures.of("quiet", FORGET_AFTER + 1) == failures.of("never", 0) == 0
    failures.add("another", 400)
    assert len(failures) == 1


def test_memory_of_failures_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were wrong longest ago are forgotten first."""
    monkeypatch.setattr(guesses, "REMEMBERED_FAILURES", 100)
    failures, buckets = Failures(), TokenBuckets()
    for number in range(1000):
        failures.add(number, 0)
        failures.add("one", 0)
        buckets.take(number, 0)
    assert len(failures) == len(buckets) == 100
    assert failures.of("one", 0) == 1000


def test_an_allowance_comes_back() -> None:
    """So many a second, and each has its own."""
    buckets = TokenBuckets()
    for _ in range(BURST_SIZE + 1):
        buckets.take("one", 50)
    assert not buckets.is_left("one", 50)
    assert buckets.is_left("other", 50)
    for now in range(51, 100):
        for _ in range(BURST_REFILL):
            assert buckets.is_left("one", now)
            buckets.take("one", now)
        assert not buckets.is_left("one", now)
    buckets.take("other", 1000)
    assert len(buckets) == 1


async def _hold(lane: Lane, address: str, place: list[Any], wrong: bool, user: bytes, is_one: bool) -> None:
    async with lane.turn(address, user, is_one, never):
        place.append(Deferred())
        await place[0]
        if wrong:
            lane.failures.add(address, lane.clock.seconds())


def held(lane: Lane, address: str, *, wrong: bool = False, user: bytes = b"shop", is_one: bool = True) -> list[Any]:
    """Ask for a turn; the list holds what ends it, once it has come."""
    place: list[Any] = []
    Deferred.fromCoroutine(_hold(lane, address, place, wrong, user, is_one))
    return place


def test_addresses_take_turns(clock: Clock) -> None:
    """However many tries each has; and who was wrong does not stand before who was not."""
    lane = Lane(clock, Failures(), 1)
    first = held(lane, "guesser", wrong=True)
    crowd = [held(lane, "guesser", wrong=True) for _ in range(100)]
    others = [held(lane, f"node {number}") for number in range(3)]
    first[0].callback(None)
    for other in others:
        other[0].callback(None)
    assert not any(crowd)
    clock.advance(WRONG_REST)
    assert sum(map(len, crowd)) == 1
    while running := [place[0] for place in crowd if place and not place[0].called]:
        (one,) = running
        one.callback(None)
        clock.advance(WRONG_REST)
    assert all(crowd)
    assert len(lane) == 0


def test_users_of_an_address_take_turns(clock: Clock) -> None:
    """And come before names that nobody has: behind one address, too, a crowd keeps nobody waiting but itself."""
    lane = Lane(clock, Failures(), 1)
    places = [held(lane, "NAT")]
    for number in range(50):
        places.append(held(lane, "NAT", user=b"name %d" % number, is_one=False))
        places.append(held(lane, "NAT", user=b"guessed"))
    good = held(lane, "NAT", user=b"good")
    for number in range(50):
        places.append(held(lane, "NAT", user=b"another %d" % number, is_one=False))
        places.append(held(lane, "NAT", user=b"guessed"))
    for ended in range(202):
        (running,) = (place for place in (*places, good) if place and not place[0].called)
        assert (running is good) == (ended == 2)
        running[0].callback(None)
    assert len(lane) == 0


def test_strangers_and_nodes_take_turns(clock: Clock) -> None:
    """With many guessers, each at an address of its own, one of two places is for those that were never wrong."""
    lane = Lane(clock, Failures(), 1)
    for number in range(50):
        lane.failures.add(f"guesser {number}", clock.seconds())
    clock.advance(WRONG_REST)
    first = held(lane, "somebody")
    guessers = [held(lane, f"guesser {number}") for number in range(50)]
    nodes = [held(lane, f"node {number}") for number in range(2)]
    first[0].callback(None)
    order = []
    for _ in range(52):
        (running,) = (place for place in (*guessers, *nodes) if place and not place[0].called)
        order.append(running in nodes)
        running[0].callback(None)
    assert order[:4] in ([False, True, False, True], [True, False, True, False])


def test_many_that_end_at_once_need_no_stack(clock: Clock) -> None:
    """A checker that answers at once lets hundreds that waited through, one after another."""
    lane = Lane(clock, Failures(), 1)
    first = held(lane, "node")
    passed: list[int] = []

    async def through() -> None:
        async with lane.turn("node", b"shop", True, never):
            passed.append(1)

    for _ in range(400):
        Deferred.fromCoroutine(through())
    first[0].callback(None)
    assert len(passed) == 400
    assert len(lane) == 0


def test_counting_costs_the_same_for_a_few_and_for_many(clock: Clock) -> None:
    """Nothing walks over all addresses: what is touched does not grow with their number."""
    touched = 0

    class Counting(guesses.OrderedDict):  # type: ignore[name-defined, misc]
        def __iter__(self) -> Any:
            nonlocal touched
            for one in super().__iter__():
                touched += 1
                yield one

        def values(self) -> Any:
            nonlocal touched
            for one in super().values():
                touched += 1
                yield one

    failures = Failures()
    failures._counts = Counting()
    for number in range(5000):
        failures.add(number, 0)
    assert touched <= 2 * 5000
