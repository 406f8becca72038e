"""What the sessions of a shop may hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from onec_twisted.ingest.shoproom import ASKED_AGAIN_AFTER, READING_FRESH_FOR, ShopRoom, ShopRooms

if TYPE_CHECKING:
    from collections.abc import Awaitable


@define
class Records:
    """Records that say how much a shop holds; counts how often they are asked."""

    held: int = 0
    asked: int = 0
    waiting: list[Deferred[int]] = field(factory=list)
    is_slow: bool = False

    def ask(self) -> Awaitable[int]:
        """Tell; a slow one when ``waiting`` is fired."""
        self.asked += 1
        answer: Deferred[int] = Deferred()
        if self.is_slow:
            self.waiting.append(answer)
        else:
            answer.callback(self.held)
        return answer


@pytest.fixture
def records() -> Records:
    """Records of a shop that holds 600 bytes."""
    return Records(600)


@pytest.fixture
def room(records: Records, clock: Clock) -> ShopRoom:
    """The room of a shop that may hold 1000 bytes."""
    return ShopRoom(1000, records.ask, clock.seconds)


def look(room: ShopRoom, size: int = 1) -> None:
    """Ask the records if need be."""
    Deferred.fromCoroutine(room.look(size))


def test_what_is_on_record_and_on_its_way_is_counted(room: ShopRoom) -> None:
    """What did not come is free again at once."""
    look(room)
    assert room.left == 400
    room.take(300)
    assert room.left == 100
    room.give(300, kept=50)
    assert room.left == 350


def test_the_records_are_asked_once_a_second(room: ShopRoom, records: Records, clock: Clock) -> None:
    """Unless there is no room: then more often, for a session may have ended."""
    for _ in range(3):
        look(room, 400)
    assert records.asked == 1
    records.held = 0
    look(room, 500)
    assert (records.asked, room.left) == (1, 400)
    clock.advance(ASKED_AGAIN_AFTER)
    look(room, 500)
    assert (records.asked, room.left) == (2, 1000)
    clock.advance(READING_FRESH_FOR)
    look(room)
    assert records.asked == 3


def test_a_body_that_ends_while_the_records_are_asked(room: ShopRoom, records: Records) -> None:
    """Is in the answer, or not: it is counted."""
    look(room)
    room.take(300)
    records.is_slow = True
    room._read_at = float("-inf")
    look(room)
    room.give(300, kept=300)
    room.take(50)
    records.waiting[0].callback(600)
    assert room.left == 1000 - 600 - 300 - 50


@given(
    st.lists(st.tuples(st.sampled_from(["come", "end", "break", "look", "init"]), st.integers(1, 400)), max_size=60)
)
def test_never_more_than_the_quota(steps: list[tuple[str, int]]) -> None:
    """Whatever comes, ends and breaks off: what is on record stays within it."""
    clock, records = Clock(), Records(0)
    room = ShopRoom(1000, records.ask, clock.seconds)
    on_way: list[int] = []
    for step, size in steps:
        if step == "look":
            clock.advance(size / 100)
        elif step == "init":
            records.held = 0
        elif step == "come":
            look(room, size)
            if size <= room.left:
                room.take(size)
                on_way.append(size)
        elif on_way:
            ended = on_way.pop(size % len(on_way))
            kept = ended if step == "end" else 0
            records.held += kept
            room.give(ended, kept)
        assert records.held + sum(on_way) <= 1000
        assert room.left <= 1000 - sum(on_way)


def test_a_reload_keeps_what_is_on_its_way(clock: Clock) -> None:
    """Only the quota is another; a shop without one has no room to look at."""
    asked: list[str] = []

    def held(shop: str) -> Awaitable[int]:
        asked.append(shop)
        return Records(10).ask()

    rooms = ShopRooms(held, clock.seconds)
    assert rooms.of("north:anna") is None
    rooms.set_quotas({"north": 100, "default": 50})
    north = rooms.of("north:anna")
    assert north is not None
    look(north)
    north.take(20)
    rooms.set_quotas({"north": 40})
    assert rooms.of("north:boris") is north
    assert (north.left, rooms.of("anna"), asked) == (10, None, ["north"])
