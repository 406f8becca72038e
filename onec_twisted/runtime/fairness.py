"""Shares a resource among users without a limit for each: nobody gets more than is left for the others.

So a single user may have half, and the next one always finds some left (the dynamic threshold of Choudhury and
Hahne, IEEE/ACM Transactions on Networking 6/2, 1998).
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Places", "Slots"]


@define(eq=False)
class Places:
    """``most`` places, shared by users, and each user's share by its sessions; 0 means no limit."""

    most: int
    taken: int = field(default=0, init=False)
    _users: dict[str, int] = field(factory=dict, init=False)
    _sessions: dict[tuple[str, str], int] = field(factory=dict, init=False)

    def of(self, user: str) -> int:
        """Return how many places a user has."""
        return self._users.get(user, 0)

    def has_room(self, user: str, session: str = "") -> bool:
        """Return whether a user, and its session if given, may have one more."""
        if not self.most:
            return True
        left = self.most - self.taken - self.of(user)
        return left > 0 and (not session or self._sessions.get((user, session), 0) < (left + 1) // 2)

    def take(self, user: str, session: str = "") -> None:
        """Note that a user has one more, in one of its sessions."""
        self.taken += 1
        self._users[user] = self._users.get(user, 0) + 1
        if session:
            self._sessions[user, session] = self._sessions.get((user, session), 0) + 1

    def leave(self, user: str, session: str = "") -> None:
        """Note that a user has one less, in one of its sessions."""
        self.taken -= 1
        if self._users[user] == 1:
            del self._users[user]
        else:
            self._users[user] -= 1
        if session:
            if self._sessions[user, session] == 1:
                del self._sessions[user, session]
            else:
                self._sessions[user, session] -= 1


@define(eq=False)
class Slots:
    """Slots that users share; the next free one goes to the waiting user that has fewest."""

    places: Places
    _waiting: dict[str, deque[Deferred[None]]] = field(factory=dict, init=False)

    @asynccontextmanager
    async def of(self, user: str) -> AsyncIterator[None]:
        """Hold a slot for the duration of the block."""
        await self.ask(user)
        try:
            yield
        finally:
            self.leave(user)

    def ask(self, user: str) -> Deferred[None]:
        """Fire when a user gets a slot, which it holds until ``leave``; cancelling gives up the wait."""
        turn: Deferred[None] = Deferred(lambda turn: self._leave_line(user, turn))
        if user in self._waiting or not self.places.has_room(user):
            self._waiting.setdefault(user, deque()).append(turn)
        else:
            self.places.take(user)
            turn.callback(None)
        return turn

    def leave(self, user: str) -> None:
        """Release a user's slot to the next one waiting."""
        self.places.leave(user)
        self._give()

    def _leave_line(self, user: str, turn: Deferred[None]) -> None:
        """Stop waiting."""
        line = self._waiting[user]
        line.remove(turn)
        if not line:
            del self._waiting[user]

    def _give(self) -> None:
        """Assign free slots to waiting users."""
        while True:
            users = [user for user in self._waiting if self.places.has_room(user)]
            if not users:
                return
            user = min(users, key=self.places.of)
            turn = self._waiting[user][0]
            self._leave_line(user, turn)
            self.places.take(user)
            turn.callback(None)
