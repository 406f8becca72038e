"""Totals by the minute, which the journal remembers when the daemon's own counters begin anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted.model.errors import CatalogBusy, StorageRemoved
from onec_twisted.model.journal import Minute

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog.journal import Journal
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["MINUTES_INTERVAL", "MINUTES_KEPT", "Minutes"]

MINUTES_INTERVAL = 60.0
"""Seconds between two records of totals."""

MINUTES_KEPT = 8 * 24 * 60
"""Minutes that are remembered: a week, and the day before it."""


@define(eq=False)
class Minutes:
    """Records what the counters have grown by. ``free`` returns the free bytes of the disk, ``now`` Unix time."""

    journal: Journal
    metrics: Metrics
    free: Callable[[], Deferred[int]]
    now: Callable[[], float]
    _before: tuple[int, ...] = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Begin with what the counters say now."""
        self._before = self._counted()

    def _counted(self) -> tuple[int, ...]:
        metrics = self.metrics
        failures = metrics.tries["failed"] + metrics.tries["interrupted"]
        refusals = sum(metrics.refusals.values())
        return metrics.received, metrics.accepted, metrics.discarded, refusals, metrics.tries["succeeded"], failures

    def once(self) -> Deferred[None]:
        """Record the totals since the last time; what cannot be recorded is part of the next ones."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        counted, minute = self._counted(), int(self.now() // 60)
        try:
            grown = [now - before for now, before in zip(counted, self._before, strict=True)]
            totals = [minute, *grown, await self.free()]
            await self.journal.note_minute(Minute(*totals), minute - MINUTES_KEPT)
        except (CatalogBusy, StorageRemoved):
            return  # already logged
        except Exception:
            self._log.failure("the totals of a minute could not be recorded")
            return
        self._before = counted
