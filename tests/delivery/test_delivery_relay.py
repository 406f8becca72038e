"""Hand-offs on record reach the importer: each at least once, in order, never two of a user at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import flush_failures
from records import make_catalog
from relayed import TRIES, Site
from twisted.internet.defer import Deferred, ensureDeferred
from zope.interface.verify import verifyObject

from onec_twisted.catalog.handoffs import HandoffRecords
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes as noted
from onec_twisted.catalog.sql.outcomes import Superseded
from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.delivery.relay import AT_ONCE, IMPORT_GRACE
from onec_twisted.delivery.tries import TRY_PAUSE
from onec_twisted.model.errors import HandoffRunning, ImportFailed, ImportInterrupted
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Handoff
from onec_twisted.testing import FakeImporter, LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site, started."""
    site = Site(tmp_path)
    site.start()
    yield site
    site.catalog.recorder.close()


def test_the_fake_is_an_importer() -> None:
    """As the interface has it."""
    assert verifyObject(IImporter, FakeImporter())


def test_success_is_on_record(site: Site) -> None:
    """And told to who waits."""
    handoff = site.hand_off("a")
    outcomes = site.wait(handoff)
    assert outcomes == []
    site.importer.end()

    assert [outcome.state for outcome in outcomes] == [SUCCEEDED]
    assert (site.on_record("a").state, site.on_record("a").tries) == (SUCCEEDED, 1)
    assert site.importer.delivered[0].folder == site.store.folder("s")


def test_failure_is_on_record_with_its_words(site: Site) -> None:
    """It is not tried again by itself."""
    outcomes = site.wait(site.hand_off("a"))
    site.importer.end(ImportFailed("Column 7 is missing"))
    site.clock.advance(TRY_PAUSE.longest * 10)

    assert (outcomes[0].state, outcomes[0].words) == (FAILED, "Column 7 is missing")
    assert site.on_record("a") == outcomes[0]
    assert site.delivered == ["a"]


def test_who_waits_hears_of_progress(site: Site) -> None:
    """After a while; the words are the importer's last."""
    handoff = site.hand_off("a")
    outcomes = site.wait(handoff, patience=5)
    site.importer.running[0][1]("10 %")
    site.importer.running[0][1]("20 %")
    site.importer.running[0][1]("  ")
    site.clock.advance(5)

    assert [(one.state, one.words) for one in outcomes] == [(WAITING, "20 %")]
    again = site.wait(handoff, patience=5)
    site.importer.end()
    assert again[0].state == SUCCEEDED
    assert site.delivered == ["a"]


def test_a_user_waits_for_itself_alone(site: Site) -> None:
    """Whatever session it comes from, in the order in which it was sealed; other users go on beside."""
    site.hand_off("a")
    site.hand_off("c", "t")
    third = site.hand_off("b")
    site.hand_off("d", "u", "other")
    assert site.delivered == ["a", "d"]
    assert site.wait(third, 0)[:1] == []
    site.importer.end(ImportFailed("no"))
    assert site.delivered == ["a", "d", "c"], "a failure does not stop the next"
    site.importer.end()
    site.importer.end()

    assert site.delivered == ["a", "d", "c", "b"]


def test_one_that_waits_for_its_next_try_holds_back_its_type(site: Site) -> None:
    """What is younger waits, and says for what; hand-offs of the other type go on, one at a time."""
    site.hand_off("a")
    second = site.hand_off("b", "t")
    site.hand_off("o", "u", exchange_type="sale")
    site.importer.end(ImportInterrupted("The site is asleep"))
    assert site.delivered == ["a", "o"]
    outcomes = site.wait(second, 0.5)
    site.clock.advance(0.5)
    waits = "Import waits for an earlier one, a: The site is asleep - try 2 of 3 in 1 s"
    assert [one.words for one in outcomes] == [waits]
    assert site.relay.prospects()[second.id].words == waits
    site.clock.advance(1)
    assert site.delivered == ["a", "o"], "the user's turn is taken"
    site.importer.end()
    site.importer.end()

    assert site.delivered == ["a", "o", "a", "b"]


