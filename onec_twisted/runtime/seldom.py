"""Decides what is logged seldom: strangers can repeat a mistake as often as they like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Seldom"]

SELDOM_PERIOD = 60.0
"""Seconds in which the same is logged once."""

MOST_IN_PERIOD = 100
"""Different things that are logged in that time."""


@define(eq=False)
class Seldom:
    """Allows each thing once a minute, and a hundred things in all. ``seconds`` is a monotonic clock."""

    seconds: Callable[[], float]
    _seen: set[Hashable] = field(factory=set, init=False)
    _until: float = field(default=0.0, init=False)

    def allows(self, what: Hashable) -> bool:
        """Return whether it is to be logged now."""
        now = self.seconds()
        if now >= self._until:
            self._seen.clear()
            self._until = now + SELDOM_PERIOD
        if what in self._seen or len(self._seen) >= MOST_IN_PERIOD:
            return False
        self._seen.add(what)
        return True
