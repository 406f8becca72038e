"""One try to deliver a hand-off: what it is described as, what the importer makes of it, and its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.delivery.lines import WORDS_LIMIT
from onec_twisted.model.description import documents_of
from onec_twisted.model.errors import CatalogBusy, FileDamaged, ImportFailed, ImportInterrupted
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.model.shops import shop_of
from onec_twisted.model.shown import harmless
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.destinations import Destination, Destinations
    from onec_twisted.delivery.lines import Pending
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["TRY_PAUSE", "Tries", "pause_before"]

T = TypeVar("T")

TRY_PAUSE = Backoff(first=1.0, longest=3600.0)
"""How long a hand-off waits before its next try."""

SHOP_PAUSE = 60.0
"""Seconds until it is looked again whether the shop of a hand-off is configured."""


def pause_before(tries: int, chance: float) -> float:
    """Return the seconds to wait after so many tries; ``chance`` from 0 to 1 adds jitter."""
    return TRY_PAUSE.after(tries) * (0.5 + chance / 2)


@define(eq=False, kw_only=True)
class Tries:
    """Tries to deliver hand-offs, each at most ``most`` times.

    ``prepare`` is a ``Preparation``; ``now`` returns seconds since 1970.
    """

    most: int
    files: FileRecords
    records: HandoffRecords
    prepare: Callable[[Handoff, Destination, Callable[[str], None]], Awaitable[Description]]
    destinations: Destinations
    now: Callable[[], float]
    clock: IReactorTime
    metrics: Metrics
    stopping: bool = field(default=False, init=False)
    """Whether the daemon stops: a try that is cancelled then has not been made."""
    _log = Logger()

    def beginning(self, handoff: Handoff) -> str:
        """Return the progress message for the start of a try."""
        again = f"{handoff.words} - try {handoff.tries + 1} of {self.most} is running"
        return again if handoff.tries else "Import is running"

    async def once(self, pending: Pending) -> tuple[Handoff, tuple[str, ...]]:
        """Try to deliver once; return the updated hand-off, and the names of its documents, if they became known."""
        destination = self.destinations.of(pending.handoff.username)
        if destination is None:
            return self._homeless(pending), ()
        handoff, pending.retry_after = evolve(pending.handoff, tries=pending.handoff.tries + 1), 0.0
        documents: tuple[str, ...] = ()
        pending.begun = self.now()
        try:
            if await self.files.has_damaged(handoff.sessid):
                raise ImportFailed(FileDamaged.words)
            description = await self.prepare(handoff, destination, pending.note_progress)
            if pending.attempt:
                description = evolve(description, attempt=pending.attempt)
            documents = documents_of(description)
            await destination.importer.deliver(description, pending.note_progress)
        except ImportFailed as failed:
            state, words = FAILED, failed.words
        except ImportInterrupted as interrupted:
            state, words, pending.retry_after = WAITING, str(interrupted), interrupted.retry_after
        except CatalogBusy as busy:  # already logged
            state, words = WAITING, f"The records cannot be used now ({busy})"
        except Exception as error:
            if (self.stopping or pending.is_cancelled) and isinstance(error, CancelledError):
                raise
            self._log.failure("{sessid}: the importer failed", sessid=handoff.sessid, handoff=handoff.id)
            state, words = WAITING, f"The importer failed ({type(error).__name__})"
        else:
            state, words = SUCCEEDED, ""
        if state == WAITING and handoff.tries >= self.most:
            state, words = FAILED, f"Given up after {handoff.tries} tries: {words}"
        handoff = evolve(handoff, state=state, words=harmless(" ".join(words[:WORDS_LIMIT].splitlines())))
        self.metrics.tried("interrupted" if handoff.state == WAITING else handoff.state, handoff.username)
        self._log_outcome(handoff, destination)
        return handoff, documents

    def _homeless(self, pending: Pending) -> Handoff:
        """Return a hand-off whose shop is gone: it waits until the shop is back, however often it is looked at."""
        handoff = pending.handoff
        pending.retry_after = SHOP_PAUSE
        words = f"The shop {shop_of(handoff.username)} is not configured"
        if handoff.words != words:
            self._log.error(
                "{sessid}: {what} waits, because {shop} is not configured: put it back into the file of --config",
                sessid=handoff.sessid,
                user=handoff.username,
                shop=shop_of(handoff.username),
                handoff=handoff.id,
                what=f"{handoff.event} {handoff.filename}".rstrip(),
            )
        return evolve(handoff, words=words)

    def _log_outcome(self, handoff: Handoff, destination: Destination) -> None:
        """Log the outcome of a try."""
        words = {
            SUCCEEDED: "{sessid}: {what} delivered to {importer}",
            WAITING: "{sessid}: {what} not delivered on attempt {tries} of {most}: {words}",
            FAILED: "{sessid}: {what} failed permanently on attempt {tries}: {words}",
        }
        write = {SUCCEEDED: self._log.info, WAITING: self._log.warn, FAILED: self._log.error}[handoff.state]
        write(
            words[handoff.state],
            sessid=handoff.sessid,
            user=handoff.username,
            handoff=handoff.id,
            what=f"{handoff.event} {handoff.filename}".rstrip(),
            event=handoff.event,
            filename=handoff.filename,
            state=handoff.state,
            tries=handoff.tries,
            most=self.most,
            importer=getattr(destination.importer, "called", "the importer"),
            words=handoff.words,
        )

    async def record(self, tried: Handoff, documents: tuple[str, ...], begun: float | None) -> list[Handoff]:
        """Record the outcome of a try that began at ``begun``, until that succeeds; return what it supersedes."""

        def report() -> None:
            self._log.failure("{sessid}: the outcome of a hand-off could not be recorded", sessid=tried.sessid)

        return await self._insist(lambda: self.records.note_outcome(tried, self.now(), documents, begun), report)

    async def older(self, handoff: Handoff) -> list[Handoff]:
        """Return the hand-offs on record that are to be delivered before this one."""

        def report() -> None:
            self._log.failure(
                "{sessid}: earlier hand-offs of the user could not be read from the database; this will be retried",
                sessid=handoff.sessid,
            )

        return await self._insist(lambda: self.records.waiting_before(handoff), report)

    async def _insist(self, ask: Callable[[], Awaitable[T]], report: Callable[[], None]) -> T:
        """Return what the catalog answers, however often it has to be asked; report what it raises."""
        while True:
            try:
                return await ask()
            except CancelledError:
                raise
            except CatalogBusy:
                pass  # already logged
            except Exception:
                report()
            await deferLater(self.clock, TRY_PAUSE.first)
