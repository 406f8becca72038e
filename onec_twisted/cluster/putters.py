"""The threads that put segments into the store, and the memory that these may take."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Condition, Lock
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from onec_twisted.cluster.s3 import S3
    from onec_twisted.model.records import Segment

__all__ = ["MOST_PUTTERS", "PUT_MEMORY", "Putters"]

MOST_PUTTERS = 8
"""Threads that put segments while the rest of their piece comes."""

PUT_MEMORY = 32 * 1024 * 1024
"""Bytes of spooled pieces that are in memory at a time, on their way to the store, in the whole process."""


@define(eq=False)
class Putters:
    """Puts segments of pieces that are still coming, and bounds what all PUTs have in memory.

    Threads are started when they are needed.
    """

    s3: S3
    memory: int = PUT_MEMORY
    _pool: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(MOST_PUTTERS, "put"), init=False)
    _taken: int = field(default=0, init=False)
    _changed: Condition = field(factory=Condition, init=False)
    _turn: Lock = field(factory=Lock, init=False)

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Wait until ``size`` more bytes fit into memory, and have them; more than fit at all wait for all others."""
        with self._turn, self._changed:  # one after the other, so that many small ones do not keep out a large one
            while self._taken and self._taken + size > self.memory:
                self._changed.wait()
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    def put(self, key: str, body: bytes) -> None:
        """Put an object in this thread; who has a large one takes ``room`` for it before. Raises ``OSError``."""
        self.s3.put(key, body)

    def later(self, put: Callable[[int, int], Segment], start: int, length: int) -> Future[Segment]:
        """Put a segment in a thread. Raises ``RuntimeError`` after ``stop``."""
        return self._pool.submit(put, start, length)

    def forget(self, begun: Future[Segment]) -> None:
        """Remove the object of a segment that nobody is told of, without waiting; or do not put it at all.

        What fails stays until the end of its epoch, when all objects go that are not on record.
        """
        if not begun.cancel():
            begun.add_done_callback(self._remove)

    def _remove(self, begun: Future[Segment]) -> None:
        if begun.exception() is None:
            with suppress(RuntimeError):  # stopped
                self._pool.submit(self.s3.delete, [begun.result().object])

    def stop(self) -> None:
        """Wait for what is being put, and put no more; blocks."""
        self._pool.shutdown(cancel_futures=True)