def test_what_is_to_come(site: Site) -> None:
    """One runs, the next waits for it; after a failure it is known in how many seconds it is tried again."""
    first, second = site.hand_off("a"), site.hand_off("b", "t")
    known = site.relay.prospects()
    assert [(known[one.id].runs, known[one.id].pause) for one in (first, second)] == [(True, None), (False, None)]
    site.importer.end(ImportInterrupted("The site is asleep"))
    site.clock.advance(0.25)
    known = site.relay.prospects()

    assert [(known[one.id].runs, known[one.id].pause) for one in (first, second)] == [(False, 0.75), (False, None)]
    assert known[second.id].words.startswith("Import waits for an earlier one, a: The site is asleep")


def test_one_that_was_sealed_earlier_comes_first(site: Site) -> None:
    """Though its request has got no further than the record."""
    site.hand_off("a")
    early = site.sealed("b", "t")
    site.hand_off("c", "u")
    site.importer.end()
    site.relay.add(early)
    site.importer.end()

    assert site.delivered == ["a", "b", "c"]


def test_what_is_tried_again_keeps_its_place(site: Site) -> None:
    """Before what was sealed after it, with another id."""
    first = site.hand_off("a")
    site.importer.end(ImportFailed("no"))
    site.hand_off("x", "t")
    site.hand_off("b", "u")
    again = site.retry(first)
    site.importer.end()
    site.importer.end()

    assert site.delivered == ["a", "x", "a", "b"]
    assert site.importer.delivered[2].id == again.id != first.id


def test_an_older_document_never_follows_a_newer_one(site: Site) -> None:
    """One that has failed cannot be tried again once a newer one of its name, user and type is imported."""
    first = site.hand_off("a")
    site.importer.end(ImportFailed("no"))
    for one in (("a", "t", "other"), ("a", "u", "shop", "sale"), ("b", "v")):
        site.hand_off(*one)
        site.importer.end()
    assert not site.on_record("a").superseded
    site.hand_off("a", "w")
    site.importer.end()
    failed = site.on_record("a")

    assert (failed.state, failed.superseded) == (FAILED, True)
    assert failed.words == "A newer a was imported, so this one is not imported any more"
    with pytest.raises(Superseded):
        raise site.now(site.catalog.handoffs.retry(first.id, 9.0)).value
    site.now(site.catalog.handoffs.note_reported(failed))
    assert site.hand_off("a").state == FAILED
    assert len(site.importer.delivered) == 5


@pytest.mark.parametrize("known", [True, False])
def test_an_older_one_that_is_tried_again_too_late(site: Site, known: bool) -> None:
    """The newer one is being delivered, and succeeds: the older one does not follow, and nobody waits in vain."""
    first = site.hand_off("a")
    site.importer.end(ImportFailed("no"))
    site.hand_off("a", "t")
    again: Handoff = site.now(site.catalog.handoffs.retry(first.id, 3.0))
    outcomes = site.wait(again) if known else []
    site.importer.end()
    site.relay.add(again)

    assert site.delivered == ["a", "a"]
    assert (site.on_record("a").state, site.on_record("a").superseded) == (FAILED, True)
    assert [(one.state, one.superseded) for one in outcomes] == [(FAILED, True)] * known
    site.kill()
    assert site.delivered == []


def test_an_older_one_follows_a_newer_one_that_fails(site: Site) -> None:
    """Neither is at the site."""
    first = site.hand_off("a")
    site.importer.end(ImportFailed("no"))
    newer = site.hand_off("a", "t")
    site.retry(first)
    site.importer.end(ImportFailed("no"))
    site.importer.end()
    assert site.on_record("a").state == SUCCEEDED
    site.retry(newer)
    site.importer.end()

    assert [one.sessid for one in site.importer.delivered] == ["s", "t", "s", "t"]


