"""Room on the disk and in a session's quota, reserved for a body before its first byte is read.

A worker reads the disk's free space at most once a second; bodies that were admitted since then, or are still
arriving, are counted in memory. The estimate errs on the safe side. The catalog enforces the quota in the
transaction that records a piece.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from onec_twisted.model.errors import InsufficientStorage, TooManyUploads
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.defer import Deferred

    from onec_twisted.http.interfaces import IBody

__all__ = ["Space"]

READING_FRESH_FOR = 1.0
"""Seconds that a reading of the disk's free space stays valid."""

SMALL_BODY = 1024 * 1024
"""Bytes up to which a body is admitted as long as there is any room: all concurrent ones together take little."""


@frozen(eq=False)
class _Promise:
    """A reservation of ``size`` bytes for one body."""

    body: IBody
    size: int

    def outstanding(self) -> int:
        """Return how many bytes are still to arrive."""
        return max(0, self.size - self.body.received)


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
    _promised: dict[str, set[_Promise]] = field(factory=lambda: defaultdict(set), init=False)
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

    def is_over_quota_alone(self, held: int, size: int) -> bool:
        """Return whether ``size`` more bytes exceed the quota of a session that holds ``held``, but not the disk."""
        return held + size > self.quota and size <= self._left

    @contextmanager
    def promise(
        self, sessid: str, held: int, body: IBody, most: int, kept: int | None = None, user: str = ""
    ) -> Iterator[int]:
        """Reserve room for a body while it is received; yield how many bytes it may have.

        ``held`` is what the session has on record, in bytes. A body without a length may have ``most`` bytes, or
        fewer if there is less room; only ``kept`` of them are reserved, so that one body cannot take all the room. A
        large body of a ``user`` who has others on the way may not reserve more than it leaves for everybody else:
        otherwise a user who sends nothing could shut others out. Raises ``InsufficientStorage``, and
        ``TooManyUploads`` in the latter case.
        """
        coming = sum(promise.outstanding() for promise in self._promised.get(sessid, ()))
        room = min(self._left, self.quota - held - coming)
        size = min(most, room) if body.length is None else body.length
        if room < size or size < 0:
            raise InsufficientStorage
        promise = _Promise(body, size if kept is None or body.length is not None else min(size, kept))
        mine = self._of_user.get(user, 0)
        if user and mine and promise.size > SMALL_BODY and mine + promise.size > self._left - promise.size:
            raise TooManyUploads
        self._of_user[user] = mine + promise.size
        self._left -= promise.size
        self._promised[sessid].add(promise)
        try:
            yield size
        finally:
            self._left += promise.outstanding()
            self._of_user[user] -= promise.size
            if not self._of_user[user]:
                del self._of_user[user]
            self._promised[sessid].discard(promise)
            if not self._promised[sessid]:
                del self._promised[sessid]
