"""Notices reach those who want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from in_memory import flush_failures
from records import now_of
from twisted.internet.task import Clock

from onec_twisted.admin import notifying
from onec_twisted.admin.notices import Subjects
from onec_twisted.admin.notifying import MOST_TRIES, Audience, Notifying, Outbox
from onec_twisted.admin.verdict import Reason, Verdict
from onec_twisted.delivery.notifiers import NotifyFailed
from onec_twisted.model.notice import RAISED, Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def notice(words: str) -> Notice:
    """Return a notice."""
    return Notice(event="failed", subject="failed", state=RAISED, user="", words=words, time=1.0)


@define
class Receiver:
    """Remembers notices, and fails as often as it is told."""

    name: str = "somebody"
    failures: int = 0
    heard: list[str] = field(factory=list)

    async def notify(self, notice: Notice) -> None:
        """Hear a notice."""
        if self.failures:
            self.failures -= 1
            raise NotifyFailed("busy")
        self.heard.append(notice.words)


def test_they_arrive_in_order_and_are_tried_again() -> None:
    """A receiver that is away for a while misses nothing."""
    clock, receiver = Clock(), Receiver(failures=3)
    outbox = Outbox(receiver, clock)
    outbox.put(notice("first"))
    outbox.put(notice("second"))
    assert receiver.heard == []
    clock.pump([60.0] * 10)

    assert receiver.heard == ["first", "second"]


def test_one_that_is_away_for_good(nothing_left_behind: list[dict[str, Any]]) -> None:
    """The notice is given up, the log has its words, and the next one is tried."""
    clock, receiver = Clock(), Receiver(failures=MOST_TRIES)
    outbox = Outbox(receiver, clock)
    outbox.put(notice("first"))
    outbox.put(notice("second"))
    clock.pump([600.0] * 10)

    assert receiver.heard == ["second"]
    assert [event["words"] for event in nothing_left_behind if event.get("reason")] == ["first"]


def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The oldest go, and the log has them."""
    monkeypatch.setattr(notifying, "MOST_WAITING", 2)
    clock, receiver = Clock(), Receiver(failures=1)
    outbox = Outbox(receiver, clock)
    for number in range(5):
        outbox.put(notice(f"{number}"))
    clock.pump([60.0] * 10)

    assert receiver.heard == ["0", "3", "4"]
    assert [event["words"] for event in nothing_left_behind if event.get("reason")] == ["1", "2"]


def looking(verdict: Callable[[], Any], *receivers: Receiver) -> Notifying:
    """Return what tells these receivers."""
    notifying = Notifying(verdict, lambda: 5.0)
    notifying.address([audience("default", *receivers)])
    return notifying


def audience(shop: str, *receivers: Receiver) -> Audience:
    """Return those who hear of a shop."""
    return Audience(shop, len(receivers), Subjects("en", str), [Outbox(one, Clock()) for one in receivers])


def test_everybody_is_told() -> None:
    """Once each, however often one looks."""

    async def verdict() -> Verdict:
        return Verdict((Reason(kind="damaged", count=1),))

    receivers = Receiver(), Receiver()
    notices = looking(verdict, *receivers)
    now_of(notices.once())
    now_of(notices.once())

    assert [one.heard for one in receivers] == [["1 files have lost bytes on the disk"]] * 2


def test_a_look_that_fails(nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is logged, and the next one comes."""

    async def verdict() -> Verdict:
        raise ValueError("odd")

    now_of(looking(verdict).once())
    assert len(flush_failures(nothing_left_behind)) == 1


def test_each_shop_hears_of_itself() -> None:
    """Whoever is told of all shops, is; what is of no shop, like the disk, is told to nobody else."""
    host, north = Receiver(), Receiver()

    async def verdict() -> Verdict:
        return Verdict(
            (
                Reason(kind="disk", count=9),
                Reason(kind="failed", count=2, shop="north"),
                Reason(kind="overdue", username="north:anna"),
                Reason(kind="failed", count=1, shop="south"),
                Reason(kind="overdue", username="boris"),
            )
        )

    notices = Notifying(verdict, lambda: 5.0)
    now_of(notices.once())
    notices.address([audience("default", host), audience("north", north)])
    now_of(notices.once())
    assert north.heard == [told for told in host.heard if told.startswith("north: ")]
    assert len(north.heard) == 2
    assert len(host.heard) == 5


def test_who_is_told_remembers_that_after_a_reload() -> None:
    """Only other receivers are told again."""
    before, other = Receiver(), Receiver()

    async def verdict() -> Verdict:
        return Verdict((Reason(kind="disk", count=9),))

    notices = looking(verdict, before)
    now_of(notices.once())
    notices.address([audience("default", before)])
    now_of(notices.once())
    assert len(before.heard) == 1
    notices.address([audience("default", before, other)])
    now_of(notices.once())
    assert (len(before.heard), len(other.heard)) == (2, 1)


def test_one_daemon_of_several_tells_for_all() -> None:
    """The others follow without telling, and go on when it is gone; what is of a daemon itself, each tells."""
    receivers, firsts = [Receiver("one"), Receiver("two")], [True, False]
    reasons = [Reason(kind="failed", count=2, said="no price"), Reason(kind="unhealthy", said="the disk is gone")]

    async def verdict() -> Verdict:
        return Verdict(tuple(reasons))

    notifying = []
    for place, receiver in enumerate(receivers):
        one = Notifying(verdict, lambda: 5.0, lambda place=place: firsts[place])  # type: ignore[misc]
        one.address([audience("default", receiver)])
        notifying.append(one)
        now_of(one.once())
    assert [len(receiver.heard) for receiver in receivers] == [2, 1]
    firsts[:] = [False, True]
    reasons[:] = [Reason(kind="damaged", count=1), reasons[1]]
    now_of(notifying[1].once())
    assert [len(receiver.heard) for receiver in receivers] == [2, 3]
