"""Room on the disk and in a session's quota, promised to a body before its first byte is read.

What the disk has left is read in a worker, at most once a second; bodies that were admitted since then, or are
still coming, are counted from memory. The estimate errs on the careful side. The quota's last word is the
catalog's, in the transaction that records a piece.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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
"""Seconds that a reading of the disk's free space is good for."""

SMALL_BODY = 1024 * 1024
"""Bytes of a body for which there is room as long as there is any: all that there may be at once take little."""


@frozen(eq=False)
class _Promise:
    """Room for one body: ``size`` bytes."""

    body: IBody
    size: int

    def outstanding(self) -> int:
        """Return the bytes that are still to come."""
        return max(0, self.size - self.body.received)


@define(eq=False)
class Space:
    """Who may still write, and how much.

    ``free`` fires with the bytes that the disk has left, ``seconds`` is a clock; ``min_free`` and ``quota`` are in
    bytes.
    """

    free: Callable[[], Deferred[int]]
    seconds: Callable[[], float]
    min_free: int
    quota: int
    _promised: dict[str, set[_Promise]] = field(factory=lambda: defaultdict(set), init=False)
    _of_user: Counter[str] = field(factory=Counter, init=False)
    """Bytes that were promised to each user's bodies that are on their way, those that have come among them."""
    _left: int = field(default=0, init=False)
    _read_at: float | None = field(default=None, init=False)
    _reading: SingleFlight[None] = field(factory=SingleFlight, init=False)

    async def look(self) -> None:
        """Read what the disk has left, unless that is known; to be awaited before ``promise``.

        Those who wait for it go on in the order in which they came.
        """
        if self._read_at is not None and 0 <= self.seconds() - self._read_at < READING_FRESH_FOR:
            return
        await self._reading.call("free", self._read)

    async def _read(self) -> None:
        """Read what the disk has left."""
        free = await self.free()
        coming = sum(promise.outstanding() for promises in self._promised.values() for promise in promises)
        self._left = free - coming - self.min_free
        self._read_at = self.seconds()

    def fits(self, size: int) -> bool:
        """Return whether the disk has room for so many bytes, as far as is known; nothing is kept for them."""
        return size <= self._left

    def is_over_quota_alone(self, held: int, size: int) -> bool:
        """Return whether a session that holds so many bytes has no room for more, though the disk has."""
        return held + size > self.quota and size <= self._left

    @contextmanager
    def promise(
        self, sessid: str, held: int, body: IBody, most: int, kept: int | None = None, user: str = ""
    ) -> Iterator[int]:
        """Keep room for a body while it is received; yields how many bytes it may have.

        ``held`` is what the session has on record, in bytes. A body that announces no length may have ``most``
        bytes, less where there is less room; room is kept for ``kept`` of them, lest one takes all there is. A
        ``user`` who has others on the way is kept no more room for a large one than is left for everybody else: it
        could send none of it, and keep them out all the same. Raises ``InsufficientStorage``, and ``TooManyUploads``
        for that.
        """
        coming = sum(promise.outstanding() for promise in self._promised.get(sessid, ()))
        room = min(self._left, self.quota - held - coming)
        size = min(most, room) if body.length is None else body.length
        if room < size or size < 0:
            raise InsufficientStorage
        promise = _Promise(body, size if kept is None or body.length is not None else min(size, kept))
        mine = self._of_user[user]
        if user and mine and promise.size > SMALL_BODY and mine + promise.size > self._left - promise.size:
            raise TooManyUploads
        self._of_user[user] += promise.size
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
