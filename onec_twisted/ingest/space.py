"""Room on the disk, and in the quotas of a session and of its shop, reserved before a body's first byte is read.

A worker reads the disk's free space at most once a second; bodies that were admitted since then, or are still
arriving, are counted in memory. The estimate errs on the safe side. The catalog enforces the quota in the
transaction that records a piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from onec_twisted.model.errors import InsufficientStorage, ShopFull, TooManyUploads
from onec_twisted.model.shops import shares_of
from onec_twisted.runtime.fairness import Sharing
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from onec_twisted.ingest.shoproom import ShopRoom
    from onec_twisted.runtime.fairness import Path

__all__ = ["Coming", "Space"]

READING_FRESH_FOR = 1.0
"""Seconds that a reading of the disk's free space stays valid."""

SMALL_BODY = 1024 * 1024
"""Bytes up to which a body is admitted as long as there is any room: all concurrent ones together take little."""


class Coming(Protocol):
    """What needs room: its length in bytes, None if it is not known, and how many were received and are kept."""

    @property
    def length(self) -> int | None:
        """Return the length."""

    @property
    def received(self) -> int:
        """Return what has been received."""

    @property
    def accepted(self) -> int:
        """Return what is on record of it at its end."""


@define(eq=False)
class _Promise:
    """A reservation of ``size`` bytes for one body, which may have ``most``: its block receives that, and ends it."""

    space: Space
    sessid: str
    user: str
    shop: ShopRoom | None
    body: Coming
    most: int
    size: int

    def outstanding(self) -> int:
        """Return how many bytes are still to arrive."""
        return max(0, self.size - self.body.received)

    def __enter__(self) -> int:
        """Return how many bytes the body may have."""
        return self.most

    def __exit__(self, *_: object) -> None:
        """End the reservation."""
        self.space.end(self)


@define(eq=False)
class Space:
    """The room that is left, and the reservations of it.

    ``free`` returns a Deferred of the disk's free bytes, ``seconds`` is a monotonic clock; ``min_free`` is in bytes.
    """

    free: Callable[[], Deferred[int]]
    seconds: Callable[[], float]
    min_free: int
    sharing: Sharing = field(factory=Sharing)
    _promised: dict[str, set[_Promise]] = field(factory=dict, init=False)
    _of: dict[Path, int] = field(factory=dict, init=False)
    """Bytes reserved for the bodies of each user and each shop, including those that have arrived."""
    _left: int = field(default=0, init=False)
    _read_at: float | None = field(default=None, init=False)
    _reading: SingleFlight[None] = field(factory=SingleFlight, init=False)

    async def look(self) -> None:
        """Read the disk's free space, unless a recent reading is known; await it before ``promise``.

        Waiters resume in the order in which they came.
        """
        if self._read_at is not None and 0 <= self.seconds() - self._read_at < READING_FRESH_FOR:
            return
        await self._reading.call("free", self._read)

    async def _read(self) -> None:
        """Read the disk's free space."""
        free = await self.free()
        coming = sum(promise.outstanding() for promises in self._promised.values() for promise in promises)
        self._left = free - coming - self.min_free
        self._read_at = self.seconds()

    def fits(self, size: int) -> bool:
        """Return whether the disk has room for ``size`` bytes, as far as is known, without reserving it."""
        return size <= self._left

    def room_to_keep(self, quota: int) -> int:
        """Return how many bytes a session may keep of what was imported before: no more than the disk has left."""
        return max(0, min(quota, self._left))

    def promise(
        self,
        sessid: str,
        left: int,
        body: Coming,
        most: int,
        kept: int | None = None,
        user: str = "",
        shop: ShopRoom | None = None,
    ) -> _Promise:
        """Reserve room for a body until the end of the block, which receives how many bytes it may have.

        ``left`` is how many bytes the session may have on record besides what it has; ``shop`` is the room of the
        user's shop, if that has a quota. A body without a length may have ``most`` bytes, or fewer if there is less
        room; only ``kept`` of them are reserved, so that one body cannot take all the room. A large body of a
        ``user`` who has others on the way may not reserve more than it leaves for everybody else: otherwise a user
        who sends nothing could shut others out; nor may a shop, and its users share what that may have. Raises
        ``InsufficientStorage``, ``ShopFull``, and ``TooManyUploads`` in the latter case.
        """
        others = self._promised.get(sessid)
        coming = sum([promise.outstanding() for promise in others]) if others else 0
        room = min(self._left, left - coming)
        length = body.length
        if shop is not None:
            needed = 1 if length is None else length
            if needed and shop.left < needed:
                raise ShopFull
            room = min(room, shop.left)
        may_have = min(most, room) if length is None else length
        if room < may_have or may_have < 0:
            raise InsufficientStorage
        size = may_have if kept is None or length is not None else min(may_have, kept)
        if user:
            self._share(user, size)
        self._left -= size
        if shop is not None:
            shop.take(size)
        promise = _Promise(self, sessid, user, shop, body, may_have, size)
        self._promised.setdefault(sessid, set()).add(promise)
        return promise

    def _share(self, user: str, size: int) -> None:
        """Reserve bytes for a user and its shop. Raises ``TooManyUploads``."""
        path, share = shares_of(user), self._left - size
        for level in self.sharing.levels(path):
            mine = self._of.get(level, 0)
            if mine and size > SMALL_BODY and mine + size > share:
                raise TooManyUploads
            share //= 2
        for level in (path[:1], path):
            self._of[level] = self._of.get(level, 0) + size

    def end(self, promise: _Promise) -> None:
        """End a reservation: what did not arrive is free again."""
        self._left += promise.outstanding()
        path = shares_of(promise.user)
        for level in (path[:1], path) if promise.user else ():
            left = self._of.pop(level, 0) - promise.size  # it is not there while all bodies are empty
            if left:
                self._of[level] = left
        if promise.shop is not None:
            promise.shop.give(promise.size, promise.body.accepted)
        of_session = self._promised[promise.sessid]
        of_session.discard(promise)
        if not of_session:
            del self._promised[promise.sessid]
