"""Looks at the verdict from time to time, and lets those know who want to: each notice, tried a few times."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.admin.verdict import OWN_REASONS
from onec_twisted.delivery.notifiers import NotifyFailed
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.admin.notices import Subjects
    from onec_twisted.admin.verdict import Reason, Verdict
    from onec_twisted.delivery.notifiers import Notifier
    from onec_twisted.model.notice import Notice

__all__ = ["NOTICES_INTERVAL", "Audience", "Notifying", "Outbox"]

NOTICES_INTERVAL = 30.0
"""Seconds between two looks."""

MOST_WAITING = 100
"""Notices that may wait for one receiver; beyond that the oldest is dropped, and logged."""

MOST_TRIES = 6
"""How often a notice is tried: for about a quarter of an hour."""

NOTICE_RETRY = Backoff(first=15.0, longest=600.0)
"""How long a notice waits before its next try."""


@define(eq=False)
class Outbox:
    """The notices that wait for one receiver; they reach it one after another."""

    notifier: Notifier
    clock: IReactorTime
    _waiting: deque[Notice] = field(factory=deque, init=False)
    _sending: bool = field(default=False, init=False)
    _log = Logger()

    def put(self, notice: Notice) -> None:
        """Let a notice wait, and send what waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._give_up(self._waiting.popleft(), "too many are waiting")
        self._waiting.append(notice)
        if not self._sending:
            self._sending = True
            ensureDeferred(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send(self._waiting.popleft())
        finally:
            self._sending = False

    async def _send(self, notice: Notice) -> None:
        """Send a notice, trying again; in the end it is given up, and logged."""
        for tries in range(1, MOST_TRIES + 1):
            try:
                await self.notifier.notify(notice)
            except NotifyFailed as failed:
                if tries == MOST_TRIES:
                    self._give_up(notice, str(failed))
                    return
                await deferLater(self.clock, NOTICE_RETRY.after(tries))
            else:
                self._log.info("{to} was notified: {words}", to=self.notifier.name, words=notice.words)
                return

    def _give_up(self, notice: Notice, reason: str) -> None:
        self._log.error(
            "{to} could not be notified ({reason}): {words}",
            to=self.notifier.name,
            reason=reason,
            words=notice.words,
        )


@define(eq=False)
class Audience:
    """Those who hear of a shop, or of all shops if it is the default one; ``key`` tells whether they are the same."""

    shop: str
    key: object
    subjects: Subjects
    outboxes: Sequence[Outbox]

    def hears_of(self, reason: Reason) -> bool:
        """Return whether a reason concerns them."""
        return self.shop in (DEFAULT_SHOP, reason.shop or (reason.username and shop_of(reason.username)))

    def tell(self, reasons: Sequence[Reason], now: float, *, for_all: bool = True) -> None:
        """Tell what is new; ``now`` is in seconds since 1970. If not ``for_all``, only what is of this daemon."""
        for notice in self.subjects.update([reason for reason in reasons if self.hears_of(reason)], now):
            for outbox in self.outboxes if for_all or notice.event in OWN_REASONS else ():
                outbox.put(notice)


@define(eq=False)
class Notifying:
    """Tells audiences what ``verdict`` says is new. ``now`` returns seconds since 1970.

    Of several daemons with the same records, one tells for all: the one that ``is_first``. The others follow what it
    tells, so that the next one knows. What is of a daemon itself, each tells.
    """

    verdict: Callable[[], Awaitable[Verdict]]
    now: Callable[[], float]
    is_first: Callable[[], bool] = lambda: True
    _audiences: Sequence[Audience] = field(default=(), init=False)
    _log = Logger()

    def address(self, audiences: Sequence[Audience]) -> None:
        """Tell these from now on; those who were told before remember what they know."""
        before = {(one.shop, one.key): one for one in self._audiences}
        self._audiences = [before.get((one.shop, one.key), one) for one in audiences]

    def once(self) -> Deferred[None]:
        """Look once; an error is logged, and the next look tries again."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        if not self._audiences:
            return
        try:
            verdict = await self.verdict()
        except Exception:
            self._log.failure("the verdict for notices could not be reached")
            return
        for audience in self._audiences:
            audience.tell(verdict.reasons, self.now(), for_all=self.is_first())
