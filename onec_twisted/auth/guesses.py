"""Limits how fast passwords may be guessed, without making others wait.

Checking a password is slow by design, so checks have a lane of their own: a few at a time, with addresses taking
turns. After a wrong password, its address pauses before the next check, and the answer is delayed, the longer the
more were wrong: guessers wait for themselves. Counters are looked up, added and evicted at a cost that does not grow
with their number.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred

from onec_twisted.model.errors import ConnectionDropped, TooManyTries
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from twisted.internet.interfaces import IReactorTime

__all__ = ["Failures", "Lane", "TokenBuckets"]

ANSWER_DELAY = Backoff(first=0.1, longest=30.0)
"""Delay of the answer to a wrong password, by the number of earlier ones; proxies give up after 60 s."""

WRONG_REST = 0.1
"""Seconds after a wrong password before the next one of that address is checked."""

FORGET_AFTER = 60.0
"""Seconds without a wrong password after which the count of an address or a user is reset."""

REMEMBERED_FAILURES = 10_000
"""Addresses, and users, that are remembered at most; the ones with the oldest failure are evicted first."""

MOST_WAITING = 500
"""Attempts of one address that may wait; behind a proxy not configured as trusted, all nodes share one address."""

BURST_SIZE, BURST_REFILL = 1000, 10
"""Wrong passwords of an address that may skip the lane for a look-up among known ones: burst, and refill per second.

That is more than the lane lets through. Disconnecting without waiting for an answer does not gain more."""


@define(eq=False)
class Failures:
    """Counts failures by key, reset ``FORGET_AFTER`` seconds after the last. ``now`` is in seconds of one clock."""

    _counts: OrderedDict[Hashable, tuple[int, float]] = field(factory=OrderedDict, init=False)

    def of(self, key: Hashable, now: float) -> int:
        """Return the failures of a key."""
        count, last = self._counts.get(key, (0, 0.0))
        return count if now - last <= FORGET_AFTER else 0

    def add(self, key: Hashable, now: float) -> None:
        """Count one more failure."""
        self._counts[key] = self.of(key, now) + 1, now
        self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED_FAILURES or now - next(iter(self._counts.values()))[1] > FORGET_AFTER:
            self._counts.popitem(last=False)

    def rests_until(self, key: Hashable) -> float:
        """Return the moment from which the key's next attempt may be checked."""
        count, last = self._counts.get(key, (0, 0.0))
        return last + WRONG_REST if count else 0.0

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._counts)


def delay_after(failures: int, waiting: int = 0) -> float:
    """Return the seconds by which the answer to a wrong password is delayed, by the number of earlier ``failures``.

    At least as long as it takes to check the attempts ``waiting`` at its address: a member of a crowd cannot retry
    before a newcomer had its turn.
    """
    return min(max(ANSWER_DELAY.after(failures), WRONG_REST * waiting), ANSWER_DELAY.longest)


@define(eq=False)
class TokenBuckets:
    """Token buckets by key: ``BURST_SIZE`` tokens at once, refilled by ``BURST_REFILL`` per second."""

    _empty_at: OrderedDict[Hashable, float] = field(factory=OrderedDict, init=False)
    """The moments at which each bucket is full again."""

    def is_left(self, key: Hashable, now: float) -> bool:
        """Return whether a key has a token left."""
        return self._empty_at.get(key, 0.0) - now < BURST_SIZE / BURST_REFILL

    def take(self, key: Hashable, now: float) -> None:
        """Take a token."""
        self._empty_at[key] = max(self._empty_at.get(key, 0.0), now) + 1 / BURST_REFILL
        self._empty_at.move_to_end(key)
        while len(self._empty_at) > REMEMBERED_FAILURES or next(iter(self._empty_at.values())) <= now:
            self._empty_at.popitem(last=False)

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._empty_at)


_Tries = deque[tuple["Deferred[None]", "Callable[[], bool]"]]


