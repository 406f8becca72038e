"""Room on the disk and in a session's quota, reserved for a body before its first byte is read.

A worker reads the disk's free space at most once a second; bodies that were admitted since then, or are still
arriving, are counted in memory. The estimate errs on the safe side. The catalog enforces the quota in the
transaction that records a piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from onec_twisted.model.errors import InsufficientStorage, TooManyUploads
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

__all__ = ["Coming", "Space"]

READING_FRESH_FOR = 1.0
"""Seconds that a reading of the disk's free space stays valid."""

SMALL_BODY = 1024 * 1024
"""Bytes up to which a body is admitted as long as there is any room: all concurrent ones together take little."""


class Coming(Protocol):
    """What needs room: its length in bytes, None if it is not known, and how many of them have been received."""

    @property
    def length(self) -> int | None:
        """Return the length."""

    @property
    def received(self) -> int:
        """Return what has been received."""


@define(eq=False)
class _Promise:
    """A reservation of ``size`` bytes for one body, which may have ``most``: its block receives that, and ends it."""

    space: Space
    sessid: str
    user: str
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

    ``free`` returns a Deferred of the disk's free bytes, ``seconds`` is a monotonic clock; ``min_free`` and
    ``quota`` are in bytes.
    """

    free: Callable[[], Deferred[int]]
    seconds: Callable[[], float]
    min_free: int
    quota: int
    _promised: dict[str, set[_Promise]] = field(factory=dict, init=False)
    _of_user: dict[str, int] = field(factory=dict, init=False)
    """Bytes reserved for each user's bodies on their way, including those that have arrived."""
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

    def room_to_keep(self) -> int:
        """Return how many bytes a session may keep of what was imported before: no more than the disk has left."""
        return max(0, min(self.quota, self._left))

    def is_over_quota_alone(self, held: int, size: int) -> bool:
        """Return whether ``size`` more bytes exceed the quota of a session that holds ``held``, but not the disk."""
        return held + size > self.quota and size <= self._left

    def promise(
        self, sessid: str, held: int, body: Coming, most: int, kept: int | None = None, user: str = ""
    ) -> _Promise:
        """Reserve room for a body until the end of the block, which receives how many bytes it may have.

        ``held`` is what the session has on record, in bytes. A body without a length may have ``most`` bytes, or
        fewer if there is less room; only ``kept`` of them are reserved, so that one body cannot take all the room. A
        large body of a ``user`` who has others on the way may not reserve more than it leaves for everybody else:
        otherwise a user who sends nothing could shut others out. Raises ``InsufficientStorage``, and
        ``TooManyUploads`` in the latter case.
        """
        others = self._promised.get(sessid)
        coming = sum([promise.outstanding() for promise in others]) if others else 0
        room = min(self._left, self.quota - held - coming)
        length = body.length
        may_have = min(most, room) if length is None else length
        if room < may_have or may_have < 0:
            raise InsufficientStorage
        size = may_have if kept is None or length is not None else min(may_have, kept)
        mine = self._of_user.get(user, 0)
        if user and mine and size > SMALL_BODY and mine + size > self._left - size:
            raise TooManyUploads
        self._of_user[user] = mine + size
        self._left -= size
        promise = _Promise(self, sessid, user, body, may_have, size)
        self._promised.setdefault(sessid, set()).add(promise)
        return promise

    def end(self, promise: _Promise) -> None:
        """End a reservation: what did not arrive is free again."""
        self._left += promise.outstanding()
        self._of_user[promise.user] -= promise.size
        if not self._of_user[promise.user]:
            del self._of_user[promise.user]
        of_session = self._promised[promise.sessid]
        of_session.discard(promise)
        if not of_session:
            del self._promised[promise.sessid]