def test_a_pause_can_be_cut_short(site: Site) -> None:
    """By the administrator, and only a pause."""
    handoff = site.hand_off("a")
    second = site.hand_off("b")
    assert not site.now(site.relay.hurry(handoff.id))
    site.importer.end(ImportInterrupted("x"))
    assert not site.now(site.relay.hurry(second.id))
    assert site.now(site.relay.hurry(handoff.id))
    assert site.delivered == ["a", "a"]
    assert site.clock.getDelayedCalls() == []
    site.importer.end()

    assert site.delivered == ["a", "a", "b"]
    assert not site.now(site.relay.hurry(handoff.id))


def test_one_that_waits_can_be_given_up(site: Site) -> None:
    """It fails at once, in words, and the next has its turn."""
    handoff = site.hand_off("a")
    site.hand_off("b")
    assert not site.now(site.relay.give_up(handoff.id))
    site.importer.end(ImportInterrupted("The site is asleep"))
    outcomes = site.wait(handoff)
    assert site.now(site.relay.give_up(handoff.id))
    words = "Given up by the administrator: The site is asleep"

    assert [(one.state, one.words) for one in outcomes] == [(FAILED, words)]
    assert (site.on_record("a").state, site.on_record("a").words) == (FAILED, words)
    assert site.delivered == ["a", "b"]


