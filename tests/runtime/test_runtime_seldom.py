"""What is logged seldom."""

from __future__ import annotations

from twisted.internet.task import Clock

from onec_twisted.runtime.seldom import MOST_IN_PERIOD, SELDOM_PERIOD, Seldom


def test_each_thing_once_a_minute() -> None:
    """Others meanwhile, and the same again later."""
    clock = Clock()
    seldom = Seldom(clock.seconds)
    assert [seldom.allows(what) for what in "aab"] == [True, False, True]
    clock.advance(SELDOM_PERIOD)
    assert seldom.allows("a")


def test_not_more_than_a_hundred_things() -> None:
    """However many strangers there are."""
    seldom = Seldom(Clock().seconds)
    assert sum(seldom.allows(number) for number in range(1000)) == MOST_IN_PERIOD
