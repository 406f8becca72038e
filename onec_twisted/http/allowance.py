"""Limits how much small work the reactor does at a time.

Most input costs by the byte. Chunks of a body and pipelined requests cost by the item, and a sender can make them as
small as it likes. Only a limited amount of such work is done at a time, for all connections together; the rest waits
its turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Allowance"]

ALLOWANCE_PERIOD = 0.01
"""Seconds after which the allowance is renewed."""

MOST_IN_PERIOD = 4096
"""Units that may be spent in that time; a unit is a chunk, less than a microsecond of work."""

SHARE_OF_ONE = 1024
"""Units that one connection may spend before the next one has its turn."""

AT_ONCE = 64
"""Units that a connection may always spend: less work than the read that brought its data."""


@define(eq=False)
class Allowance:
    """The allowance shared by all connections of a server, renewed by ``clock``."""

    clock: IReactorTime
    _left: int = field(default=MOST_IN_PERIOD, init=False)
    _until: float = field(default=0.0, init=False)
    _waiting: deque[Callable[[int], None]] = field(factory=deque, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)

    def at_once(self) -> int:
        """Return how many units new data may use; report them to ``spend``. Waiting connections go first."""
        return AT_ONCE if self._waiting else max(AT_ONCE, self._renewed())

    def take(self, cost: int) -> bool:
        """Return whether work of this cost may be done now, and if so deduct it."""
        if self._waiting or self._renewed() <= 0:
            return False
        self._left -= cost
        return True

    def spend(self, cost: int) -> None:
        """Deduct the cost of work that was done."""
        self._left -= cost

    def wait(self, go_on: Callable[[int], None]) -> None:
        """Call back later with the units that may be spent, after those that wait already."""
        self._waiting.append(go_on)
        if self._call is None:
            self._call = self.clock.callLater(0 if self._renewed() > 0 else ALLOWANCE_PERIOD, self._go_on)

    def _renewed(self) -> int:
        """Return what is left, renewing the allowance when a period has passed."""
        now = self.clock.seconds()
        if now >= self._until:
            self._until, self._left = now + ALLOWANCE_PERIOD, MOST_IN_PERIOD
        return self._left

    def _go_on(self) -> None:
        """Let waiting connections use their share, one after the other, while any allowance is left."""
        self._renewed()
        try:
            while self._waiting and self._left > 0:
                self._waiting.popleft()(SHARE_OF_ONE)
        finally:  # one connection's error, which the reactor logs, must not block all others
            self._call = self.clock.callLater(ALLOWANCE_PERIOD, self._go_on) if self._waiting else None
