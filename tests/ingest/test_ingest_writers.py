"""A body on its way to the disk."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from writing import MemoryFile, Receiving
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.http.interfaces import IBodyConsumer, IBodySource, ISocketConsumer
from onec_twisted.http.sources import SocketSource
from onec_twisted.ingest.writers import (
    HIGH_WATER,
    LOW_WATER,
    WAITS_IN_TURN,
    WRITE_SIZE,
    BufferedWriter,
    DirectWriter,
)
from onec_twisted.model.errors import ConnectionDropped, InsufficientStorage
from onec_twisted.storage.interfaces import IStoredFile
from onec_twisted.testing import FakeBody, LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_they_are_what_they_say() -> None:
    """The intakes provide what a body asks of them, and the file here what the intakes ask."""
    assert verifyObject(IBodyConsumer, BufferedWriter(FakeBody(), inline, MemoryFile))
    assert verifyObject(ISocketConsumer, DirectWriter(FakeBody(), inline, MemoryFile))
    assert verifyObject(IStoredFile, MemoryFile())


def test_a_small_body_costs_one_hop() -> None:
    """Opened, written, synced and closed in one go."""
    receiving = Receiving().begin()
    receiving.body.feed(b"a" * 50_000)
    receiving.body.end()
    assert receiving.outcome == []
    receiving.workers.run()

    assert receiving.outcome == [50_000]
    assert (receiving.file.state, receiving.file.data) == ("finished", b"a" * 50_000)
    assert (receiving.workers.hops, receiving.file.opened) == (1, 1)


def test_an_empty_body_makes_a_file() -> None:
    """It is opened and closed."""
    receiving = Receiving().begin()
    receiving.body.end()
    receiving.workers.run()

    assert (receiving.outcome, receiving.file.state) == ([0], "finished")


@pytest.mark.parametrize("seed", range(20))
def test_bytes_arrive_in_order_whatever_the_disk_does(seed: int) -> None:
    """Chunks of any size, workers that are late by any time, one at a time; the file is opened once."""
    chance = random.Random(seed)
    receiving = Receiving().begin()
    sent = b""
    for _ in range(200):
        if not receiving.body.paused:
            chunk = chance.randbytes(chance.choice([1, 100, 65536]))
            sent += chunk
            receiving.body.feed(chunk)
        if chance.random() < 0.3:
            receiving.workers.run()
        assert receiving.workers.waiting <= 1
    receiving.body.end()
    while not receiving.outcome:
        receiving.workers.run()

    assert receiving.outcome == [len(sent)]
    assert receiving.file.data == sent
    assert receiving.file.opened == 1


def test_memory_is_bounded() -> None:
    """A sender faster than the disk is held back under 1 MiB, and let go when there is room."""
    receiving = Receiving().begin()
    while not receiving.body.paused:
        receiving.body.feed(b"x" * 65536)
    assert HIGH_WATER <= receiving.body.received < HIGH_WATER + 65536
    while receiving.body.paused:
        receiving.workers.run()
    assert receiving.body.received - len(receiving.file.data) <= LOW_WATER
    receiving.body.end()
    receiving.workers.run()
    receiving.workers.run()

    assert receiving.file.state == "finished"


def test_a_hop_carries_what_came_in_meanwhile() -> None:
    """A slow disk makes hops larger, not more."""
    receiving = Receiving().begin()
    receiving.body.feed(b"x" * WRITE_SIZE)
    for _ in range(10):
        receiving.body.feed(b"y" * 1000)
    receiving.workers.run()
    receiving.body.end()
    receiving.workers.run()

    assert receiving.file.chunks == [1, 10]


@pytest.mark.parametrize("fed", [0, 10, WRITE_SIZE, WRITE_SIZE * 2])
def test_a_body_that_breaks_off_is_rolled_back(fed: int) -> None:
    """After what a worker was writing; a file that was never opened stays so."""
    receiving = Receiving().begin()
    receiving.body.feed(b"x" * fed)
    reason = ConnectionDropped()
    receiving.body.drop(reason)
    while not receiving.outcome:
        receiving.workers.run()

    assert receiving.outcome == [reason]
    assert receiving.file.state == ("rolled back" if fed >= WRITE_SIZE else "open")
    assert receiving.file.opened == (1 if fed >= WRITE_SIZE else 0)


@pytest.mark.parametrize("ended", [True, False])
def test_a_disk_that_fails_ends_the_body(ended: bool) -> None:
    """In the middle, or when the last byte has come already."""
    reason = InsufficientStorage()
    receiving = Receiving(file=MemoryFile(fails=reason)).begin()
    receiving.body.feed(b"x" * WRITE_SIZE)
    if ended:
        receiving.body.end()
    while not receiving.outcome:
        receiving.workers.run()

    assert receiving.outcome == [reason]
    assert receiving.file.state == "rolled back"
    assert receiving.body.dropped is (None if ended else reason)


def test_a_file_that_cannot_be_opened() -> None:
    """There is nothing to roll back."""
    reason = InsufficientStorage()

    def cannot() -> MemoryFile:
        raise reason

    receiving = Receiving(workers=inline).begin(cannot)
    receiving.body.end()

    assert receiving.outcome == [reason]


def test_memory_is_bounded_all_the_more_when_many_wait() -> None:
    """While all workers are busy, what comes stays in the kernel."""
    receiving = Receiving()
    receiving.workers.is_crowded = True
    receiving.begin()
    receiving.body.feed(b"x" * WRITE_SIZE)
    assert receiving.body.paused
    receiving.workers.run()
    assert not receiving.body.paused
    receiving.body.end()
    receiving.workers.run()

    assert receiving.outcome == [WRITE_SIZE]


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection; ours does not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@define(eq=False)
class Moving:
    """An intake that moves what waits in a socket, when a test says so."""

    file: MemoryFile = field(factory=MemoryFile)
    body: FakeBody = field(factory=FakeBody)
    workers: LateWorkers = field(factory=LateWorkers)
    moved: list[int] = field(factory=list)
    intake: DirectWriter = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the intake."""
        self.intake = DirectWriter(self.body, self.workers, self.file.open)

    def move(self, ours: socket.socket, most: int) -> None:
        """Begin to move."""
        self.intake.move(SocketSource(ours.fileno()), most).addCallback(self.moved.append)


