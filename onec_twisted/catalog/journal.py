"""The journal, without blocking: what each exchange brought, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.catalog.sql import history, journal, overview, shops

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.model.journal import (
        Exchange,
        ExchangeFilter,
        ExchangeLine,
        HandoffFilter,
        Minute,
        RefusalFilter,
        RefusalLine,
        ShopTotals,
        UserRow,
    )
    from onec_twisted.model.records import Handoff

__all__ = ["Journal"]


@frozen(eq=False)
class Journal:
    """The journal. Exchanges and imports are noted in the transactions of sessions and hand-offs."""

    recorder: Recorder

    async def exchanges(self, wanted: ExchangeFilter) -> tuple[ExchangeLine, ...]:
        """Return the exchanges that a filter lets through, the newest first."""
        return await self.recorder.survey(history.exchanges, wanted)

    async def exchange(self, number: int) -> Exchange | None:
        """Return all that is on record of an exchange, None if there is none of this number."""
        return await self.recorder.survey(history.exchange, number)

    async def held_file(self, number: int, name: str) -> tuple[str, int] | None:
        """Return the sessid and the committed length of a file of an exchange, None if it is not on the disk."""
        return await self.recorder.survey(history.held_file, number, name)

    async def handoffs(self, wanted: HandoffFilter) -> tuple[tuple[Handoff, ...], int]:
        """Return the hand-offs that a filter lets through; see ``sql.overview.matching``."""
        return await self.recorder.survey(overview.matching, wanted)

    async def users(self, shop: str = "") -> tuple[UserRow, ...]:
        """Return the last exchanges of each user of a shop, of any if that is empty; see ``sql.history.users``."""
        return await self.recorder.survey(history.users, shop)

    async def shops(self, names: Iterable[str]) -> dict[str, ShopTotals]:
        """Return how much of each shop is on record, by name; see ``sql.shops.shops``."""
        return await self.recorder.survey(shops.shops, tuple(names))

    async def on_record(self) -> dict[str, ShopTotals]:
        """Return the same of all shops that have sessions or hand-offs, without their last exchanges."""
        return await self.recorder.survey(shops.on_record)

    async def refusals(self, wanted: RefusalFilter) -> tuple[RefusalLine, ...]:
        """Return the refusals that a filter lets through, the latest first."""
        return await self.recorder.survey(history.refusals, wanted)

    async def minutes(self, since: float) -> tuple[Minute, ...]:
        """Return the totals by the minute since a time, in seconds since 1970."""
        return await self.recorder.survey(history.minutes, int(since // 60))

    async def note_refusals(self, refusals: Sequence[RefusalLine]) -> None:
        """Add refused requests to those that were refused alike."""
        await self.recorder.record("", lambda: (journal.add_refusals, (refusals,)))

    async def note_minute(self, minute: Minute, oldest: int) -> None:
        """Add a minute's totals, and forget the minutes before ``oldest``."""
        await self.recorder.record("", lambda: (journal.note_minute, (minute, oldest)))

    async def forget(self, before: float, of_shops: Mapping[str, float]) -> int:
        """Forget some exchanges that ended before a time; return how many, 0 when none is left to forget.

        ``of_shops`` has the time for shops that have one of their own.
        """
        numbers = await self.recorder.survey(history.outdated, before, of_shops)
        if numbers:
            await self.recorder.record("", lambda: (journal.forget_exchanges, (numbers,)))
        return len(numbers)
