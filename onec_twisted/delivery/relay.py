"""Delivers the recorded hand-offs to the importer, each at least once.

Those of one user are delivered one after another, in the order in which they were sealed, whatever session they come
from; those of different users concurrently. A failed delivery is retried with exponential back-off, up to a maximum
number of tries, while younger ones of its user and type wait (``lines``).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import evolve
from cachetools import LRUCache
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from onec_twisted.delivery.lines import Line, Pending, Prospect
from onec_twisted.delivery.relaying import IRelay
from onec_twisted.delivery.tries import TRY_PAUSE, Tries, pause_before
from onec_twisted.model.errors import (
    HandoffRunning,
    TooManyImports,
)
from onec_twisted.model.records import FAILED, WAITING, Handoff
from onec_twisted.model.shops import shares_of, shop_of
from onec_twisted.runtime.fairness import Places, Sharing, Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.destinations import Destination, Destinations
    from onec_twisted.model.description import Description
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["AT_ONCE", "IMPORT_GRACE", "MOST_WAITING", "Relay"]

AT_ONCE = 16
"""Hand-offs delivered at the same time, each of another user."""

MOST_WAITING = 10_000
"""Most hand-offs of one user that may wait; all of them are in memory."""

IMPORT_GRACE = 30.0
"""Seconds that running imports get to finish when the daemon stops; the others are restarted with the daemon."""

REMEMBERED_HANDOFFS = 1000
"""Finished hand-offs that are remembered, so that none is added again."""


def _wake(waiting: list[Deferred[None]]) -> None:
    """Wake all waiters."""
    while waiting:
        waiting.pop(0).callback(None)


async def _woken(waiting: list[Deferred[None]], patience: float, clock: IReactorTime) -> None:
    """Wait to be woken with the other waiters, at most ``patience`` seconds."""
    over: Deferred[None] = Deferred()
    waiting.append(over)

    def give_up() -> None:
        waiting.remove(over)
        over.callback(None)

    late = clock.callLater(patience, give_up)
    await over
    if late.active():
        late.cancel()


@implementer(IRelay)
class Relay(Service):
    """Delivers hand-offs, each in at most ``most_tries`` tries.

    ``prepare`` is a ``Preparation``; ``now`` returns seconds since 1970, ``chance`` a number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        most_tries: int,
        files: FileRecords,
        records: HandoffRecords,
        prepare: Callable[[Handoff, Destination, Callable[[str], None]], Awaitable[Description]],
        destinations: Destinations,
        now: Callable[[], float],
        clock: IReactorTime,
        metrics: Metrics,
        chance: Callable[[], float] = random.random,
        sharing: Sharing | None = None,
    ) -> None:
        """Start without hand-offs: the recorded ones are loaded when the service starts."""
        self.tries = Tries(
            most=most_tries,
            files=files,
            records=records,
            prepare=prepare,
            destinations=destinations,
            now=now,
            clock=clock,
            metrics=metrics,
        )
        self._records = records
        self._clock, self._chance = clock, chance
        self._slots = Slots(Places(AT_ONCE, sharing or Sharing()))
        self._pending: dict[str, Pending] = {}
        self._lines: dict[str, Line] = {}
        self._running: dict[str, Deferred[None]] = {}
        """What serves the line of a user."""
        self._ended: LRUCache[str, Handoff] = LRUCache(REMEMBERED_HANDOFFS)
        """Recently finished hand-offs: a caller with an older copy of the record may still add one as waiting."""
        self._loading: Deferred[None] | None = None
        self._unloaded: list[Deferred[None]] | None = []
        """Waiters for the recorded hand-offs to be loaded; None once they are."""
        self._stopping = False

    def startService(self) -> None:
        """Resume with the hand-offs recorded before the daemon last stopped."""
        super().startService()
        self._loading = Deferred.fromCoroutine(self._load())

    def stopService(self) -> Deferred[None]:
        """Answer all waiters, give imports time to finish, then cancel them: they are restarted with the daemon."""
        super().stopService()
        self._stopping = self.tries.stopping = True
        if self._loading is not None:
            self._loading.cancel()
        delivering = set()
        for pending in list(self._pending.values()):
            if pending.pause is not None and pending.pause.active():
                pending.pause.cancel()
            if pending.delivering:
                delivering.add(pending.handoff.username)
            pending.wake()
        _wake(self._unloaded or [])
        for user, running in list(self._running.items()):
            if user not in delivering:
                running.cancel()
        return Deferred.fromCoroutine(self._let_end())

    async def _let_end(self) -> None:
        """Wait for the running imports."""
        running = list(self._running.values())
        if not running:
            return
        self._log.info("waiting up to {seconds} s for {count} imports", seconds=IMPORT_GRACE, count=len(running))
        late = [self._clock.callLater(IMPORT_GRACE, one.cancel) for one in running]
        await DeferredList(running)
        for call in late:
            if call.active():
                call.cancel()

    async def _load(self) -> None:
        """Load the hand-offs still to be delivered, and sort those added meanwhile into their order."""
        try:
            while True:
                try:
                    handoffs = await self._records.waiting()
                    break
                except CancelledError:
                    raise
                except Exception:
                    self._log.failure("waiting hand-offs could not be read from the database; this will be retried")
                    await deferLater(self._clock, TRY_PAUSE.first)
        except CancelledError:
            return
        for handoff in handoffs:
            self._pending.setdefault(handoff.id, Pending(handoff))
        for pending in self._pending.values():
            self._lines.setdefault(pending.handoff.username, Line()).add(pending)
        unloaded, self._unloaded = self._unloaded or [], None
        for user in list(self._lines):
            self._serve(user)
        _wake(unloaded)

    def add(self, handoff: Handoff) -> Pending:
        """Return its pending entry."""
        if handoff.state == WAITING:
            handoff = self._ended.get(handoff.id, handoff)
        if handoff.state != WAITING or self._stopping:
            return self._pending.get(handoff.id) or Pending(handoff)
        if handoff.id not in self._pending:
            self._pending[handoff.id] = Pending(handoff)
            if self._unloaded is None:
                self._lines.setdefault(handoff.username, Line()).add(self._pending[handoff.id])
                self._serve(handoff.username)
        return self._pending.get(handoff.id) or Pending(self._ended[handoff.id])

    def check_room(self, user: str) -> None:
        waiting = self._pending.values() if len(self._pending) >= MOST_WAITING else ()
        if sum(pending.handoff.username == user for pending in waiting) >= MOST_WAITING:
            raise TooManyImports

    def prospects(self) -> dict[str, Prospect]:
        now = self._clock.seconds()
        return {
            name: Prospect(
                pending.delivering,
                max(0.0, pending.pause.getTime() - now) if pending.pause is not None else None,
                self._said_of(pending),
            )
            for name, pending in self._pending.items()
        }

    def _said_of(self, pending: Pending) -> str:
        """Return the progress of a hand-off in words."""
        line = self._lines.get(pending.handoff.username)
        return line.said_of(pending) if line is not None and self._unloaded is None else pending.progress

    async def outcome(self, handoff: Handoff, patience: float) -> Handoff:
        pending = self.add(handoff)
        if handoff.id in self._pending and not self._stopping:
            await _woken(pending.waiting, patience, self._clock)
        waits = pending.handoff.state == WAITING
        return evolve(pending.handoff, words=self._said_of(pending)) if waits else pending.handoff

    async def idle(self, sessid: str, patience: float) -> None:
        deadline = self._clock.seconds() + patience
        while True:
            waiting = self._unloaded
            if waiting is None:
                own = [pending for pending in self._pending.values() if pending.handoff.sessid == sessid]
                if not own:
                    return
                waiting = max(own, key=lambda one: one.handoff.number).waiting
            left = deadline - self._clock.seconds()
            if left <= 0 or self._stopping:
                raise HandoffRunning
            await _woken(waiting, left, self._clock)

    async def hurry(self, handoff: str) -> bool:
        pending = self._pending.get(handoff)
        if pending is None or pending.pause is None or not pending.pause.active():
            return False
        pending.pause.cancel()
        self._resume(pending)
        return True

    def resume_shops(self, shops: Collection[str]) -> None:
        for pending in list(self._pending.values()):
            if shop_of(pending.handoff.username) in shops:
                Deferred.fromCoroutine(self.hurry(pending.handoff.id))

    async def give_up(self, handoff: str) -> bool:
        pending = self._pending.get(handoff)
        if pending is None or pending.pause is None or not pending.pause.active():
            return False
        pending.pause.cancel()  # it still holds back the younger ones
        words = f"Given up by the administrator: {pending.handoff.words}"
        await self._note(pending, evolve(pending.handoff, state=FAILED, words=words), ())
        self._serve(pending.handoff.username)
        return True

    def _serve(self, user: str) -> None:
        """Deliver the hand-offs of a user, unless that is under way."""
        line = self._lines.get(user)
        if line is not None and not line.served and not self._stopping:
            line.served = True
            serving = Deferred.fromCoroutine(self._deliver_all(user, line))
            if not serving.called:
                self._running[user] = serving

    async def _deliver_all(self, user: str, line: Line) -> None:
        """Deliver the hand-offs of a user until the others are held back, or the daemon stops."""
        try:
            while line.next() is not None and not self._stopping:
                async with self._slots.of(shares_of(user)):
                    pending = await self._oldest(line)
                    if pending is None or self._stopping:
                        continue
                    pending.delivering = True  # until recorded: it must not be cancelled in between
                    pending.progress = self.tries.beginning(pending.handoff)
                    tried, documents = await self.tries.once(pending)
                await self._note(pending, tried, documents)
        except CancelledError:
            return
        finally:
            line.served = False
            self._running.pop(user, None)
            if line.empty:
                del self._lines[user]

    async def _oldest(self, line: Line) -> Pending | None:
        """Return the hand-off that is next in a line, None if there is none.

        One that was sealed before it may have been recorded without having reached the line: the record is asked.
        """
        while (pending := line.next()) is not None:
            older = await self.tries.older(pending.handoff)
            missing = [one for one in older if one.id not in self._pending and one.id not in self._ended]
            for one in missing:
                self.add(one)
            if not missing and line.next() is pending:
                break
        return pending

    def _resume(self, pending: Pending) -> None:
        """Begin the next try of a hand-off, as soon as it has its turn."""
        pending.pause = None
        self._serve(pending.handoff.username)

    async def _note(self, pending: Pending, tried: Handoff, documents: tuple[str, ...]) -> None:
        """Record the outcome of a try, so that the hand-off is not delivered again, and report it to who waits."""
        superseded = await self.tries.record(tried, documents, pending.begun)
        pending.handoff, pending.delivering, pending.begun = tried, False, None
        if tried.state != WAITING:
            self._end(tried)
        elif not self._stopping:
            pause = max(pause_before(tried.tries, self._chance()), min(pending.retry_after, TRY_PAUSE.longest))
            pending.progress = f"{tried.words} - try {tried.tries + 1} of {self.tries.most} in {pause:.0f} s"
            pending.pause = self._clock.callLater(pause, self._resume, pending)
        for older in superseded:
            self._end(older)

    def _end(self, handoff: Handoff) -> None:
        """Remove a hand-off that has ended from its line, and report it to who waits."""
        self._ended[handoff.id] = handoff
        pending = self._pending.pop(handoff.id, None)
        if pending is not None:
            pending.handoff = handoff
            self._lines[handoff.username].remove(pending)
            pending.wake()
