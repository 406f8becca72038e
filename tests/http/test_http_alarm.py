"""A time-out that is moved often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from onec_twisted.http.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@define(eq=False)
class Set:
    """An alarm, its clock, when it has rung, and the timers of the reactor that it took."""

    clock: Clock = field(factory=Clock)
    rung: list[float] = field(factory=list)
    timers: list[float] = field(factory=list)
    alarm: Alarm = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the alarm."""
        reactor: Any = self
        self.alarm = Alarm(reactor, lambda: self.rung.append(round(self.clock.seconds(), 3)))

    def seconds(self) -> float:
        """Return the time, as a reactor does."""
        return self.clock.seconds()

    def callLater(self, seconds: float, call: Callable[[], None]) -> Any:
        """Call later, as a reactor does."""
        self.timers.append(seconds)
        return self.clock.callLater(seconds, call)


def test_it_rings_once_when_the_time_is_over() -> None:
    """And again only when it is set again."""
    held = Set()
    held.alarm.set(5)
    assert held.alarm.is_set
    held.clock.pump([1] * 20)
    assert not held.alarm.is_set
    held.alarm.set(1)
    held.clock.pump([1] * 20)

    assert held.rung == [5, 21]
    assert held.clock.getDelayedCalls() == []


def test_what_is_set_a_thousand_times_takes_one_timer() -> None:
    """The reactor's timer is moved when it goes off, not before."""
    held = Set()
    for _ in range(1000):
        held.alarm.set(30)
        held.alarm.stop()
        held.alarm.set(60)
        held.clock.advance(0.001)
    assert held.timers == [30]
    held.clock.pump([10] * 10)

    assert held.rung == [61]
    assert len(held.timers) <= 3


def test_no_timer_is_left_behind() -> None:
    """When its connection has ended."""
    held = Set()
    held.alarm.end()
    held.alarm.set(5)
    held.alarm.end()

    assert held.clock.getDelayedCalls() == []


@given(st.lists(st.tuples(st.sampled_from(["set", "stop", "wait"]), st.integers(1, 60)), max_size=40))
def test_it_rings_when_a_timer_of_its_own_would(steps: Sequence[tuple[str, int]]) -> None:
    """Whatever it is set to, and whenever."""
    held, expected = Set(), []
    due: float | None = None
    for step, seconds in [*steps, ("wait", 60)]:
        if step == "set":
            held.alarm.set(seconds)
            due = held.seconds() + seconds
        elif step == "stop":
            held.alarm.stop()
            due = None
        else:
            for _ in range(seconds):
                held.clock.advance(1)
                if held.seconds() == due:
                    expected.append(due)
                    due = None

    assert held.rung == expected
