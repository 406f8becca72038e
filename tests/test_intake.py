"""A body on its way to the disk."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.errors import ConnectionDropped, InsufficientStorage
from onec_twisted.intake import ENOUGH, HIGH_WATER, INTAKES, LOW_WATER, BufferedIntake, receive
from onec_twisted.interfaces import IBodyConsumer, IPieceFile
from onec_twisted.testing import FakeBody, LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Sequence


@implementer(IPieceFile)
@define(eq=False)
class MemoryFile:
    """A file in memory, and what happened to it."""

    data: bytes = b""
    state: str = "open"
    opened: int = 0
    fails: BaseException | None = None
    chunks: list[int] = field(factory=list)

    def open(self) -> MemoryFile:
        """Count."""
        self.opened += 1
        return self

    def write(self, chunks: Sequence[bytes]) -> None:
        """See ``IPieceFile``."""
        if self.fails is not None:
            raise self.fails
        self.data += b"".join(chunks)
        self.chunks.append(len(chunks))

    def splice(self, pipe: int, size: int) -> None:
        """See ``IPieceFile``."""
        self.write([os.read(pipe, size)])

    def finish(self) -> None:
        """See ``IPieceFile``."""
        self.state = "finished"

    def repeats(self, start: int) -> bool:
        """See ``IPieceFile``."""
        return False

    def roll_back(self) -> None:
        """See ``IPieceFile``."""
        self.state = "rolled back"


@define(eq=False)
class Receiving:
    """A body that is received by workers which a test sets going."""

    workers: LateWorkers = field(factory=LateWorkers)
    body: FakeBody = field(factory=FakeBody)
    file: MemoryFile = field(factory=MemoryFile)
    outcome: list[Any] = field(factory=list)

    def start(self) -> Receiving:
        """Begin."""
        intake = INTAKES["auto"](self.body, self.workers, self.file.open)
        coroutine = receive(self.body, intake, 10**9, ValueError(), self.workers)
        Deferred.fromCoroutine(coroutine).addCallbacks(
            self.outcome.append, lambda failure: self.outcome.append(failure.value)
        )
        return self


def test_they_are_what_they_say() -> None:
    """The intake provides what a body asks of it, and the file here what the intake asks."""
    assert verifyObject(IBodyConsumer, BufferedIntake(FakeBody(), inline, MemoryFile))
    assert verifyObject(IPieceFile, MemoryFile())


def test_a_small_body_costs_one_hop() -> None:
    """Opened, written, synced and closed in one go."""
    receiving = Receiving().start()
    receiving.body.feed(b"a" * 50_000)
    receiving.body.end()
    assert receiving.outcome == []
    receiving.workers.run()

    assert receiving.outcome == [50_000]
    assert (receiving.file.state, receiving.file.data) == ("finished", b"a" * 50_000)
    assert (receiving.workers.hops, receiving.file.opened) == (1, 1)


def test_an_empty_body_makes_a_file() -> None:
    """It is opened and closed."""
    receiving = Receiving().start()
    receiving.body.end()
    receiving.workers.run()

    assert (receiving.outcome, receiving.file.state) == ([0], "finished")


@pytest.mark.parametrize("seed", range(20))
def test_bytes_arrive_in_order_whatever_the_disk_does(seed: int) -> None:
    """Chunks of any size, workers that are late by any time, one at a time; the file is opened once."""
    chance = random.Random(seed)
    receiving = Receiving().start()
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
    receiving = Receiving().start()
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
    receiving = Receiving().start()
    receiving.body.feed(b"x" * ENOUGH)
    for _ in range(10):
        receiving.body.feed(b"y" * 1000)
    receiving.workers.run()
    receiving.body.end()
    receiving.workers.run()

    assert receiving.file.chunks == [1, 10]


@pytest.mark.parametrize("fed", [0, 10, ENOUGH, ENOUGH * 2])
def test_a_body_that_breaks_off_is_rolled_back(fed: int) -> None:
    """After what a worker was writing; a file that was never opened stays so."""
    receiving = Receiving().start()
    receiving.body.feed(b"x" * fed)
    reason = ConnectionDropped()
    receiving.body.drop(reason)
    while not receiving.outcome:
        receiving.workers.run()

    assert receiving.outcome == [reason]
    assert receiving.file.state == ("rolled back" if fed >= ENOUGH else "open")
    assert receiving.file.opened == (1 if fed >= ENOUGH else 0)


@pytest.mark.parametrize("ended", [True, False])
def test_a_disk_that_fails_ends_the_body(ended: bool) -> None:
    """In the middle, or when the last byte has come already."""
    reason = InsufficientStorage()
    receiving = Receiving(file=MemoryFile(fails=reason)).start()
    receiving.body.feed(b"x" * ENOUGH)
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

    body = FakeBody()
    outcome: list[Any] = []
    intake = BufferedIntake(body, inline, cannot)
    Deferred.fromCoroutine(receive(body, intake, 10**9, ValueError(), inline)).addErrback(outcome.append)
    body.end()

    assert outcome[0].value is reason
