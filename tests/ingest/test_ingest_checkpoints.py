"""A long body is put on record now and then, but never all of it before its end."""

from __future__ import annotations

from twisted.internet.task import Clock

from onec_twisted.ingest.checkpoints import MILESTONE, MILESTONE_TIME, Milestones


async def keep(_: object) -> None:
    """Keep nothing."""


def test_after_so_many_bytes() -> None:
    """Counted from the last one."""
    milestones = Milestones(keep, 10 * MILESTONE, Clock().seconds)
    assert not milestones.due(MILESTONE - 1)
    assert milestones.due(MILESTONE)
    milestones.passed(MILESTONE + 5)
    assert not milestones.due(2 * MILESTONE)
    assert milestones.due(2 * MILESTONE + 5)


def test_after_so_many_seconds() -> None:
    """If anything has come."""
    clock = Clock()
    milestones = Milestones(keep, MILESTONE, clock.seconds)
    clock.advance(MILESTONE_TIME)
    assert not milestones.due(0)
    assert milestones.due(1)
    milestones.passed(1)
    assert not milestones.due(2)
    clock.advance(MILESTONE_TIME)
    assert not milestones.due(1)
    assert milestones.due(2)


def test_never_all_of_it() -> None:
    """One byte more may come, and then nobody knows what the body was meant to be."""
    clock = Clock()
    milestones = Milestones(keep, MILESTONE, clock.seconds)
    clock.advance(MILESTONE_TIME)
    assert not milestones.due(MILESTONE)
    assert milestones.due(MILESTONE - 1)
