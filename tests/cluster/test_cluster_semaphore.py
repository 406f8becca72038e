"""The fair semaphore: so many at a time, by the order in which they came."""

from __future__ import annotations

import threading
from contextlib import suppress

from onec_twisted.cluster.semaphore import FairSemaphore

PATIENCE = 20.0
"""Seconds after which a thread counts as stuck."""


def test_one_after_the_other() -> None:
    """Who has waited longest is next, also before the one that has just left and wants in again."""
    semaphore, order, waiting = FairSemaphore(1), list[str](), threading.Event()

    def second() -> None:
        waiting.set()
        with semaphore:
            order.append("second")

    with semaphore:
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        assert waiting.wait(PATIENCE)
        while not semaphore._waiting:
            assert thread.is_alive()
        order.append("first")
    with semaphore:
        order.append("first again")
    thread.join(PATIENCE)
    assert order == ["first", "second", "first again"]


def test_so_many_at_once() -> None:
    """Two get in, a third waits; an error inside gives the place back."""
    semaphore, inside, over = FairSemaphore(2), list[int](), threading.Event()
    most = [0]

    def use(number: int) -> None:
        with suppress(ValueError), semaphore:
            inside.append(number)
            most[0] = max(most[0], len(inside))
            over.wait(0.01)
            inside.remove(number)
            if number == 0:
                raise ValueError

    threads = [threading.Thread(target=use, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert most == [2]
    with semaphore, semaphore:
        pass
