"""Refused requests are collected, and put on record now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve, field
from in_memory import flush_failures
from records import now_of

from onec_twisted.catalog import refused
from onec_twisted.catalog.refused import RefusedRequests
from onec_twisted.model.errors import CatalogBusy
from onec_twisted.model.journal import RefusalLine, RefusedRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE = RefusedRequest("shop", "192.0.2.1", "", 401, "invalid_credentials", "Wrong", "GET /")


@define
class Notes:
    """A journal that remembers what it is told, or fails."""

    noted: list[Sequence[RefusalLine]] = field(factory=list)
    fails: Exception | None = None

    async def note_refusals(self, refusals: Sequence[RefusalLine]) -> None:
        """Note some."""
        if self.fails is not None:
            raise self.fails
        self.noted.append(refusals)


def made(notes: Any) -> RefusedRequests:
    """Return a collection whose time is the number of refusals so far."""
    times = iter(range(10_000))
    return RefusedRequests(notes, lambda: float(next(times)))


def test_equal_ones_are_one() -> None:
    """With a count, and the times of the first and the last."""
    notes = Notes()
    collection = made(notes)
    for one in (ONE, ONE, evolve(ONE, address="192.0.2.2"), ONE):
        collection.note(one)
    now_of(collection.flush())

    ((first, second),) = notes.noted
    assert (first.first, first.last, first.count, first.username) == (0.0, 3.0, 3, "shop")
    assert (second.first, second.last, second.count, second.address) == (2.0, 2.0, 1, "192.0.2.2")
    now_of(collection.flush())
    assert len(notes.noted) == 1


def test_a_flood_is_bounded() -> None:
    """A thousand addresses are as many lines as one record may have."""
    notes = Notes()
    collection = made(notes)
    for number in range(1000):
        collection.note(evolve(ONE, address=f"{number}"))
    now_of(collection.flush())

    assert [len(noted) for noted in notes.noted] == [refused.MOST_COLLECTED]


@pytest.mark.parametrize(("error", "logged"), [(CatalogBusy("held"), 0), (ValueError("odd"), 1)])
def test_a_record_that_fails(error: Exception, logged: int, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is logged once, and the next ones are recorded."""
    notes = Notes(fails=error)
    collection = made(notes)
    collection.note(ONE)
    now_of(collection.flush())
    assert len(flush_failures(nothing_left_behind)) == logged
    notes.fails = None
    collection.note(ONE)
    now_of(collection.flush())

    assert [len(noted) for noted in notes.noted] == [1]
