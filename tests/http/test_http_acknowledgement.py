"""Whether an answer has reached its reader's machine."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.http.acknowledgement import LAST_CHANCE, Acknowledgement
from onec_twisted.http.interfaces import ILine


@implementer(ILine)
@define
class Line:
    """A line whose kernel says what the test wants."""

    left: int = 100
    ended: bool = False
    closed: int = 0

    def unacknowledged(self) -> int:
        """See ``ILine``."""
        return self.left

    def over(self) -> bool:
        """See ``ILine``."""
        return self.ended

    def close(self) -> None:
        """See ``ILine``."""
        self.closed += 1


@define(eq=False)
class Watched:
    """An acknowledgement, its line and its time."""

    clock: Clock = field(factory=Clock)
    line: Line = field(factory=Line)
    decided: list[bool] = field(factory=list)
    acknowledgement: Acknowledgement = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the acknowledgement."""
        self.acknowledgement = Acknowledgement(self.clock, self.decided.append)

    def known(self, patience: float = 2.0) -> list[Any]:
        """Ask for the outcome; the list holds it once it is known."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(self.acknowledgement.known(patience)).addBoth(outcome.append)
        return outcome


def test_it_is_what_it_says() -> None:
    """The line here provides what an acknowledgement asks."""
    assert verifyObject(ILine, Line())


def test_acknowledged_after_a_while() -> None:
    """The kernel is asked again and again, and no more when it knows."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    watched.clock.pump([0.01] * 500)
    assert watched.decided == []
    watched.line.left = 0
    watched.clock.advance(1)

    assert (watched.decided, watched.line.closed) == ([True], 1)
    assert watched.clock.getDelayedCalls() == []
    assert watched.known() == [True]


def test_a_request_that_comes_brings_the_acknowledgement() -> None:
    """Nothing is waited for then."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    watched.line.left = 0
    watched.acknowledgement.look()

    assert watched.decided == [True]


@pytest.mark.parametrize(("left", "arrived"), [(0, True), (7, False)])
def test_a_connection_that_was_reset(left: int, arrived: bool) -> None:
    """The kernel is asked once more, before the socket is closed."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    watched.line.left, watched.line.ended = left, True
    watched.acknowledgement.lost()

    assert (watched.decided, watched.line.closed) == ([arrived], 1)
    assert watched.clock.getDelayedCalls() == []


@pytest.mark.parametrize("comes", [True, False])
def test_a_connection_that_we_closed(comes: bool) -> None:
    """The acknowledgement may still be on its way, for a while."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    watched.acknowledgement.lost()
    watched.clock.advance(LAST_CHANCE / 2)
    assert watched.decided == []
    watched.line.left = 0 if comes else 1
    watched.clock.pump([0.1] * 40)

    assert watched.decided == [comes]


def test_a_connection_lost_before_the_answer_was_written() -> None:
    """It has not arrived."""
    watched = Watched()
    watched.acknowledgement.lost()
    watched.acknowledgement.sent(watched.line)

    assert (watched.decided, watched.line.closed) == ([False], 1)


def test_a_line_that_cannot_be_asked() -> None:
    """What was written counts as arrived."""
    watched = Watched()
    watched.acknowledgement.sent(None)

    assert watched.decided == [True]


@pytest.mark.parametrize("comes", [True, False])
def test_whoever_asks_waits_a_while(comes: bool) -> None:
    """An answer that is still open then has not arrived."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    outcome = watched.known()
    watched.clock.advance(1.9)
    assert outcome == []
    watched.line.left = 0 if comes else 1
    if comes:
        watched.acknowledgement.look()
    watched.clock.advance(0.2)

    assert outcome == [comes]
    assert watched.decided == [comes]
    assert watched.clock.getDelayedCalls() == []


def test_forgotten() -> None:
    """Nobody is told, and nothing is left behind."""
    watched = Watched()
    watched.acknowledgement.sent(watched.line)
    watched.acknowledgement.forget()
    watched.acknowledgement.forget()

    assert (watched.decided, watched.line.closed) == ([], 1)
    assert watched.clock.getDelayedCalls() == []
