"""Totals by the minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from in_memory import NOW, flush_failures
from records import now_of
from twisted.internet.defer import succeed

from onec_twisted.daemon.minutes import MINUTES_KEPT, Minutes
from onec_twisted.model.errors import CatalogBusy, FileTooLarge
from onec_twisted.model.journal import Minute
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

MINUTE = int(NOW // 60)


@define
class Notes:
    """A journal that remembers what it is told, or fails."""

    noted: list[tuple[Minute, int]] = field(factory=list)
    fails: Exception | None = None

    async def note_minute(self, minute: Minute, oldest: int) -> None:
        """Note one."""
        if self.fails is not None:
            raise self.fails
        self.noted.append((minute, oldest))


def free() -> Deferred[int]:
    """Return what is free."""
    return succeed(77)


def made(notes: Any, metrics: Metrics) -> Minutes:
    """Return totals of these counters."""
    return Minutes(notes, metrics, free, lambda: NOW)


def test_what_has_come_since_the_last_time() -> None:
    """Not what was there before; and how much is free then."""
    notes, metrics = Notes(), Metrics()
    metrics.body(100, 100)
    minutes = made(notes, metrics)
    metrics.body(10, 8)
    metrics.refused(FileTooLarge())
    for outcome in ("succeeded", "failed", "interrupted"):
        metrics.tried(outcome, "shop")
    now_of(minutes.once())
    metrics.body(5, 5)
    now_of(minutes.once())

    oldest = MINUTE - MINUTES_KEPT
    assert notes.noted == [
        (Minute(MINUTE, 10, 8, 2, 1, 1, 2, 77), oldest),
        (Minute(MINUTE, 5, 5, 0, 0, 0, 0, 77), oldest),
    ]


@pytest.mark.parametrize(("error", "logged"), [(CatalogBusy("held"), 0), (ValueError("odd"), 1)])
def test_what_could_not_be_recorded(error: Exception, logged: int, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is part of the next record."""
    notes, metrics = Notes(fails=error), Metrics()
    minutes = made(notes, metrics)
    metrics.body(10, 10)
    now_of(minutes.once())
    assert len(flush_failures(nothing_left_behind)) == logged
    notes.fails = None
    metrics.body(1, 1)
    now_of(minutes.once())

    assert [minute.received for minute, _ in notes.noted] == [11]