def test_the_record_is_asked_again(
    site: Site, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is delivered while nobody knows what comes first."""
    reason = OSError("locked")

    def broken(*_: Any) -> Any:
        raise reason

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "waiting_before", broken)
        site.hand_off("a")
    assert flush_failures(nothing_left_behind) == [reason]
    assert site.delivered == []
    site.clock.advance(1)

    assert site.delivered == ["a"]


def test_only_so_many_at_once(site: Site) -> None:
    """The rest waits for a slot."""
    for number in range(AT_ONCE + 1):
        waiting = site.hand_off("a", f"s{number}", f"user{number}")
    outcomes = site.wait(waiting, 1)
    site.clock.advance(1)

    assert len(site.importer.running) == AT_ONCE
    assert outcomes[0].words == "Import waits for its turn"
    site.importer.end()
    assert len(site.importer.delivered) == AT_ONCE + 1


def test_what_was_interrupted_is_tried_again(site: Site) -> None:
    """After pauses that double, with the same description; the node hears why."""
    handoff = site.hand_off("a")
    site.importer.end(ImportInterrupted("The site is asleep"))
    outcomes = site.wait(handoff, 0.5)
    site.clock.advance(0.5)
    assert outcomes[0].words == "The site is asleep - try 2 of 3 in 1 s"
    assert site.on_record("a").words == "The site is asleep"
    site.clock.advance(0.5)
    site.importer.end(ImportInterrupted("The site is asleep"))
    site.clock.advance(1.9)
    assert len(site.importer.delivered) == 2
    site.clock.advance(0.2)
    site.importer.end()

    first, *others = site.importer.delivered
    assert others == [first, first]
    assert (site.on_record("a").state, site.on_record("a").tries) == (SUCCEEDED, 3)


def test_enough_is_enough(site: Site, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is given up, on record and in the log, and the next has its turn."""
    outcomes = site.wait(site.hand_off("a"), 1000)
    site.hand_off("b")
    for _ in range(TRIES):
        site.importer.end(ImportInterrupted("The site is asleep"))
        site.clock.advance(10)

    assert (outcomes[0].state, outcomes[0].words) == (FAILED, "Given up after 3 tries: The site is asleep")
    assert site.on_record("a").state == FAILED
    assert site.delivered == ["a", "a", "a", "b"]
    assert [event["tries"] for event in nothing_left_behind if event["log_level"].name == "error"] == [3]


def test_an_importer_with_a_bug(site: Site, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Whatever it raises is logged, and tried again: nobody knows how far it came."""
    reason = ZeroDivisionError()
    handoff = site.hand_off("a")
    site.importer.end(reason)
    outcomes = site.wait(handoff, 0.1)
    site.clock.advance(0.1)

    assert outcomes[0].words.startswith("The importer failed (ZeroDivisionError) - try 2")
    assert flush_failures(nothing_left_behind) == [reason]
    site.clock.advance(1)
    site.importer.end()
    assert site.on_record("a").state == SUCCEEDED


def test_a_damaged_session_is_not_delivered(site: Site) -> None:
    """The importer is not even asked."""
    site.hand_off("a")
    second = site.hand_off("b")
    site.now(site.catalog.files.damage(site.now(site.catalog.sessions.find("s")), "b"))
    site.importer.end()

    assert site.wait(second)[0].words == "File damaged"
    assert site.delivered == ["a"]


def test_kill_minus_9_forgets_nothing(site: Site) -> None:
    """What waits is delivered anew, in its order, with the ids and words that it had; what has ended is not."""
    site.hand_off("a")
    site.importer.end()
    running, waiting = site.hand_off("b"), site.hand_off("c")
    before = site.importer.delivered[1]
    site.kill()

    assert site.delivered == ["b"]
    assert site.importer.delivered == [before]
    site.importer.end()
    assert site.delivered == ["b", "c"]
    assert [one.id for one in site.importer.delivered] == [running.id, waiting.id]


def test_kill_minus_9_before_the_end_is_on_record(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The importer hears the same id and the same body again."""
    site.hand_off("a")
    before = site.importer.delivered[0]
    with monkeypatch.context() as patched:
        patched.setattr(HandoffRecords, "note_outcome", lambda *_: Deferred())
        site.importer.end()
    site.kill()

    assert [one.as_json() for one in site.importer.delivered] == [before.as_json()]


def test_tries_are_counted_across_restarts(site: Site) -> None:
    """Those that came to an end; a kill counts as none."""
    site.hand_off("a")
    site.importer.end(ImportInterrupted("x"))
    for _ in range(5):
        site.kill()
    site.importer.end(ImportInterrupted("x"))
    site.kill()
    site.importer.end(ImportInterrupted("x"))

    assert site.on_record("a").words == "Given up after 3 tries: x"


def test_what_comes_before_the_record_is_read_keeps_its_order(site: Site) -> None:
    """The old ones first; nothing is delivered twice, nothing forgotten."""
    site.hand_off("a")
    site.catalog.recorder.close()
    site.importer = FakeImporter(patient=True)
    late = LateWorkers()
    slow = make_catalog(site.store.database, late)
    relay = site.make_relay(slow)
    relay.startService()
    site.catalog = make_catalog(site.store.database, inline)
    site.relay = relay
    second = site.hand_off("b")
    outcomes, idle = site.wait(second, 5), site.idle("s", 7)
    site.clock.advance(5)
    assert [one.state for one in outcomes] == [WAITING]
    assert site.delivered == []
    site.clock.advance(2)
    assert idle[0].check(HandoffRunning), "who empties the session does not come in between"
    late.run()
    while site.importer.running or late.waiting:
        late.run()
        if site.importer.running:
            site.importer.end()

    assert site.delivered == ["a", "b"]
    slow.recorder.close()


def test_a_record_that_cannot_be_read(
    site: Site, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read again, until it can be."""
    reason = OSError("locked")

    def broken(_: Any) -> Any:
        raise reason

    site.hand_off("a")
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "waiting", broken)
        site.kill()
    assert flush_failures(nothing_left_behind) == [reason]
    assert site.delivered == []
    site.clock.advance(1)

    assert site.delivered == ["a"]


def test_an_end_that_cannot_be_recorded(
    site: Site, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded later; the importer is not asked again for that, and nobody is told before."""
    reason = OSError("full")

    def broken(*_: Any) -> None:
        raise reason

    outcomes = site.wait(site.hand_off("a"), 100)
    with monkeypatch.context() as patch:
        patch.setattr(noted, "note_outcome", broken)
        site.importer.end()
    assert outcomes == []
    site.clock.advance(1)

    assert outcomes[0].state == SUCCEEDED
    assert site.on_record("a").state == SUCCEEDED
    assert site.delivered == ["a"]
    assert flush_failures(nothing_left_behind) == [reason]


def test_what_has_ended_is_not_delivered_again(site: Site) -> None:
    """Whoever hands it in late: with what was read from the record before it ended."""
    handoff = site.hand_off("a")
    site.importer.end()
    site.relay.add(handoff)
    outcomes = site.wait(handoff)

    assert outcomes[0].state == SUCCEEDED
    assert site.delivered == ["a"]


def test_a_stop_before_the_end_is_on_record(
    site: Site, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that was done is not cancelled for that: it goes on record, and is not done again."""
    reason = OSError("full")

    def broken(*_: Any) -> None:
        raise reason

    site.hand_off("a")
    with monkeypatch.context() as patch:
        patch.setattr(noted, "note_outcome", broken)
        site.importer.end()
    stopped: list[Any] = []
    site.relay.stopService().addCallback(stopped.append)
    assert stopped == []
    site.clock.advance(1)

    assert stopped == [None]
    assert site.on_record("a").state == SUCCEEDED
    assert flush_failures(nothing_left_behind) == [reason]


def test_a_stop_while_the_record_is_read(site: Site) -> None:
    """Nothing is delivered any more, and nothing logged."""
    site.hand_off("a")
    late = LateWorkers()
    slow = make_catalog(site.store.database, late)
    relay = site.make_relay(slow)
    site.importer = FakeImporter(patient=True)
    relay.startService()
    assert site.now(relay.stopService()) is None
    late.run()

    assert site.importer.delivered == []
    slow.recorder.close()


def test_what_comes_as_the_last_one_ends(site: Site) -> None:
    """Brought by whoever waited for that: a stop waits for it, too."""
    first = site.hand_off("a")

    async def go_on() -> None:
        await site.relay.outcome(first, 10)
        site.hand_off("b")

    ensureDeferred(go_on())
    site.importer.end()
    assert site.delivered == ["a", "b"]
    stopped: list[Any] = []
    site.relay.stopService().addCallback(stopped.append)
    assert stopped == []
    site.importer.end()

    assert stopped == [None]
    assert site.on_record("b").state == SUCCEEDED


def test_idle(site: Site) -> None:
    """Fires when the last of a session is delivered; others do not matter."""
    site.hand_off("a", "t")
    assert site.idle("s", 5) == [None]
    site.hand_off("a")
    site.hand_off("b")
    done = site.idle("s", 5)
    site.importer.end()
    site.importer.end()
    assert done == []
    site.importer.end()

    assert done == [None]


def test_idle_has_an_end(site: Site) -> None:
    """Who waits too long is told so."""
    site.hand_off("a")
    done = site.idle("s", 5)
    site.clock.advance(5)

    assert done[0].check(HandoffRunning)
    site.importer.end()


def test_a_stop_answers_those_who_wait_and_lets_imports_end(site: Site) -> None:
    """What ends in time is on record; what waits stays there for the next start."""
    handoff = site.hand_off("a")
    site.hand_off("b")
    outcomes = site.wait(handoff)
    stopped: list[Any] = []
    site.relay.stopService().addCallback(stopped.append)
    assert [(one.state, one.words) for one in outcomes] == [(WAITING, "Import is running")]
    assert stopped == []
    site.importer.end()

    assert stopped == [None]
    assert site.on_record("a").state == SUCCEEDED
    assert site.on_record("b").state == WAITING
    site.kill()
    assert site.delivered == ["b"]


def test_a_stop_does_not_wait_for_ever(site: Site) -> None:
    """An import that does not end is cancelled, and started anew next time; that is no try in vain."""
    site.hand_off("a")
    stopped: list[Any] = []
    site.relay.stopService().addCallback(stopped.append)
    site.clock.advance(IMPORT_GRACE)

    assert stopped == [None]
    assert site.importer.cancelled == 1
    site.kill()
    assert site.delivered == ["a"]
    assert site.on_record("a").tries == 0


def test_a_stop_does_not_wait_for_pauses(site: Site) -> None:
    """What is to be tried again is tried by the next daemon; nothing new is taken."""
    site.hand_off("a")
    site.importer.end(ImportInterrupted("x"))
    assert site.now(site.relay.stopService()) is None
    site.hand_off("b")

    assert site.clock.getDelayedCalls() == []
    assert site.delivered == ["a"]
