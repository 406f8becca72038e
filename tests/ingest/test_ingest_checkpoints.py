"""A long body is put on record now and then, but never all of it before its end."""

from __future__ import annotations

from twisted.internet.task import Clock

from onec_twisted.ingest.checkpoints import CHECKPOINT_INTERVAL, CHECKPOINT_SIZE, Checkpoints


async def keep(_: object) -> None:
    """Keep nothing."""


def test_after_so_many_bytes() -> None:
    """Counted from the last one."""
    checkpoints = Checkpoints(keep, 10 * CHECKPOINT_SIZE, Clock().seconds)
    assert not checkpoints.due(CHECKPOINT_SIZE - 1)
    assert checkpoints.due(CHECKPOINT_SIZE)
    checkpoints.passed(CHECKPOINT_SIZE + 5)
    assert not checkpoints.due(2 * CHECKPOINT_SIZE)
    assert checkpoints.due(2 * CHECKPOINT_SIZE + 5)


def test_after_so_many_seconds() -> None:
    """If anything has come."""
    clock = Clock()
    checkpoints = Checkpoints(keep, CHECKPOINT_SIZE, clock.seconds)
    clock.advance(CHECKPOINT_INTERVAL)
    assert not checkpoints.due(0)
    assert checkpoints.due(1)
    checkpoints.passed(1)
    assert not checkpoints.due(2)
    clock.advance(CHECKPOINT_INTERVAL)
    assert not checkpoints.due(1)
    assert checkpoints.due(2)


def test_never_all_of_it() -> None:
    """One byte more may come, and then nobody knows what the body was meant to be."""
    clock = Clock()
    checkpoints = Checkpoints(keep, CHECKPOINT_SIZE, clock.seconds)
    clock.advance(CHECKPOINT_INTERVAL)
    assert not checkpoints.due(CHECKPOINT_SIZE)
    assert checkpoints.due(CHECKPOINT_SIZE - 1)
