"""Threads that wait for the disk, so that the reactor never does.

Twisted's thread pool does the same, but the hand-over of a piece to a thread and back costs a third less here, and
for a small piece this is most of the cost.
"""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFromThreads

__all__ = ["DiskWorkers", "Workers"]

T = TypeVar("T")


class Workers(Protocol):
    """Runs blocking functions off the reactor thread."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Fire with what the function returns, or fail with what it raises."""

    def crowded(self) -> bool:
        """Return whether a call waits for a thread; may be called in any thread."""


class DiskWorkers(Workers):
    """At most ``most`` threads, started when there is work for them; each takes the oldest waiting call."""

    def __init__(self, reactor: IReactorFromThreads, most: int) -> None:
        """Start without threads."""
        self._reactor = reactor
        self._most = most
        self._threads: list[Thread] = []
        self._calls: SimpleQueue[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._open = 0
        self._done: deque[tuple[Deferred[Any], Any]] = deque()
        self._is_due = False

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run ``function`` in a thread. Raises ``RuntimeError`` when there is no thread, and none can be started."""
        if len(self._threads) < min(self._open + 1, self._most):
            self._start_thread()
        fired: Deferred[T] = Deferred()
        self._open += 1
        self._calls.put((fired, function, args))
        return fired

    def _start_thread(self) -> None:
        """Start a thread; if the system has none left, continue with the existing ones."""
        thread = Thread(target=self._work, name=f"disk-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def crowded(self) -> bool:
        return self._open > self._most

    def stop(self) -> None:
        """Stop the threads after all pending calls; blocks until then."""
        for _ in self._threads:
            self._calls.put(None)
        while self._threads:
            self._threads.pop().join()
        self._fire()

    def _work(self) -> None:
        """In a thread: run calls until ``stop``."""
        while (call := self._calls.get()) is not None:
            fired, function, args = call
            try:
                outcome = function(*args)
            except BaseException:
                outcome = Failure()
            del call, function, args
            self._done.append((fired, outcome))
            del fired, outcome
            if not self._is_due:
                self._is_due = True
                self._reactor.callFromThread(self._fire)

    def _fire(self) -> None:
        """Fire the Deferreds of finished calls. The mark is cleared first, so that later ones are scheduled again."""
        self._is_due = False
        while self._done:
            fired, outcome = self._done.popleft()
            self._open -= 1
            fired.callback(outcome)  # a Failure makes it an errback
