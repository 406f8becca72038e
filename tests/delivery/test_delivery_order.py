"""Whatever fails, is retried or killed: hand-offs keep their order, and no old document follows a newer one."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from records import now_of
from relayed import Site
from twisted.internet.defer import ensureDeferred

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql.outcomes import Superseded
from onec_twisted.model.errors import ImportFailed, ImportInterrupted
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff

USERS = tuple("abcde")
DOCUMENTS = ("import0_1.xml", "offers0_1.xml")


@define(eq=False)
class Witness:
    """Notes what the site gets, and checks each delivery when it begins, and at its end."""

    site: Site
    inner: FakeImporter = field(factory=lambda: FakeImporter(patient=True))
    running: list[str] = field(factory=list)
    begun: int = 0
    wrong: list[str] = field(factory=list)
    imported: dict[tuple[str, str, str], int] = field(factory=dict)
    """The number of the newest document of each user, type and name that the site has got."""

    def on_record(self) -> list[Handoff]:
        """Return all hand-offs on record."""
        found: list[Handoff] = now_of(self.site.catalog.recorder.read(outbox.where, "number > ?", 0))
        return found

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        """Deliver, and check that it is the turn of what is delivered."""
        own = [one for one in self.on_record() if one.username == description.user]
        (handoff,) = [one for one in own if one.id == description.id]
        waiting = [one.number for one in own if one.type == handoff.type and one.state == WAITING]
        if min(waiting, default=0) != handoff.number:
            self.wrong.append("an older one waits")
        if handoff.username in self.running:
            self.wrong.append("another one of the user is running")
        if self.imported.get(self.key(handoff), 0) > handoff.number:
            self.wrong.append("a newer one was imported")
        self.begun += 1
        running = self.running
        running.append(handoff.username)
        try:
            await self.inner.deliver(description, progress)
        finally:
            running.remove(handoff.username)
        self.imported[self.key(handoff)] = max(handoff.number, self.imported.get(self.key(handoff), 0))

    @staticmethod
    def key(handoff: Handoff) -> tuple[str, str, str]:
        """Return what makes documents the same."""
        return handoff.username, handoff.type, handoff.filename

    def end(self, which: int, reason: BaseException | None) -> None:
        """End one of the running imports."""
        if self.inner.running:
            self.inner.running.insert(0, self.inner.running.pop(which % len(self.inner.running)))
            self.inner.end(reason)

    def kill(self) -> None:
        """Kill the daemon; what was running there is unknown to the next one."""
        self.running, self.inner = [], FakeImporter(patient=True)
        for call in list(self.site.clock.getDelayedCalls()):
            call.cancel()
        self.site.kill()


@define(eq=False)
class Witnessed(Site):
    """A site whose importer is a witness."""

    witness: Witness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Let a witness see what is delivered."""
        self.witness = Witness(self)

    def make_relay(self, catalog: Any) -> Any:
        """Return a relay that delivers to the witness."""
        witness: Any = self.witness
        self.importer = witness
        return super().make_relay(catalog)

    def act(self, action: str, choice: int) -> None:
        """Let something happen."""
        handoffs = self.witness.on_record()
        some = handoffs[choice % len(handoffs)] if handoffs else None
        if action in {"seal", "seal quietly"}:
            user, rest = USERS[choice % 5], choice // 5
            name, exchange_type = DOCUMENTS[rest % 2], ("catalog", "catalog", "sale")[rest // 2 % 3]
            handoff = self.sealed(name, f"{user}{choice}", user, exchange_type)
            if action == "seal":
                self.relay.add(handoff)
        elif action == "succeed":
            self.witness.end(choice, None)
        elif action == "fail":
            self.witness.end(choice, ImportFailed("no"))
        elif action == "interrupt":
            self.witness.end(choice, ImportInterrupted("later"))
        elif action == "advance":
            self.clock.advance(choice % 40 / 4)
        elif action == "kill":
            self.witness.kill()
        elif some is not None and action == "retry":
            self.try_again(some)
        elif some is not None and action == "ask again":
            now_of(self.catalog.handoffs.note_reported(some))
            self.relay.add(self.sealed(some.filename, some.sessid, some.username, some.type))
        elif some is not None and action == "hurry":
            now_of(self.relay.hurry(some.id))
        elif some is not None and action == "give up":
            now_of(self.relay.give_up(some.id))

    def try_again(self, handoff: Handoff) -> None:
        """Do what the status page's button does."""
        try:
            again = now_of(self.catalog.handoffs.retry(handoff.id, 3.0))
        except Superseded:
            return
        if again is not None:
            self.relay.add(again)

    def drain(self) -> None:
        """Let everything succeed that is still to be delivered."""
        self.witness.kill()
        for _ in range(10_000):
            if self.witness.inner.running:
                self.witness.end(0, None)
            elif not self.relay.prospects():
                return
            else:
                self.clock.advance(10)
        raise AssertionError(self.relay.prospects())


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[Witnessed]:
    """A site, started."""
    site = Witnessed(tmp_path)
    site.start()
    yield site
    site.catalog.recorder.close()


ACTIONS = ["seal", "succeed", "fail", "interrupt", "advance", "retry", "ask again", "seal quietly"]
SELDOM = ["kill", "hurry", "give up"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS * 2 + SELDOM), st.integers(0, 10_000)), max_size=60))
def test_any_course_keeps_the_order(course: list[tuple[str, int]]) -> None:
    """The witness checks each delivery; in the end nothing is left, and the newest of each name was the last."""
    with TemporaryDirectory() as folder:
        site = Witnessed(Path(folder))
        site.start()
        try:
            for action, choice in course:
                site.act(action, choice)
            site.drain()
            assert site.witness.wrong == []
            assert {one.state for one in site.witness.on_record()} <= {SUCCEEDED, FAILED}
        finally:
            site.catalog.recorder.close()


@pytest.mark.parametrize("seed", range(2))
def test_two_hundred_hand_offs_of_five_users(witnessed: Witnessed, seed: int) -> None:
    """With failures, retries, pauses and kills all the way."""
    chance = random.Random(seed)
    weights = [6, 8, 2, 4, 6, 1, 1, 1, 1, 1, 1]
    while len(witnessed.witness.on_record()) < 200:
        (action,) = chance.choices([*ACTIONS, *SELDOM], weights)
        witnessed.act(action, chance.randrange(100_000))
    witnessed.drain()
    states = [one.state for one in witnessed.witness.on_record()]

    assert witnessed.witness.wrong == []
    assert set(states) <= {SUCCEEDED, FAILED}
    assert states.count(SUCCEEDED) > 100
    assert witnessed.witness.begun > 200


def test_the_witness_sees_what_is_wrong(witnessed: Witnessed) -> None:
    """What is delivered out of its turn is noticed."""
    first, second = (witnessed.sealed(DOCUMENTS[0], sessid, "a") for sessid in ("s", "t"))
    ensureDeferred(witnessed.witness.deliver(described(witnessed, second), print))
    assert witnessed.witness.wrong == ["an older one waits"]
    witnessed.relay.add(first)
    assert witnessed.witness.wrong[1:] == ["another one of the user is running"]
    witnessed.witness.end(0, None)
    ensureDeferred(witnessed.witness.deliver(described(witnessed, first), print))
    assert "a newer one was imported" in witnessed.witness.wrong


def described(site: Witnessed, handoff: Handoff) -> Description:
    """Return what an importer receives."""
    return now_of(site.catalog.handoffs.described(handoff, "/"))
