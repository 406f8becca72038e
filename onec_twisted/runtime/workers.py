"""Threads that wait for the disk, so that the reactor never does.

Twisted's thread pool does the same, but the hand-over of a piece to a thread and back costs half as much here, and
for a small piece this is a large part of the cost.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFDSet

__all__ = ["DiskWorkers", "Workers"]

T = TypeVar("T")

if TYPE_CHECKING:
    Call = tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]] | None
"""A Deferred to fire with what a function returns, and its arguments; None ends a thread."""


class Workers(Protocol):
    """Runs blocking functions off the reactor thread."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Fire with what the function returns, or fail with what it raises."""

    def crowded(self) -> bool:
        """Return whether a call waits for a thread; may be called in any thread."""


@implementer(IReadDescriptor)
class _Bell:
    """A pipe by which threads call the reactor's, with fewer steps than by ``callFromThread``."""

    def __init__(self, reactor: IReactorFDSet, answer: Callable[[], None]) -> None:
        """Call ``answer``, which raises nothing, in the reactor's thread when the bell was rung."""
        self._reactor = reactor
        self._answer = answer
        self._reading, self._writing = os.pipe()
        reactor.addReader(self)

    def ring(self) -> None:
        """Have the call made soon; in any thread."""
        os.write(self._writing, b"x")

    def doRead(self) -> None:
        os.read(self._reading, 1024)
        self._answer()

    def close(self) -> None:
        """Remove it; no thread may ring it any more."""
        self._reactor.removeReader(self)
        os.close(self._reading)
        os.close(self._writing)

    def fileno(self) -> int:
        return self._reading

    def logPrefix(self) -> str:
        return "workers"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the reactor stops, and threads may still ring."""


class DiskWorkers(Workers):
    """At most ``most`` threads, started when there is work for them; each takes the oldest waiting call.

    The thread that became idle last is woken first: what it needs is still in the processor's caches.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet, most: int) -> None:
        """Start without threads."""
        self._reactor = reactor
        self._most = most
        self._threads: list[Thread] = []
        self._open = 0
        self._turn = Lock()
        """Held to use the next two."""
        self._waiting: deque[Call] = deque()
        self._idle: list[Lock] = []
        """What each idle thread waits for."""
        self._is_waking = False
        """Whether a thread was woken that has not looked yet; it wakes the next one if more calls wait."""
        self._done: deque[tuple[Deferred[Any], Any]] = deque()
        self._bell: _Bell | None = None
        """What a thread rings when a call is done; made with the first thread."""
        self._is_rung = False

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run ``function`` in a thread. Raises ``RuntimeError`` when there is no thread, and none can be started."""
        if len(self._threads) < min(self._open + 1, self._most):
            self._start_thread()
        fired: Deferred[T] = Deferred()
        self._open += 1
        self._put((fired, function, args))
        return fired

    def _start_thread(self) -> None:
        """Start a thread; if the system has none left, continue with the existing ones."""
        if self._bell is None:
            self._bell = _Bell(self._reactor, self._fire)
        thread = Thread(target=self._work, args=(self._bell,), name=f"disk-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def crowded(self) -> bool:
        return self._open > self._most

    @property
    def is_stopped(self) -> bool:
        """Return whether there are no threads."""
        return self._bell is None

    def stop(self) -> None:
        """Stop the threads after all pending calls, and those that follow from their results; blocks until then."""
        while self._threads:
            for _ in self._threads:
                self._put(None)
            while self._threads:
                self._threads.pop().join()
            self._fire()  # whoever waited may call again, which starts a thread
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _put(self, call: Call) -> None:
        """Let a call wait for a thread."""
        with self._turn:
            self._waiting.append(call)
            self._wake()

    def _wake(self) -> None:
        """Wake a thread for a call that waits, unless one is waking already; the caller holds ``_turn``."""
        if self._waiting and self._idle and not self._is_waking:
            self._is_waking = True
            self._idle.pop().release()

    def _take(self, wakes: Lock) -> Call:
        """In a thread, whose lock ``wakes`` is: return the oldest call, as soon as there is one."""
        while True:
            with self._turn:
                if self._waiting:
                    call = self._waiting.popleft()
                    self._wake()
                    return call
                self._idle.append(wakes)
            wakes.acquire()
            self._is_waking = False

    def _work(self, bell: _Bell) -> None:
        """In a thread: run calls until ``stop``."""
        wakes = Lock()
        wakes.acquire()
        while (call := self._take(wakes)) is not None:
            fired, function, args = call
            try:
                outcome = function(*args)
            except BaseException:
                outcome = Failure()
            del call, function, args
            self._done.append((fired, outcome))
            del fired, outcome
            if not self._is_rung:
                self._is_rung = True
                bell.ring()

    def _fire(self) -> None:
        """Fire the Deferreds of finished calls. The mark is cleared first, so that later ones ring again."""
        self._is_rung = False
        while self._done:
            fired, outcome = self._done.popleft()
            self._open -= 1
            try:
                fired.callback(outcome)  # a Failure makes it an errback
            except Exception:
                self._log.failure("the result of a worker thread was lost")
