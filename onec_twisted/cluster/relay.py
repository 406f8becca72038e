"""Delivers the recorded hand-offs to the importer, together with other daemons: each at least once.

The order is that of ``delivery.relay``: those of a user one after another, a younger one of a type after an older
one. Who delivers which is on record (``claims``). A daemon that is not heard of loses its claims: its imports are
cancelled when it notices, and somebody else begins them again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from onec_twisted.catalog.sql.handoffs import where
from onec_twisted.cluster import claims
from onec_twisted.delivery.lines import Pending, Prospect
from onec_twisted.delivery.relay import AT_ONCE, IMPORT_GRACE, MOST_WAITING
from onec_twisted.delivery.relaying import IRelay
from onec_twisted.delivery.tries import TRY_PAUSE, pause_before
from onec_twisted.model.errors import CatalogBusy, HandoffRunning, TooManyImports
from onec_twisted.model.records import FAILED, WAITING
from onec_twisted.model.shops import shares_of, shop_of
from onec_twisted.runtime.fairness import Places, Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.interfaces import Step
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.cluster.claims import WaitingRow
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.cluster.presence import Presence
    from onec_twisted.delivery.tries import Tries
    from onec_twisted.model.records import Handoff
    from onec_twisted.runtime.workers import Workers

__all__ = ["LOOK_INTERVAL", "SharedRelay"]

LOOK_INTERVAL = 0.5
"""Seconds between two looks at what waits; the daemon looks at once after it has added something itself."""

OUTCOME_INTERVAL = 0.2
"""Seconds between two looks at a hand-off whose outcome somebody waits for."""

CLAIM_PAUSE = 0.1
"""Seconds until claims are made again that another daemon's were in the way of."""


def _step(step: Callable[..., Any], args: tuple[Any, ...]) -> Step:
    """Return a step, for a worker."""
    return step, args


@define(eq=False)
class _Run:
    """A hand-off that this daemon delivers, and what its importer has said that is on record."""

    handoff: str
    claim: int
    path: tuple[str, str]
    pending: Pending | None = None
    told: str = ""
    over: Deferred[None] = field(factory=Deferred)


