"""How much small work is done before others have their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.http.allowance import ALLOWANCE_PERIOD, AT_ONCE, MOST_IN_PERIOD, SHARE_OF_ONE, Allowance

if TYPE_CHECKING:
    from twisted.internet.task import Clock


def test_it_is_for_all_together(clock: Clock) -> None:
    """Who comes late waits, but for a little; later there is as much again."""
    allowance = Allowance(clock)
    assert allowance.at_once() == MOST_IN_PERIOD
    allowance.spend(MOST_IN_PERIOD)

    assert allowance.at_once() == AT_ONCE
    assert not allowance.take(1)
    clock.advance(ALLOWANCE_PERIOD)
    assert allowance.at_once() == MOST_IN_PERIOD
    assert allowance.take(1)


def test_who_waits_goes_first_and_in_turn(clock: Clock) -> None:
    """Each does its share, one after the other, and no more is done at a time than may be."""
    allowance = Allowance(clock)
    allowance.spend(MOST_IN_PERIOD)
    done: list[str] = []

    def work(name: str, times: int) -> None:
        """Do a share, and wait for the next."""

        def go_on(most: int) -> None:
            assert most == SHARE_OF_ONE
            done.append(name)
            allowance.spend(most)
            if times > 1:
                work(name, times - 1)

        allowance.wait(go_on)

    allowance.at_once()
    allowance.spend(MOST_IN_PERIOD)
    work("a", 4)
    work("b", 4)
    clock.advance(ALLOWANCE_PERIOD)
    assert "".join(done) == "abab"
    assert allowance.at_once() == AT_ONCE
    clock.advance(ALLOWANCE_PERIOD)

    assert "".join(done) == "abababab"
    assert clock.getDelayedCalls() == []


def test_where_there_is_something_left_nobody_waits_long(clock: Clock) -> None:
    """The next turn of the reactor is soon enough."""
    allowance = Allowance(clock)
    done: list[int] = []
    allowance.wait(done.append)
    clock.advance(0)

    assert done == [SHARE_OF_ONE]


def test_an_error_of_one_keeps_nobody_waiting(clock: Clock) -> None:
    """Those behind it have their turn, and so has who comes later."""
    allowance = Allowance(clock)
    allowance.spend(MOST_IN_PERIOD)
    done: list[int] = []
    allowance.wait(lambda _: done[1])  # type: ignore[arg-type]
    allowance.wait(done.append)
    with pytest.raises(IndexError):
        clock.advance(ALLOWANCE_PERIOD)
    clock.advance(ALLOWANCE_PERIOD)
    allowance.wait(done.append)
    clock.advance(ALLOWANCE_PERIOD)

    assert done == [SHARE_OF_ONE] * 2
