"""What the journal keeps, and how it forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import history, journal, outcomes
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.journal import (
    BROKEN,
    EMPTY,
    IMPORTING,
    RUNNING,
    ExchangeFilter,
    ExchangeLine,
    Minute,
    RefusalFilter,
    RefusalLine,
    Sender,
)
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from onec_twisted.model.records import Handoff

S = Session("s", "shop", 1, 0, 1.0)


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with a session that has logged in."""
    statements.open_session(empty, "s", "hash", "shop", 1.0, 0, Sender("192.0.2.1", "1C+Enterprise/8.3"))
    return empty


def lines(cursor: Cursor) -> tuple[ExchangeLine, ...]:
    """Return all exchanges, the oldest first."""
    return history.exchanges(cursor, ExchangeFilter())[::-1]


def sent(cursor: Cursor, name: str, size: int = 5, session: Session = S) -> None:
    """Record a file that has come."""
    statements.commit(cursor, session, name, None, Written(size), 10**12, 2.0)


def requested(cursor: Cursor, name: str, session: Session = S) -> Handoff:
    """Record a request to import."""
    return outbox.import_requested(cursor, session, "catalog", name, "", 5, 3.0)


def test_one_that_has_begun(cursor: Cursor) -> None:
    """It says who logged in, and what has come so far, which no piece has written there."""
    sent(cursor, "import0_1.xml")
    (line,) = lines(cursor)

    assert (line.username, line.address, line.agent) == ("shop", "192.0.2.1", "1C+Enterprise/8.3")
    assert (line.state, line.started, line.ended, line.files, line.size) == (RUNNING, 1.0, None, 1, 5)


def test_the_way_of_an_import(cursor: Cursor) -> None:
    """It waits, is tried twice, and is done; each try is remembered with its words."""
    sent(cursor, "import0_1.xml")
    handoff = requested(cursor, "import0_1.xml")
    assert [(line.state, line.imports, line.ended) for line in lines(cursor)] == [(IMPORTING, 1, None)]
    outcomes.note_outcome(cursor, evolve(handoff, tries=1, words="no answer"), 6.0, (), 4.0)
    assert [(line.state, line.import_seconds) for line in lines(cursor)] == [(IMPORTING, 2.0)]
    outcomes.note_checked(cursor, handoff.id, '[{"name": "import0_1.xml", "products": 3}]')
    outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED, tries=2), 9.0, ("import0_1.xml",), 8.0)

    found = history.exchange(cursor, 1)
    assert found is not None
    assert (found.line.state, found.line.ended, found.line.import_seconds) == (SUCCEEDED, 9.0, 3.0)
    (made,) = found.imports
    assert [(one.begun, one.ended, one.outcome, one.words) for one in made.tries] == [
        (4.0, 6.0, WAITING, "no answer"),
        (8.0, 9.0, SUCCEEDED, ""),
    ]
    assert (made.filename, made.state, made.ended) == ("import0_1.xml", SUCCEEDED, 9.0)
    assert found.files[0].summary == {"name": "import0_1.xml", "products": 3}


def test_a_failure(cursor: Cursor) -> None:
    """It makes the exchange fail with its words, until it is delivered again."""
    sent(cursor, "import0_1.xml")
    handoff = requested(cursor, "import0_1.xml")
    outcomes.note_outcome(cursor, evolve(handoff, state=FAILED, tries=1, words="no such group"), 5.0, (), 4.0)
    assert [(line.state, line.words) for line in lines(cursor)] == [(FAILED, "no such group")]
    again = outcomes.retry(cursor, handoff.id, 7.0)
    assert again is not None
    assert [(line.state, line.imports, line.ended) for line in lines(cursor)] == [(IMPORTING, 2, None)]
    outcomes.note_outcome(cursor, evolve(again, state=SUCCEEDED, tries=1), 9.0, (), 8.0)

    assert [(line.state, line.words) for line in lines(cursor)] == [(SUCCEEDED, "")]
    found = history.exchange(cursor, 1)
    assert found is not None
    assert [one.state for one in found.imports] == [journal.REPEATED, SUCCEEDED]


