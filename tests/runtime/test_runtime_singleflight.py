"""One call for all who ask for the same thing at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred

from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from twisted.python.failure import Failure


@define
class Source:
    """Answers when a test says so."""

    calls: list[Deferred[int]] = field(factory=list)

    async def ask(self) -> int:
        """Return what the test gives."""
        self.calls.append(Deferred())
        return await self.calls[-1]


@pytest.fixture
def flight() -> SingleFlight[int]:
    """No call yet."""
    return SingleFlight()


@pytest.fixture
def source() -> Source:
    """What is asked."""
    return Source()


def test_those_who_ask_meanwhile_have_one_answer(flight: SingleFlight[int], source: Source) -> None:
    """In the order in which they asked."""
    heard: list[tuple[str, int]] = []

    def hear(answer: int, name: str) -> None:
        heard.append((name, answer))

    for name in "abc":
        flight.call("x", source.ask).addCallback(hear, name)
    (call,) = source.calls
    call.callback(7)

    assert heard == [("a", 7), ("b", 7), ("c", 7)]


def test_what_was_answered_is_asked_anew(flight: SingleFlight[int], source: Source) -> None:
    """Also by one who asks as soon as it has its answer."""
    first = flight.call("x", source.ask).addCallback(lambda _: flight.call("x", source.ask))
    source.calls[0].callback(1)
    source.calls[1].callback(2)

    assert first.result == 2


def test_an_answer_that_is_there_at_once(flight: SingleFlight[int]) -> None:
    """Waits for nothing, and is not kept."""

    async def ask() -> int:
        return len(asked)

    asked = [1]
    assert flight.call("x", ask).result == 1
    asked.append(2)
    assert flight.call("x", ask).result == 2


def test_other_keys_are_other_calls(flight: SingleFlight[int], source: Source) -> None:
    """Each has its own answer."""
    one, two = flight.call("x", source.ask), flight.call("y", source.ask)
    source.calls[1].callback(2)

    assert two.result == 2
    assert not one.called


def test_a_failure_is_everybodys(flight: SingleFlight[int], source: Source) -> None:
    """And the next one asks again."""
    heard: list[BaseException | None] = []

    def hear(failure: Failure) -> None:
        heard.append(failure.value)

    for _ in range(2):
        flight.call("x", source.ask).addErrback(hear)
    gone = OSError("gone")
    source.calls[0].errback(gone)
    flight.call("x", source.ask)

    assert heard == [gone, gone]
    assert len(source.calls) == 2
