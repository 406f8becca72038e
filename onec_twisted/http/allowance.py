"""How much small work the reactor does before it turns to others.

Most of what a connection brings costs by the byte. What costs by the piece, as chunks of a body do, and requests that
come one behind the other, a sender can make as small as it likes: of that so much is done at a time, for all
connections together, and the rest waits its turn.
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
"""Seconds in which there is so much."""

MOST_IN_PERIOD = 4096
"""What may be done in that time; a unit is a chunk, less than a microsecond of work."""

SHARE_OF_ONE = 1024
"""What one connection may do before the next has its turn."""

AT_ONCE = 64
"""What a connection may do whatever others do: less than the read that brought it."""


@define(eq=False)
class Allowance:
    """Of all connections of a site, by ``clock``."""

    clock: IReactorTime
    _left: int = field(default=MOST_IN_PERIOD, init=False)
    _until: float = field(default=0.0, init=False)
    _waiting: deque[Callable[[int], None]] = field(factory=deque, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)

    def at_once(self) -> int:
        """Return how much may be done of what has just come; it is to be told to ``spend``. Who waits goes first."""
        return AT_ONCE if self._waiting else max(AT_ONCE, self._renewed())

    def take(self, cost: int) -> bool:
        """Return whether something may be done now, and note that it was."""
        if self._waiting or self._renewed() <= 0:
            return False
        self._left -= cost
        return True

    def spend(self, cost: int) -> None:
        """Note what was done."""
        self._left -= cost

    def wait(self, go_on: Callable[[int], None]) -> None:
        """Call back with how much may be done then, after those who wait already."""
        self._waiting.append(go_on)
        if self._call is None:
            self._call = self.clock.callLater(0 if self._renewed() > 0 else ALLOWANCE_PERIOD, self._go_on)

    def _renewed(self) -> int:
        """Return what is left, now."""
        now = self.clock.seconds()
        if now >= self._until:
            self._until, self._left = now + ALLOWANCE_PERIOD, MOST_IN_PERIOD
        return self._left

    def _go_on(self) -> None:
        """Let those who wait do their share, one after the other, as long as there is any."""
        self._renewed()
        try:
            while self._waiting and self._left > 0:
                self._waiting.popleft()(SHARE_OF_ONE)
        finally:  # an error of one, which the reactor logs, must not keep all others waiting
            self._call = self.clock.callLater(ALLOWANCE_PERIOD, self._go_on) if self._waiting else None