Line = tuple[socket.socket, socket.socket]


def test_what_was_read_before_comes_first(line: Line) -> None:
    """What a worker writes already, what waits in memory, and then what waits in the socket, in two hops."""
    ours, theirs = line
    moving = Moving()
    moving.intake.write(b"a" * WRITE_SIZE)
    moving.intake.write(b"b")
    theirs.sendall(b"c" * 1000)
    moving.move(ours, 900)
    moving.workers.run()
    moving.workers.run()

    assert moving.moved == [900]
    assert moving.file.data == b"a" * WRITE_SIZE + b"b" + b"c" * 900
    assert moving.workers.hops == 2
    assert ours.recv(1000) == b"c" * 100


def test_a_socket_that_has_nothing(line: Line) -> None:
    """Or nothing more: nothing has left it, and whoever reads next finds out why."""
    ours, theirs = line
    moving = Moving()
    moving.move(ours, 10)
    moving.workers.run()
    theirs.close()
    moving.move(ours, 10)
    moving.workers.run()
    ours.close()
    moving.intake.move(SocketSource(10**6), 10).addCallback(moving.moved.append)  # no descriptor at all
    moving.workers.run()

    assert moving.moved == [0, 0, 0]
    assert moving.file.data == b""
    assert moving.body.dropped is None


def test_a_disk_that_fails_while_bytes_move(line: Line) -> None:
    """The body is dropped; what has left the socket is counted, and lies in no pipe that another body gets."""
    ours, theirs = line
    theirs.sendall(b"lost")
    moving = Moving(MemoryFile(fails=InsufficientStorage(), fails_after=0))
    moving.move(ours, 10)
    moving.workers.run()
    assert moving.moved == [4]
    assert isinstance(moving.body.dropped, InsufficientStorage)

    theirs.sendall(b"next")
    after = Moving()
    after.move(ours, 4)
    after.workers.run()
    assert after.file.data == b"next"