@define(eq=False)
class _Line:
    """The waiting attempts of one address: those for users that may exist, and those for unknown names.

    ``listed`` means that it is queued for a turn.
    """

    address: str
    waiting: int = 0
    running: int = 0
    listed: bool = False
    _users: tuple[OrderedDict[bytes, _Tries], OrderedDict[bytes, _Tries]] = field(
        factory=lambda: (OrderedDict(), OrderedDict())
    )
    _newest: bool = True

    def add(self, user: bytes, is_one: bool, mine: Deferred[None], gone: Callable[[], bool]) -> None:
        """Add a waiting attempt."""
        self._users[not is_one].setdefault(user, deque()).append((mine, gone))
        self.waiting += 1

    def take(self) -> Deferred[None] | None:
        """Return the next attempt whose client is still connected, None when there is none.

        Users take turns, before unknown names: guessing names does not make users wait. For one user the newest and
        the oldest attempt take turns: a newcomer does not wait for a crowd that came before it, and no attempt waits
        for ever.
        """
        while self.waiting:
            users = self._users[0] or self._users[1]
            user, tries = users.popitem(last=False)
            next_one, gone = tries.pop() if self._newest else tries.popleft()
            self.waiting -= 1
            if tries:
                users[user] = tries
            if not gone():
                self._newest = not self._newest
                return next_one
            next_one.errback(ConnectionDropped())
        return None


@define(eq=False)
class Lane:
    """Lets ``most`` attempts be checked at once; an address with failures has one, and pauses after each failure."""

    clock: IReactorTime
    failures: Failures
    most: int
    _lines: dict[str, _Line] = field(factory=dict, init=False)
    _turns: tuple[deque[_Line], deque[_Line]] = field(factory=lambda: (deque(), deque()), init=False)
    """Queues of addresses with failures and without: places go to the two by turns."""
    _next: int = field(default=1, init=False)
    _running: int = field(default=0, init=False)
    _serving: bool = field(default=False, init=False)

    @asynccontextmanager
    async def turn(self, address: str, user: bytes, is_one: bool, gone: Callable[[], bool]) -> AsyncIterator[None]:
        """Wait for the turn of a user at an address, and hold a place until the end of the block.

        ``is_one`` means that the user may exist. Raises ``TooManyTries`` when too many wait already, and
        ``ConnectionDropped`` when nobody is left to receive an answer, as ``gone`` reports.
        """
        line = self._lines.get(address) or self._lines.setdefault(address, _Line(address))
        if line.waiting >= MOST_WAITING:
            raise TooManyTries
        mine: Deferred[None] = Deferred()
        line.add(user, is_one, mine, gone)
        self._list(line)
        self._serve()
        await mine
        try:
            yield
        finally:
            line.running -= 1
            self._running -= 1
            self._list(line)
            self._serve()
            self._forget(line)

    def _list(self, line: _Line) -> None:
        """Queue an address for a turn, unless it is queued or has its place already, or has to pause first."""
        if line.listed or not line.waiting or self._has_its_place(line):
            return
        line.listed = True
        rest = self._rest_of(line)
        if rest > 0:
            self.clock.callLater(rest, self._rested, line)
        else:
            self._turns[not self._was_wrong(line)].append(line)

    def _was_wrong(self, line: _Line) -> bool:
        return self.failures.of(line.address, self.clock.seconds()) > 0

    def _has_its_place(self, line: _Line) -> bool:
        """Return whether an address already holds all the places that it may have."""
        return line.running > 0 and self._was_wrong(line)

    def _rest_of(self, line: _Line) -> float:
        """Return the seconds for which an address has to pause."""
        return self.failures.rests_until(line.address) - self.clock.seconds()

    def _rested(self, line: _Line) -> None:
        """Queue an address after its pause."""
        line.listed = False
        self._list(line)
        self._serve()

    def _serve(self) -> None:
        """Start the next attempts while there are places; one that ends at once frees its place at once."""
        if self._serving:
            return
        self._serving = True
        while self._running < self.most and any(self._turns):
            line = (self._turns[self._next] or self._turns[not self._next]).popleft()
            self._next = 1 - self._next
            line.listed = False
            if self._has_its_place(line) or self._rest_of(line) > 0:  # since it was listed
                self._list(line)
                continue
            next_one = line.take()
            if next_one is None:
                self._forget(line)
                continue
            line.running += 1
            self._running += 1
            self._list(line)
            next_one.callback(None)
        self._serving = False

    def _forget(self, line: _Line) -> None:
        """Forget an address without attempts."""
        if not (line.waiting or line.running or line.listed):
            self._lines.pop(line.address, None)

    def waiting(self, address: str) -> int:
        """Return how many attempts of an address wait."""
        line = self._lines.get(address)
        return line.waiting if line is not None else 0

    def __len__(self) -> int:
        """Return how many addresses have attempts that are being checked or wait."""
        return len(self._lines)