@implementer(IRelay)
@define(eq=False, kw_only=True)
class SharedRelay(Service):
    """Delivers hand-offs with other daemons. Call ``look`` every ``LOOK_INTERVAL`` seconds.

    ``chance`` returns a number from 0 to 1.
    """

    tries: Tries
    recorder: Recorder
    database: PostgreSQL
    presence: Presence
    workers: Workers
    clock: IReactorTime
    chance: Callable[[], float] = random.random
    sharing: Sharing = field(factory=Sharing)
    _places: Places = field(init=False)
    _runs: dict[str, _Run] = field(factory=dict, init=False)
    _known: dict[str, WaitingRow] = field(factory=dict, init=False)
    """What waited at the last look."""
    _waiting_of: dict[str, int] = field(factory=dict, init=False)
    """How many of each user did."""
    _must_release: bool = field(default=False, init=False)
    """Whether this daemon may have claims on record of what it does not deliver."""
    _was_unsafe: bool = field(default=False, init=False)
    """Whether everything was cancelled because others may have taken it over."""
    _is_looking: bool = field(default=False, init=False)
    _looks_again: bool = field(default=False, init=False)
    _stopping: bool = field(default=False, init=False)
    _log = Logger()

    @_places.default
    def _make_places(self) -> Places:
        return Places(AT_ONCE, self.sharing)

    def stopService(self) -> Deferred[None]:
        """Give running imports time to finish, then cancel them, and give the claims back."""
        super().stopService()
        self._stopping = self.tries.stopping = True
        return Deferred.fromCoroutine(self._let_end())

    async def _let_end(self) -> None:
        runs = list(self._runs.values())
        if runs:
            self._log.info("waiting up to {seconds} s for {count} imports", seconds=IMPORT_GRACE, count=len(runs))
            late = self.clock.callLater(IMPORT_GRACE, self._cancel_all)
            await DeferredList([run.over for run in runs])
            if late.active():
                late.cancel()
        try:
            await self.workers(self.database.using, claims.release, self.presence.id)
        except CatalogBusy:
            return  # the claims end with the lease

    def _cancel_all(self) -> None:
        """Cancel all that runs: it is begun again, here or elsewhere."""
        self._must_release = True
        for run in list(self._runs.values()):
            if run.pending is not None:
                run.pending.is_cancelled = True
            run.over.cancel()

    def add(self, handoff: Handoff) -> None:
        """Look at once: a hand-off has been recorded."""
        self.look()

    def check_safe(self) -> bool:
        """Cancel what runs, once others may have taken it over; return whether they cannot have.

        Call it often: a look may hang with its database.
        """
        is_safe = self.presence.is_safe()
        if not is_safe and not self._was_unsafe:
            self._cancel_all()
        self._was_unsafe = not is_safe
        return is_safe

    def look(self) -> Deferred[None]:
        """Look at what waits, and begin what is free."""
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        if self._is_looking:
            self._looks_again = True
            return
        self._is_looking = True
        try:
            while True:
                self._looks_again = False
                await self._look_once()
                if not self._looks_again or self._stopping:
                    return
        except CatalogBusy:
            return  # the heartbeat tells that
        except Exception:
            self._log.failure("waiting hand-offs could not be read from the database; this will be retried")
        finally:
            self._is_looking = False

    async def _look_once(self) -> None:
        if not self.check_safe():
            return
        said = {
            run.handoff: (run.claim, run.pending.progress)
            for run in self._runs.values()
            if run.pending is not None and run.pending.progress != run.told
        }
        for handoff, (_, words) in said.items():
            self._runs[handoff].told = words
        if said:
            await self.workers(self.database.using, claims.note_progress, said)
        if self._must_release:
            self._must_release = False
            try:
                await self.workers(self.database.using, claims.release, self.presence.id, list(self._runs))
            except BaseException:
                self._must_release = True
                raise
        rows = await self.workers(self.database.using, claims.waiting)
        self._known = {row.id: row for row in rows}
        self._waiting_of = {row.username: row.of_user for row in rows}
        if not self._stopping:
            await self._claim(self._free())

    def _free(self) -> dict[str, tuple[str, str]]:
        """Return what may begin, and the paths of its shares: the first of a user whose turn has come."""
        busy = {row.username for row in self._known.values() if row.runs}
        seen: set[tuple[str, str]] = set()
        free = {}
        for row in self._known.values():
            line = row.username, row.type
            if row.username in busy or line in seen:
                continue
            seen.add(line)
            path = shares_of(row.username)
            if row.pause <= 0 and self._places.has_room(path):
                self._places.take(path)
                busy.add(row.username)
                free[row.id] = path
        return free

    async def _claim(self, free: dict[str, tuple[str, str]]) -> None:
        """Claim what may begin, and begin it."""
        if not free:
            return
        claimed: dict[str, int] | None = {}
        try:
            claimed = await self.workers(self.database.using, claims.claim, self.presence.id, list(free))
        finally:
            # A claim may be on record though nobody was told: its answer was lost
            self._must_release = self._must_release or len(claimed or {}) < len(free)
            for handoff, path in free.items():
                if handoff not in (claimed or {}):
                    self._places.leave(path)
        if claimed is None:
            self.clock.callLater(CLAIM_PAUSE, self.look)
            return
        for handoff, number in claimed.items():
            run = self._runs[handoff] = _Run(handoff, number, free[handoff])
            run.over = Deferred.fromCoroutine(self._deliver(run))

    async def _deliver(self, run: _Run) -> None:
        """Deliver a hand-off that was claimed."""
        try:
            found = await self.recorder.read(where, "id = ?", run.handoff)
            if not found:
                return
            pending = run.pending = Pending(found[0], attempt=run.claim)
            pending.progress = self.tries.beginning(pending.handoff)
            tried, documents = await self.tries.once(pending)
            await self._note(run, pending, tried, documents)
        except CancelledError:
            return
        except CatalogBusy:
            self._must_release = True  # the heartbeat tells that
        except Exception:
            self._must_release = True
            self._log.failure("{handoff}: a hand-off could not be delivered", handoff=run.handoff)
        finally:
            del self._runs[run.handoff]
            self._places.leave(run.path)
            if not self._stopping:
                self.look()

    async def _note(self, run: _Run, pending: Pending, tried: Handoff, documents: tuple[str, ...]) -> None:
        """Record the outcome of a try, until that succeeds, or somebody else has taken the hand-off over."""
        pause, progress = 0.0, ""
        if tried.state == WAITING:
            pause = max(pause_before(tried.tries, self.chance()), min(pending.retry_after, TRY_PAUSE.longest))
            progress = f"{tried.words} - try {tried.tries + 1} of {self.tries.most} in {pause:.0f} s"
        while True:
            step = (
                claims.note_outcome,
                (tried, run.claim, progress, pause, self.tries.now(), documents, pending.begun),
            )
            try:
                noted = await self.recorder.record(tried.sessid, lambda step=step: step)  # type: ignore[misc]
            except CatalogBusy:
                await deferLater(self.clock, TRY_PAUSE.first)
                continue
            if noted is None:
                self._log.warn(
                    "{sessid}: another daemon has taken a hand-off over; what this one made of it does not count",
                    sessid=tried.sessid,
                    handoff=tried.id,
                )
            return

    def check_room(self, user: str) -> None:
        """Raise ``TooManyImports`` if the maximum number of a user's hand-offs waited at the last look."""
        if (
            len(self._known) >= MOST_WAITING
            and sum(row.username == user for row in self._known.values()) >= MOST_WAITING
        ):
            raise TooManyImports

    def prospects(self) -> dict[str, Prospect]:
        """Return what is to come of each hand-off that waits, by its id, as of the last look."""
        return {
            row.id: Prospect(
                row.runs, row.pause if row.pause > 0 else None, row.progress or "Import waits for its turn"
            )
            for row in self._known.values()
        }

    async def outcome(self, handoff: Handoff, patience: float) -> Handoff:
        """Return the outcome of a hand-off; after ``patience`` seconds its progress in ``words``."""
        until = self.clock.seconds() + patience
        if handoff.state == WAITING:
            self.look()
        while handoff.state == WAITING:
            row = await self.workers(self.database.using, claims.outcome, handoff.id)
            if row is None:
                return handoff
            handoff = evolve(handoff, state=row.state, words=row.words, failure_reported=row.failure_reported)
            if self._stopping or self.clock.seconds() >= until:
                break
            if row.state == WAITING:
                await deferLater(self.clock, OUTCOME_INTERVAL)
        return handoff

    async def idle(self, sessid: str, patience: float) -> None:
        """Wait until a session has nothing left to deliver. Raises ``HandoffRunning`` after ``patience`` seconds."""
        until = self.clock.seconds() + patience
        while await self.recorder.read(where, "sessid = ? AND state = ?", sessid, WAITING):
            if self._stopping or self.clock.seconds() >= until:
                raise HandoffRunning
            await deferLater(self.clock, OUTCOME_INTERVAL)

    async def hurry(self, handoff: str) -> bool:
        """End the pause of a hand-off, by its id; return whether it waited for its next try."""
        done = bool(await self.recorder.record("", lambda: (claims.hurry, (handoff,))))
        self.look()
        return done

    def resume_shops(self, shops: Collection[str]) -> None:
        """Try at once what has waited for shops to be configured."""
        for row in list(self._known.values()):
            if row.pause > 0 and shop_of(row.username) in shops:
                hurried = Deferred.fromCoroutine(self.hurry(row.id))
                hurried.addErrback(lambda _: None)  # it is due later

    async def give_up(self, handoff: str) -> bool:
        """Let a hand-off fail that waits for its next try, by its id; return whether there was one."""
        found = await self.recorder.read(where, "id = ? AND state = ?", handoff, WAITING)
        if not found:
            return False
        failed = evolve(found[0], state=FAILED, words=f"Given up by the administrator: {found[0].words}")
        return bool(await self.recorder.record(failed.sessid, lambda: (claims.give_up, (failed, self.tries.now()))))