def test_a_body_that_ends_meanwhile(line: Line) -> None:
    """One that is rolled back moves nothing any more."""
    ours, theirs = line
    theirs.sendall(b"late")
    moving = Moving()
    moving.intake.write(b"a" * WRITE_SIZE)
    moving.move(ours, 10)
    rolled_back = Deferred.fromCoroutine(moving.intake.roll_back())
    while not rolled_back.called:
        moving.workers.run()

    assert moving.moved == [0]
    assert moving.file.state == "rolled back"
    assert ours.recv(10) == b"late"


def test_a_worker_lets_others_have_their_turn(line: Line) -> None:
    """When calls wait for a thread, it comes back after one load of its pipe."""
    ours, theirs = line
    theirs.sendall(b"x" * 1000)
    moving = Moving()
    moving.workers.is_crowded = True
    moving.move(ours, 10**9)
    moving.workers.run()

    assert moving.moved == [1000]


@implementer(IBodySource)
@define(eq=False)
class Told(SocketSource):
    """A source that is read as a test says: bytes, None when none are complete."""

    descriptor: int
    told: list[bytes | None]
    reads: int = 0
    is_plain = False

    def __attrs_post_init__(self) -> None:
        """Have a descriptor, which is readable or not."""
        super().__init__(self.descriptor)

    def read(self, most: int) -> memoryview | None:
        """Return what was said, and nothing behind it."""
        self.reads += 1
        said = self.told.pop(0) if self.told else b""
        return None if said is None else memoryview(said)


@pytest.mark.parametrize(
    ("told", "data", "reads"),
    [
        ([b"a", b"b"], b"ab", 3),
        ([None, b"a", None, None, b"b"], b"ab", 6),  # records that come in parts
        ([b"a", None, None, None, None, b"b"], b"a", 5),  # readable, but never complete
        ([b"a", b"", b"b"], b"a", 2),
    ],
)
def test_a_worker_waits_a_few_times(line: Line, told: list[bytes | None], data: bytes, reads: int) -> None:
    """While bytes come that are not complete, and not for ever."""
    ours, theirs = line
    theirs.send(b"?")
    moving = Moving()
    source = Told(ours.fileno(), told)
    moving.intake.move(source, 10).addCallback(moving.moved.append)
    moving.workers.run()

    assert (moving.moved, moving.file.data, source.reads) == ([len(data)], data, reads)


def test_a_worker_comes_back_from_a_sender_that_trickles(line: Line) -> None:
    """However often a byte arrives in time: until then its rate is not checked, and nothing of it is recorded."""
    ours, theirs = line
    theirs.send(b"?")
    moving = Moving()
    source = Told(ours.fileno(), [None, b"a"] * (WAITS_IN_TURN + 1))
    moving.intake.move(source, 10**9).addCallback(moving.moved.append)
    moving.workers.run()

    assert moving.moved == [WAITS_IN_TURN]
    assert moving.file.data == b"a" * WAITS_IN_TURN


def test_a_worker_does_not_wait_while_others_do(line: Line) -> None:
    """Nor where nothing comes."""
    ours, theirs = line
    moving = Moving()
    moving.workers.is_crowded = True
    theirs.send(b"?")
    crowded = Told(ours.fileno(), [None, b"a"])
    moving.intake.move(crowded, 10).addCallback(moving.moved.append)
    moving.workers.run()
    moving.workers.is_crowded = False
    ours.recv(1)
    silent = Told(ours.fileno(), [None, b"a"])
    moving.intake.move(silent, 10).addCallback(moving.moved.append)
    moving.workers.run()

    assert moving.moved == [0, 0]
    assert (crowded.reads, silent.reads) == (1, 1)