def test_one_that_a_newer_document_supersedes(cursor: Cursor) -> None:
    """Its exchange says so."""
    sent(cursor, "import0_1.xml")
    handoff = requested(cursor, "import0_1.xml")
    outcomes.note_outcome(cursor, evolve(handoff, state=FAILED, words="no"), 5.0, ("import0_1.xml",), 4.0)
    statements.open_session(cursor, "t", "other", "shop", 6.0)
    other = Session("t", "shop", 1, 0, 6.0)
    sent(cursor, "import0_1.xml", session=other)
    newer = requested(cursor, "import0_1.xml", other)
    outcomes.note_outcome(cursor, evolve(newer, state=SUCCEEDED), 8.0, ("import0_1.xml",), 7.0)

    first, second = lines(cursor)
    assert (first.state, second.state) == (FAILED, SUCCEEDED)
    assert first.words.startswith("A newer import0_1.xml was imported")


def test_one_that_was_given_up(cursor: Cursor) -> None:
    """There was no try for that."""
    sent(cursor, "import0_1.xml")
    handoff = requested(cursor, "import0_1.xml")
    outcomes.note_outcome(cursor, evolve(handoff, state=FAILED, words="Given up"), 5.0)

    found = history.exchange(cursor, 1)
    assert found is not None
    assert (found.line.state, found.line.words, found.imports[0].tries) == (FAILED, "Given up", ())


@pytest.mark.parametrize(
    ("names", "state"), [((), EMPTY), (("import0_1.xml", "import_files/a.jpg"), BROKEN)], ids=["nothing", "files"]
)
def test_a_session_that_ends(cursor: Cursor, names: tuple[str, ...], state: str) -> None:
    """Its exchange stays, with the files it had, and how it ended: nobody asked for them."""
    for name in names:
        sent(cursor, name)
    statements.touch(cursor, "s", 4.0)
    statements.end_session(cursor, "s")

    found = history.exchange(cursor, 1)
    assert found is not None
    assert (found.line.state, found.line.ended) == (state, 4.0)
    assert (found.line.files, found.line.size) == (len(names), 5 * len(names))
    assert [one.name for one in found.files] == list(names)


def test_init_begins_another(cursor: Cursor) -> None:
    """If something had come; one that brought nothing yet goes on."""
    statements.start_epoch(cursor, "s", 2.0)
    assert len(lines(cursor)) == 1
    sent(cursor, "import0_1.xml", session=evolve(S, epoch=2))
    statements.start_epoch(cursor, "s", 7.0)
    first, second = lines(cursor)

    assert (first.state, first.files) == (BROKEN, 1)
    assert (second.state, second.files, second.started) == (RUNNING, 0, 7.0)
    assert (second.address, second.agent) == (first.address, first.agent)


