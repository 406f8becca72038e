"""The threads that put segments, and the memory that these may take."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Semaphore
from typing import TYPE_CHECKING

import pytest

from onec_twisted.cluster.putters import MOST_PUTTERS, Putters
from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_s3 import FakeS3

    from onec_twisted.cluster.s3 import S3


@pytest.fixture
def putters(s3: S3) -> Iterator[Putters]:
    """Threads with 100 bytes of memory."""
    putters = Putters(s3, 100)
    yield putters
    putters.stop()


def test_memory_is_shared(putters: Putters) -> None:
    """Who does not fit waits until others are done; who comes later does not overtake."""
    with ThreadPoolExecutor() as pool, putters.room(60):
        order: list[int] = []

        def take(size: int, begun: Event) -> None:
            begun.set()
            with putters.room(size):
                order.append(size)

        with putters.room(40):
            waiting = []
            for size in (90, 10):
                begun = Event()
                waiting.append(pool.submit(take, size, begun))
                assert begun.wait(10)
            assert order == []
        assert not waiting[0].done()
    for one in waiting:
        one.result(10)

    assert sorted(order) == [10, 90]


def test_more_than_fits_at_all(putters: Putters) -> None:
    """It has all memory to itself."""
    with putters.room(1000):
        pass
    with putters.room(100):
        pass


def test_memory_is_given_back_by_who_fails(putters: Putters) -> None:
    """Or others would wait for ever."""
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), putters.room(100):
            raise ValueError("x")


def test_what_nobody_is_told_of_is_removed(
    putters: Putters, fake: FakeS3, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is put; what is not begun is not put at all."""
    may, began, removed, real = Event(), Semaphore(0), Semaphore(0), s3.delete

    def put(start: int, length: int) -> Segment:
        began.release()
        assert may.wait(10)
        s3.put(f"k{start}", b"x")
        return Segment(start, length, f"k{start}", b"")

    def delete(keys: list[str]) -> None:
        real(keys)
        removed.release()

    monkeypatch.setattr(s3, "delete", delete)
    begun = [putters.later(put, start, 1) for start in range(20)]
    for _ in range(MOST_PUTTERS):
        assert began.acquire(timeout=10)
    failed: Future[Segment] = Future()
    failed.set_exception(OSError("x"))
    done: Future[Segment] = Future()
    done.set_result(Segment(0, 1, "k", b""))
    fake.objects["shop/k"] = b"x"
    for one in (*begun[1:], failed, done):
        putters.forget(one)
    may.set()
    for _ in range(MOST_PUTTERS):
        assert removed.acquire(timeout=10)

    assert list(fake.objects) == ["shop/k0"]
    assert fake.count("PUT") == MOST_PUTTERS


def test_after_the_stop(putters: Putters) -> None:
    """Nothing is put, and nothing that is forgotten raises."""
    done: Future[Segment] = Future()
    done.set_result(Segment(0, 1, "k", b""))
    putters.stop()
    putters.forget(done)
    with pytest.raises(RuntimeError):
        putters.later(lambda start, length: Segment(start, length, "k", b""), 0, 1)
