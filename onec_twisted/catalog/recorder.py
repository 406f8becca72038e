"""Write and query the catalog's database in workers, so that the reactor never waits for the disk.

Records made at the same time are committed together (``database``); records that may wait join the next one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from onec_twisted.catalog.cache import KnownSessions
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onec_twisted.catalog.interfaces import IDatabase, Step
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers

__all__ = ["Recorder"]

T = TypeVar("T")

if TYPE_CHECKING:
    _Later = tuple[Callable[[Any], None], str, Step]
"""What to call with the outcome of a step, the sessid, and the step."""


def _tell(later: list[_Later], outcomes: list[Any]) -> None:
    """Call back with the outcomes of steps that were recorded with another."""
    for (recorded, _, _), outcome in zip(later, outcomes, strict=True):
        recorded(outcome)


@define(eq=False)
class Recorder:
    """Records steps and runs queries in ``workers``, and long queries in ``errands``.

    If nobody else writes to the database, sessions in use are kept in memory, in ``known``; a session whose record
    failed is evicted.
    """

    database: IDatabase
    _workers: Workers
    _metrics: Metrics
    _errands: Workers
    known: KnownSessions = field(factory=KnownSessions)
    _later: list[_Later] = field(factory=list, init=False)
    _writing: list[list[str]] = field(factory=list, init=False)
    """The sessids of each record that is on its way."""
    _loading: list[set[str]] = field(factory=list, init=False)
    """For each session being read, the sessids of records that were on their way in the meantime."""
    _flushed: list[Deferred[None]] = field(factory=list, init=False)
    _is_held: bool = field(default=False, init=False)
    """Whether another process held the database at the last record."""
    _log = Logger()

    def close(self) -> None:
        """Close the database; call it when nothing is left to record."""
        self.database.close()

    async def record(self, sessid: str, make: Callable[[], Step], *, at_once: bool = True) -> Any:
        """Record the step that ``make`` returns in a worker.

        With ``at_once``, records that wait for another one are included; pass False if ``make`` waits for the disk.
        Raises what ``make`` or the step raises, ``InsufficientStorage`` for a full disk, and ``CatalogBusy`` when
        another process has locked the database.
        """
        later: list[_Later] = []
        if at_once:
            later, self._later = self._later, []
        sessids = [sessid, *[other for _, other, _ in later]]
        self._writing.append(sessids)
        for loading in self._loading:
            loading.update(sessids)
        try:
            recorded = self._workers(self._make_and_record, make, [step for _, _, step in later])
        except Exception:  # no thread can be started
            recorded = fail()
        mine = (await self._shielded(recorded, sessids, later))[0]
        if isinstance(mine, Failure):
            is_held = mine.check(CatalogBusy) is not None
            self._note_held(is_held=is_held, reason=str(mine.value) if is_held else "")
            if not self._is_held:
                self.known.forget(sessid)  # what is on record is now unknown
            mine.raiseException()
        if self._is_held:
            self._note_held(is_held=False)
        return mine

    def _shielded(
        self, recorded: Deferred[list[Any]], sessids: list[str], later: list[_Later]
    ) -> Deferred[list[Any]]:
        """Return the outcomes, told to those that wait for them as well.

        Cancelling what is returned cancels nothing else: the worker records everything nevertheless.
        """
        outcomes: Deferred[list[Any]] = Deferred()

        def tell(told: list[Any] | Failure) -> list[Any] | Failure:
            try:
                _tell(later, [told] * len(later) if isinstance(told, Failure) else told[1:])
            finally:
                self._writing.remove(sessids)
                self._fire_flushed()
            return told

        recorded.addBoth(tell).chainDeferred(outcomes)
        return outcomes

    def _note_held(self, *, is_held: bool, reason: str = "") -> None:
        """Log when another process has locked the database, or it is away, and when it can be used again."""
        if is_held and not self._is_held:
            self._log.error("nothing can be recorded now: {reason}", reason=reason)
        elif self._is_held and not is_held:
            self._log.info("the database is writable again")
        self._is_held = is_held

    def _make_and_record(self, make: Callable[[], Step], later: list[Step]) -> list[Any]:
        """Make a step in a worker, and record it together with others."""
        steps = [make(), *later]
        began = self._metrics.seconds()
        try:
            return self.database.record(steps)
        finally:
            self._metrics.synced("catalog", began)

    async def read(self, question: Callable[..., T], *args: Any) -> T:
        """Run a query in a worker."""
        return await self._workers(self.database.read, question, *args)

    async def survey(self, question: Callable[..., T], *args: Any) -> T:
        """Run a long query in a worker."""
        return await self._errands(self.database.survey, question, *args)

    async def survey_and_then(self, then: Callable[[Any], T], question: Callable[..., Any], *args: Any) -> T:
        """Run a long query, and pass its result to ``then``, in a worker."""
        return await self._errands(lambda: then(self.database.survey(question, *args)))

    async def sync(self) -> None:
        """Sync all records to the disk, where single transactions are not synced; see ``Database.sync``."""
        await self._workers(self.database.sync)

    async def probe(self) -> None:
        """Check that records can be written. Raises ``DatabaseFailed`` when not, and ``CatalogBusy``."""
        await self._workers(self.database.probe)

    async def tidy(self) -> None:
        """Truncate the database's write-ahead log, if it has grown; see ``Database.tidy``."""
        await self._errands(self.database.tidy)

    def record_later(self, sessid: str, step: Step, recorded: Callable[[Any], None]) -> None:
        """Record a step together with the next record, or at ``record_waiting``.

        ``recorded`` is called with what the step returned, or its Failure.
        """
        self._later.append((recorded, sessid, step))

    def record_waiting(self) -> None:
        """Record what waits for another record, now."""
        if self._later:
            ensureDeferred(self.record("", lambda: (statements.nothing, ()))).addErrback(lambda _: None)

    def flush(self) -> Deferred[None]:
        """Record what waits for another record; return a Deferred that fires when nothing is left to record."""
        flushed: Deferred[None] = Deferred()
        self._flushed.append(flushed)
        self.record_waiting()
        self._fire_flushed()
        return flushed

    def _fire_flushed(self) -> None:
        """Fire the Deferreds of ``flush`` when nothing is left to record."""
        while self._flushed and not self._writing and not self._later:
            self._flushed.pop().callback(None)

    @contextmanager
    def recorded_meanwhile(self) -> Iterator[set[str]]:
        """Yield the set of sessids whose records are on their way; it grows until the block ends."""
        meanwhile = {sessid for sessids in self._writing for sessid in sessids}
        self._loading.append(meanwhile)
        try:
            yield meanwhile
        finally:
            self._loading = [one for one in self._loading if one is not meanwhile]
