"""A semaphore that lets threads in by the order in which they came."""

from __future__ import annotations

from collections import deque
from threading import Lock

__all__ = ["FairSemaphore"]


class FairSemaphore:
    """A context that so many threads may be in at a time; that of the standard library lets busy ones go first."""

    def __init__(self, places: int) -> None:
        """Let nobody in yet."""
        self._free = places
        self._waiting: deque[Lock] = deque()
        self._changing = Lock()

    def __enter__(self) -> None:
        """Wait for a place. Blocks."""
        with self._changing:
            if self._free:
                self._free -= 1
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        """Pass the place on to who has waited longest."""
        with self._changing:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
