"""Who is next in the line of a user: the oldest that is not held back by an older one of its type."""

from __future__ import annotations

from typing import Any

from handed_off import handoff
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from onec_twisted.delivery.lines import Line, Pending

NUMBERS = st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["catalog", "sale"])), unique_by=lambda one: one[0])


def pending(number: int, exchange_type: str = "catalog", **changes: Any) -> Pending:
    """Return a hand-off that is to be delivered."""
    return Pending(handoff(number=number, type=exchange_type, **changes))


@given(NUMBERS)
def test_the_oldest_is_next(order: list[tuple[int, str]]) -> None:
    """In whatever order they were added, and nothing is left in the end."""
    line = Line()
    for number, exchange_type in order:
        line.add(pending(number, exchange_type))
    found = []
    while (first := line.next()) is not None:
        found.append(first.handoff.number)
        line.remove(first)

    assert found == sorted(number for number, _ in order)
    assert line.empty


def test_a_pause_holds_back_its_type_alone() -> None:
    """Until it is over; who waits is told for what."""
    line = Line()
    first, second, other = pending(1, filename="a.xml"), pending(2), pending(3, "sale")
    for one in (other, second, first):
        line.add(one)
    first.pause, first.progress = Clock().callLater(1, print), "The site is asleep - try 2 of 3 in 1 s"
    assert line.next() is other
    assert line.said_of(second) == "Import waits for an earlier one, a.xml: The site is asleep - try 2 of 3 in 1 s"
    assert line.said_of(other) == "Import waits for its turn"
    assert line.said_of(first) == first.progress
    other.pause = first.pause
    assert line.next() is None
    first.pause = None

    assert line.next() is first
    assert line.said_of(second) == "Import waits for its turn"


def test_progress_is_one_harmless_line() -> None:
    """An empty one changes nothing."""
    one = pending(1)
    one.note_progress("10 %\n\x1b[2J of it ")
    one.note_progress(" \n")

    assert one.progress == "10 % \\x1b[2J of it"
