"""Collects refused requests, and puts them on record now and then: a flood of them is a few records each second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted.model.errors import CatalogBusy, StorageRemoved
from onec_twisted.model.journal import RefusalLine
from onec_twisted.model.shops import DEFAULT_SHOP, account_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog.journal import Journal
    from onec_twisted.model.journal import RefusedRequest

__all__ = ["REFUSALS_INTERVAL", "RefusedRequests"]

REFUSALS_INTERVAL = 1.0
"""Seconds after which refused requests are put on record."""

MOST_COLLECTED = 200
"""Different refusals that are collected until then; others are only counted by the metrics, and logged."""


@define(eq=False)
class RefusedRequests:
    """Refused requests that are not on record yet. ``now`` returns seconds since 1970."""

    journal: Journal
    now: Callable[[], float]
    _collected: dict[RefusedRequest, RefusalLine] = field(factory=dict, init=False)
    _log = Logger()

    def note(self, refused: RefusedRequest) -> None:
        """Collect a refused request."""
        known, now = self._collected.get(refused), self.now()
        if known is not None:
            self._collected[refused] = evolve(known, last=now, count=known.count + 1)
        elif len(self._collected) < MOST_COLLECTED:
            self._collected[refused] = RefusalLine(
                0,
                now,
                now,
                1,
                refused.username,
                refused.address,
                refused.sessid,
                refused.status,
                refused.code,
                refused.words,
                refused.asked,
                refused.shop,
            )

    def of_shop(self, shop: str) -> Callable[[RefusedRequest], None]:
        """Return how a shop notes a refused request: whoever it claims to come from, is a user of that shop."""
        if shop == DEFAULT_SHOP:
            return self.note

        def note(refused: RefusedRequest) -> None:
            user = account_of(shop, refused.username) if refused.username else ""
            self.note(evolve(refused, username=user, shop=shop))

        return note

    def flush(self) -> Deferred[None]:
        """Put what was collected on record. A failure is logged, and forgets them: the log has each of them."""
        return Deferred.fromCoroutine(self._flush())

    async def _flush(self) -> None:
        collected, self._collected = tuple(self._collected.values()), {}
        if not collected:
            return
        try:
            await self.journal.note_refusals(collected)
        except (CatalogBusy, StorageRemoved):
            return  # already logged
        except Exception:
            self._log.failure("refused requests could not be put on record")
