"""Shares a resource without a limit for each: nobody gets more than is left for the others.

So a single user may have half, and the next one always finds some left (the dynamic threshold of Choudhury and
Hahne, IEEE/ACM Transactions on Networking 6/2, 1998). Who shares is a path: a shop, its user, and perhaps the user's
session. What is left to one of them, those below it share in the same way.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Path", "Places", "Sharing", "Slots"]

Path = tuple[str, ...]
"""Who shares: a shop, its user, and perhaps the user's session."""

KEPT_PART = 4
"""The part of all places, a fourth, in which a shop gets one only if it has none: otherwise the first shops that take
half of what is left, and give nothing back, would leave nothing to the next ones."""


@define(eq=False)
class Sharing:
    """Who shares with everybody: shops, or the users of the only one. A reload may change that.

    What anybody has is counted in the same way for both, so the change needs no counting.
    """

    among_shops: bool = False

    def levels(self, path: Path) -> list[Path]:
        """Return those in a path who share, from the top down."""
        return [path[:depth] for depth in range(1 if self.among_shops else 2, len(path) + 1)]


@define(eq=False)
class Places:
    """``most`` places, shared along paths; 0 means no limit."""

    most: int
    sharing: Sharing = field(factory=Sharing)
    taken: int = field(default=0, init=False)
    _taken: dict[Path, int] = field(factory=dict, init=False)

    def of(self, path: Path) -> int:
        """Return how many places somebody has, with all those below."""
        return self._taken.get(path, 0)

    def has_room(self, path: Path) -> bool:
        """Return whether somebody may have one more."""
        if not self.most:
            return True
        share = self.most - self.taken
        if self.sharing.among_shops and share <= self.most // KEPT_PART and path[:1] in self._taken:
            return False
        for level in self.sharing.levels(path):
            left = share - self._taken.get(level, 0)
            if left <= 0:
                return False
            share = (left + 1) // 2
        return True

    def take(self, path: Path) -> None:
        """Note that somebody has one more."""
        self.taken += 1
        for depth in range(1, len(path) + 1):
            above = path[:depth]
            self._taken[above] = self._taken.get(above, 0) + 1

    def leave(self, path: Path) -> None:
        """Note that somebody has one less."""
        self.taken -= 1
        for depth in range(1, len(path) + 1):
            above = path[:depth]
            if self._taken[above] == 1:
                del self._taken[above]
            else:
                self._taken[above] -= 1


@define(eq=False)
class Slots:
    """Slots that are shared; the next free one goes to whoever waits for one and has fewest."""

    places: Places
    _waiting: dict[Path, deque[Deferred[None]]] = field(factory=dict, init=False)

    @asynccontextmanager
    async def of(self, path: Path) -> AsyncIterator[None]:
        """Hold a slot for the duration of the block."""
        await self.ask(path)
        try:
            yield
        finally:
            self.leave(path)

    def ask(self, path: Path) -> Deferred[None]:
        """Fire when somebody gets a slot, which is held until ``leave``; cancelling gives up the wait."""
        turn: Deferred[None] = Deferred(lambda turn: self._leave_line(path, turn))
        if path in self._waiting or not self.places.has_room(path):
            self._waiting.setdefault(path, deque()).append(turn)
        else:
            self.places.take(path)
            turn.callback(None)
        return turn

    def leave(self, path: Path) -> None:
        """Release a slot to the next one waiting."""
        self.places.leave(path)
        self._give()

    def _leave_line(self, path: Path, turn: Deferred[None]) -> None:
        """Stop waiting."""
        line = self._waiting[path]
        line.remove(turn)
        if not line:
            del self._waiting[path]

    def _had(self, path: Path) -> list[int]:
        """Return how many slots somebody has, after those above."""
        return [self.places.of(path[:depth]) for depth in range(1, len(path) + 1)]

    def _give(self) -> None:
        """Assign free slots to those who wait."""
        while True:
            paths = [path for path in self._waiting if self.places.has_room(path)]
            if not paths:
                return
            path = min(paths, key=self._had)
            turn = self._waiting[path][0]
            self._leave_line(path, turn)
            self.places.take(path)
            turn.callback(None)
