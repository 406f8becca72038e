"""Room that is promised before a byte is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define
from twisted.internet.defer import Deferred, succeed

from onec_twisted.ingest.space import READING_FRESH_FOR, Space
from onec_twisted.model.errors import InsufficientStorage
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from twisted.internet.task import Clock


QUOTA = 700
"""Bytes that a session may hold."""


@define
class Disk:
    """A disk with so many bytes left; counts how often it is asked."""

    left: int = 1000
    asked: int = 0

    def free(self) -> Deferred[int]:
        """Tell."""
        self.asked += 1
        return succeed(self.left)


@pytest.fixture
def disk() -> Disk:
    """A disk with 1000 bytes left."""
    return Disk()


@pytest.fixture
def space(disk: Disk, clock: Clock) -> Space:
    """Room of which 100 bytes are to stay free."""
    return Space(disk.free, clock.seconds, min_free=100)


def look(space: Space) -> None:
    """Read what the disk has left."""
    assert Deferred.fromCoroutine(space.look()).called


def body(length: int | None, received: int = 0) -> FakeBody:
    """Return a body of which a part has come."""
    fake = FakeBody(length)
    fake.feed(b"x" * received)
    return fake


def test_room_to_keep(space: Space, disk: Disk, clock: Clock) -> None:
    """As much as a session may hold, if the disk has that left."""
    for left, room in ((1000, 700), (500, 400), (50, 0)):
        disk.left = left
        clock.advance(READING_FRESH_FOR)
        look(space)
        assert space.room_to_keep(QUOTA) == room


def test_a_body_that_fits(space: Space) -> None:
    """It may have what it announces."""
    look(space)
    with space.promise("s", QUOTA, body(700), 5000) as room:
        assert room == 700


@pytest.mark.parametrize(("held", "length"), [(0, 701), (650, 51), (700, 1), (800, 0)])
def test_a_body_over_the_quota(space: Space, held: int, length: int) -> None:
    """What the session holds is counted."""
    look(space)
    with pytest.raises(InsufficientStorage), space.promise("s", QUOTA - held, body(length), 5000):
        pass


def test_bodies_that_are_coming_are_counted(space: Space) -> None:
    """Of one session for the quota, of all for the disk."""
    look(space)
    with space.promise("s", QUOTA, body(500), 5000):
        with pytest.raises(InsufficientStorage), space.promise("s", QUOTA, body(201), 5000):
            pass
        with pytest.raises(InsufficientStorage), space.promise("t", QUOTA, body(401), 5000):
            pass
        with space.promise("t", QUOTA, body(400), 5000):
            pass


def test_the_rest_of_a_running_body_is_counted(space: Space, disk: Disk, clock: Clock) -> None:
    """What it has written is missing on the disk already; what is to come is not yet."""
    look(space)
    with space.promise("s", QUOTA, body(500, received=300), 5000):
        disk.left = 700
        clock.advance(READING_FRESH_FOR)
        look(space)
        with pytest.raises(InsufficientStorage), space.promise("t", QUOTA, body(401), 5000):
            pass
        with space.promise("t", QUOTA, body(400), 5000):
            pass


@pytest.mark.parametrize(("held", "most", "room"), [(0, 600, 600), (0, 5000, 700), (690, 5000, 10), (700, 5000, 0)])
def test_a_body_without_a_length_may_have_what_is_there(space: Space, held: int, most: int, room: int) -> None:
    """Chunked bodies are cut off there."""
    look(space)
    with space.promise("s", QUOTA - held, body(None), most) as given:
        assert given == room


def test_the_disk_is_asked_once_a_second(space: Space, disk: Disk, clock: Clock) -> None:
    """A thousand pictures a second do not ask a thousand times."""
    for _ in range(3):
        look(space)
    assert disk.asked == 1
    clock.advance(READING_FRESH_FOR)
    look(space)

    assert disk.asked == 2


def test_room_comes_back(space: Space, disk: Disk, clock: Clock) -> None:
    """When a body has ended, its promise is forgotten with it."""
    look(space)
    with space.promise("s", QUOTA, body(700), 5000):
        pass
    assert space._promised == {}
    clock.advance(READING_FRESH_FOR)
    look(space)
    with space.promise("s", QUOTA, body(700), 5000):
        pass


def test_room_that_a_body_did_not_use_comes_back_at_once(space: Space) -> None:
    """A chunked body is promised more than it brings; the next ones need not wait for a new reading."""
    look(space)
    for _ in range(10):
        coming = body(None)
        with space.promise("s", QUOTA, coming, 600):
            coming.feed(b"x")
    with space.promise("s", QUOTA, body(700), 5000) as room:
        assert room == 700


def test_empty_bodies_end_in_any_order(space: Space) -> None:
    """Nothing is reserved for one of them, so nothing has to be there when it ends: others may have ended before."""
    look(space)
    for length in (0, 700):
        outer, inner = (space.promise("s", QUOTA, body(size), 5000, user="shop") for size in (0, length))
        with outer, inner:
            pass
    assert (space._of, space._promised) == ({}, {})


def test_who_comes_first_goes_on_first(clock: Clock) -> None:
    """Bodies that come while the disk is asked wait for one answer, and keep their order; or all hear why not."""
    asked: list[Deferred[int]] = []

    def free() -> Deferred[int]:
        asked.append(Deferred())
        return asked[-1]

    space = Space(free, clock.seconds, min_free=0)
    order: list[object] = []

    async def ask(number: int) -> None:
        try:
            await space.look()
            order.append(number)
        except OSError as error:
            order.append(str(error))

    for number in range(3):
        Deferred.fromCoroutine(ask(number))
    (only,) = asked
    only.errback(OSError("no disk"))
    assert order == ["no disk"] * 3
    order.clear()
    for number in range(3):
        Deferred.fromCoroutine(ask(number))
    asked[-1].callback(100)

    assert (order, len(asked)) == ([0, 1, 2], 2)