def test_of_many_files_documents_are_remembered_first(cursor: Cursor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the others as many as fit; how many there were, and how large, is exact."""
    monkeypatch.setattr(journal, "MOST_FILES", 3)
    for name in ("1.jpg", "2.jpg", "3.jpg", "offers0_1.xml"):
        sent(cursor, name)
    statements.end_session(cursor, "s")

    found = history.exchange(cursor, 1)
    assert found is not None
    assert [one.name for one in found.files] == ["offers0_1.xml", "1.jpg", "2.jpg"]
    assert (found.line.files, found.line.size) == (4, 20)


def refusal(at: float, words: str = "No", address: str = "192.0.2.1", sessid: str = "") -> RefusalLine:
    """Return one refused request."""
    return RefusalLine(0, at, at, 1, "", address, sessid, 401, "no", words, "GET /")


def test_refusals_that_are_alike(cursor: Cursor) -> None:
    """They are one line, with the words of the last, for a day; others have lines of their own."""
    journal.add_refusals(cursor, [refusal(10.0), refusal(11.0, "No!"), refusal(12.0, address="192.0.2.2")])
    journal.add_refusals(cursor, [refusal(10.0 + 86_400), refusal(12.0 + 86_400)])

    found = history.refusals(cursor, RefusalFilter())
    assert [(one.first, one.last, one.count, one.words) for one in found] == [
        (12.0 + 86_400, 12.0 + 86_400, 1, "No"),
        (10.0, 10.0 + 86_400, 3, "No"),
        (12.0, 12.0, 1, "No"),
    ]


def test_a_refusal_in_a_session(cursor: Cursor) -> None:
    """It gets the session's user, and is counted for its exchange."""
    journal.add_refusals(cursor, [refusal(10.0, sessid="s")])

    assert [one.username for one in history.refusals(cursor, RefusalFilter(username="shop"))] == ["shop"]
    assert [line.refusals for line in lines(cursor)] == [1]
    found = history.exchange(cursor, 1)
    assert found is not None
    assert [one.words for one in found.refusals] == ["No"]


def test_the_oldest_refusals_go(cursor: Cursor, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that strangers cannot fill the disk."""
    monkeypatch.setattr(journal, "MOST_REFUSALS", 2)
    journal.add_refusals(cursor, [refusal(float(at), address=f"192.0.2.{at}") for at in range(5)])

    assert [one.last for one in history.refusals(cursor, RefusalFilter())] == [4.0, 3.0]


def test_minutes(cursor: Cursor) -> None:
    """A minute that is recorded twice is the sum of both; old ones go."""
    journal.note_minute(cursor, Minute(5, 1, 1, 0, 0, 0, 0, 70), 0)
    journal.note_minute(cursor, Minute(7, 3, 2, 1, 1, 1, 1, 60), 0)
    journal.note_minute(cursor, Minute(7, 3, 2, 1, 1, 1, 1, 50), 6)

    assert history.minutes(cursor, 0) == (Minute(7, 6, 4, 2, 2, 2, 2, 50),)


def forget(
    cursor: Cursor,
    before: float,
    most: int = history.MOST_EXCHANGES,
    of_shops: dict[str, float] | None = None,
) -> int:
    """Forget what is outdated; return how many exchanges that were."""
    numbers = history.outdated(cursor, before, of_shops or {}, most)
    journal.forget_exchanges(cursor, numbers)
    return len(numbers)


def test_what_is_old_is_forgotten(cursor: Cursor) -> None:
    """A few at a time, with all that belongs to them; sessions that go on stay."""
    sent(cursor, "import0_1.xml")
    handoff = requested(cursor, "import0_1.xml")
    outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED), 5.0, (), 4.0)
    statements.end_session(cursor, "s")
    statements.open_session(cursor, "t", "other", "shop", 1.0)

    assert forget(cursor, 5.0) == 0
    assert forget(cursor, 5.1) == 1
    assert forget(cursor, 10.0) == 0
    assert [line.sessid for line in lines(cursor)] == ["t"]
    for table in ("imports", "tries", "exchange_files"):
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        assert cursor.fetchone() == (0,)


def test_a_shop_with_its_own_time(cursor: Cursor) -> None:
    """Its exchanges are kept longer or shorter than those of all others."""
    for number, user in enumerate(("north:u", "south:u", "west:u", "u")):
        statements.open_session(cursor, f"{number}", f"{number}", user, 5.0)
        statements.end_session(cursor, f"{number}")

    assert forget(cursor, 6.0, of_shops={"north": 1.0, "unknown": 9.0}) == 3
    assert [line.username for line in lines(cursor)] == ["shop", "north:u"]
    assert forget(cursor, 1.0, of_shops={"north": 6.0}) == 1


def test_whose_an_exchange_is(cursor: Cursor) -> None:
    """It is of the shop of its account, also after ``init``; what was refused in it, too."""
    statements.open_session(cursor, "n", "n", "north:u", 1.0)
    statements.commit(cursor, Session("n", "north:u", 1, 0, 1.0), "a.xml", None, Written(5), 10**12, 2.0)
    statements.start_epoch(cursor, "n", 7.0)
    journal.add_refusals(cursor, [refusal(10.0, sessid="n"), refusal(11.0)])
    journal.add_refusals(cursor, [evolve(refusal(12.0), shop="north"), evolve(refusal(13.0), username="south:u")])

    assert [line.shop for line in lines(cursor)] == ["default", "north", "north"]
    assert [(one.username, one.shop) for one in history.refusals(cursor, RefusalFilter())] == [
        ("south:u", "south"),
        ("", "north"),
        ("", "default"),
        ("north:u", "north"),
    ]


def test_there_are_only_so_many(cursor: Cursor) -> None:
    """However young they are."""
    for number in range(10):
        statements.open_session(cursor, f"{number}", f"{number}", "shop", 1.0)
        statements.end_session(cursor, f"{number}")
    assert forget(cursor, 0.0, 4) == 6  # the first is a session that goes on

    assert [line.sessid for line in lines(cursor)] == ["s", "6", "7", "8", "9"]
