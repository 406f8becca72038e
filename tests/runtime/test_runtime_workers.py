"""Threads that wait for the disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import flush_failures
from pytest_twisted import ensureDeferred
from twisted.internet.defer import AlreadyCalledError, gatherResults
from twisted.internet.task import deferLater

from onec_twisted.runtime.workers import DiskWorkers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def workers() -> Iterator[DiskWorkers]:
    """Two threads at most."""
    from twisted.internet import reactor

    workers = DiskWorkers(reactor, 2)
    yield workers
    workers.stop()


@ensureDeferred
async def test_what_a_function_returns_comes_back(workers: DiskWorkers) -> None:
    """In the reactor's thread; the function runs in another."""
    here = threading.get_ident()
    assert await workers(lambda a, b: (a + b, threading.get_ident() != here), 1, 2) == (3, True)
    assert threading.get_ident() == here


@ensureDeferred
async def test_what_a_function_raises_comes_back(workers: DiskWorkers) -> None:
    """And the thread goes on."""
    with pytest.raises(ZeroDivisionError):
        await workers(lambda: 1 / 0)
    assert await workers(lambda: 5) == 5


@ensureDeferred
async def test_many_calls_share_few_threads(workers: DiskWorkers) -> None:
    """All are done, by two threads; it is crowded while some wait."""
    go_on = threading.Event()

    def wait() -> str:
        go_on.wait(10)
        return threading.current_thread().name

    calls = [workers(wait) for _ in range(2)]
    assert not workers.crowded()
    calls += [workers(wait) for _ in range(50)]
    assert workers.crowded()
    go_on.set()
    names = await gatherResults(calls)

    assert set(names) <= {"disk-0", "disk-1"}
    assert not workers.crowded()


@ensureDeferred
async def test_threads_are_started_when_needed(workers: DiskWorkers) -> None:
    """One call after another needs one."""
    assert {await workers(lambda: threading.current_thread().name) for _ in range(5)} == {"disk-0"}


@ensureDeferred
async def test_the_thread_that_became_idle_last_is_next(workers: DiskWorkers) -> None:
    """The other one sleeps on, and what one call after another needs stays in the caches of one processor."""
    from twisted.internet import reactor

    ends = [threading.Event(), threading.Event()]

    def wait(end: threading.Event) -> str:
        end.wait(10)
        return threading.current_thread().name

    calls = [workers(wait, end) for end in ends]
    for idle, (call, end) in enumerate(zip(calls, ends, strict=True), start=1):
        end.set()
        last = await call
        while len(workers._idle) < idle:
            await deferLater(reactor, 0)

    assert await workers(lambda: threading.current_thread().name) == last


@ensureDeferred
async def test_a_stop_waits_for_what_was_asked_for() -> None:
    """And tells it."""
    from twisted.internet import reactor

    workers = DiskWorkers(reactor, 2)
    outcomes: list[Any] = []
    for number in range(10):
        workers(lambda number: number, number).addCallback(outcomes.append)
    workers.stop()

    assert sorted(outcomes) == list(range(10))


@ensureDeferred
async def test_a_stop_waits_for_what_follows() -> None:
    """Whoever is told an outcome may ask for more, and no thread outlives the stop."""
    from twisted.internet import reactor

    workers, before = DiskWorkers(reactor, 2), set(threading.enumerate())
    outcomes: list[int] = []

    def ask(number: int) -> None:
        outcomes.append(number)
        if number < 5:
            workers(lambda: number + 1).addCallback(ask)

    ask(0)
    workers.stop()

    assert outcomes == list(range(6))
    assert workers.is_stopped
    assert set(threading.enumerate()) <= before


@ensureDeferred
async def test_a_call_that_was_answered_otherwise(workers: DiskWorkers, nothing_left_behind: list[Any]) -> None:
    """The log says so, and the others are answered all the same."""
    calls = [workers(lambda number: number, number) for number in range(3)]
    calls[1].callback("otherwise")

    assert await gatherResults(calls) == [0, "otherwise", 2]
    assert await workers(lambda: 3) == 3
    assert [type(error) for error in flush_failures(nothing_left_behind)] == [AlreadyCalledError]


@ensureDeferred
async def test_a_system_without_threads(workers: DiskWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there go on alone; when there is none, the call is refused, and is not done later."""
    from twisted.internet import reactor

    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert await workers(lambda: 1) == 1
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot)
        assert await gatherResults([workers(lambda: 2) for _ in range(5)]) == [2] * 5
        none = DiskWorkers(reactor, 2)
        with pytest.raises(RuntimeError, match="new thread"):
            none(lambda: 3)
    assert await none(lambda: 4) == 4
    none.stop()
