"""The overview, made from values."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from pages import DAY, GB, HOSTILE, HOSTILE_TEXT, NOW, exchange_line, frame, habit, minutes, read, source_of

from onec_twisted.admin.pages.overview import MOST_USERS_SHOWN, Look, overview
from onec_twisted.admin.status import Status, TransferLine
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.catalog.sql.overview import Overview, Summary
from onec_twisted.model.daemons import DaemonLine

TRANSFER = TransferLine(
    key=1, user="shop", sessid="a" * 32, name="c.zip", received=1000, length=2000, committed=0, rate=10.0, age=3.0,
    waits=False,
)  # fmt: skip


def look(**changes: Any) -> Look:
    """Return what the overview is made from."""
    status = Status(
        running=100.0, connections=1, free=50 * GB, reserved=GB, received=1, accepted=1, discarded=0, repeats=0,
        transferring=len(changes.get("transfers", ())), transfers=changes.pop("transfers", ()),
        overview=Overview(Summary(1, 0, 0, {"waiting": 4, "succeeded": 0, "failed": 0}), (), ()), prospects={},
    )  # fmt: skip
    values: dict[str, Any] = {"status": status, "minutes": (), "users": (), "recent": ()}
    return Look(**(values | changes))


def test_a_daemon_of_which_nothing_is_known_yet() -> None:
    """Every plot is there, and says that there is nothing."""
    document = read(overview(frame(), look()))

    assert [figure["id"] for figure in document.all("figure")] == ["traffic", "disk", "imports"]
    for said in (ENGLISH.no_transfers, ENGLISH.none_yet, ENGLISH.too_little_known, ENGLISH.no_exchanges):
        assert said in document.text


def test_daemons_that_share_the_records() -> None:
    """Each has a row: which one this is, and which one is lost."""
    here = DaemonLine(name="north", version="1.2", running=90.0, silent=0.4, is_this=True, state={"connections": 7})
    lost = DaemonLine(name=HOSTILE, version="1.1", running=90.0, silent=60.0, is_this=False, state={"connections": 8})
    known = look()
    document = read(overview(frame(), evolve(known, status=evolve(known.status, daemons=(here, lost)))))

    for said in ("north", ENGLISH.this_one, "1.2", "7", ENGLISH.lost, HOSTILE_TEXT):
        assert said in document.text
    assert "script" not in [tag for tag, _ in document.tags]
    assert ENGLISH.daemons not in read(overview(frame(), known)).text


def test_plots_say_in_words_what_they_show() -> None:
    """For whoever does not see them."""
    known = [evolve(one, received=2**20 if one.minute % 60 == 0 else 0) for one in minutes(1440, loss=2**20)]
    known[700] = evolve(known[700], received=50 * 2**20, refusals=3)
    text = read(overview(frame(), look(minutes=tuple(known), recent=(exchange_line(import_seconds=95.0),)))).text

    assert "Peak: 50.0 MB/min, " in text
    assert "Refusals: 3." in text
    assert "Reserved: 1.0 GB. In 12 h: 99.3 GB." in text
    assert "Longest: 1 min." in text
    assert "Received in 24 h74.0 MB" in text


def test_progress() -> None:
    """How much of a piece has come; a hostile name is text, in a label, too."""
    waits = evolve(TRANSFER, key=2, waits=True)
    without = evolve(TRANSFER, key=3, length=None, name=HOSTILE)
    document = read(overview(frame(), look(transfers=(TRANSFER, waits, without))))

    (bar,) = document.all("progress")
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("1000", "2000", "Piece c.zip")
    assert ENGLISH.waits in document.text
    assert HOSTILE_TEXT in document.text


def test_users_with_trouble_come_first() -> None:
    """Who is silent, and who has failed; the others as they come. Their last exchange is one step away."""
    users = (habit("fine", DAY), habit("failed", DAY, state="failed"), habit("late", DAY, last=NOW - 5 * DAY))
    document = read(overview(frame(), look(users=users)))

    rows = [link["href"] for link in document.all("a") if str(link["href"]).startswith("exchanges?user=")]
    assert rows == ["exchanges?user=failed", "exchanges?user=late", "exchanges?user=fine"]
    assert document.text.count(ENGLISH.overdue) == 1
    assert "exchanges/10" in [link["href"] for link in document.all("a")]
    assert "done: 9, failed: 1" in [one.get("aria-label") for one in document.all("div")]


def test_so_many_users() -> None:
    """The page stays small: the others are counted."""
    users = tuple(habit(f"user{place}", DAY, count=30) for place in range(200))
    source = source_of(overview(frame(), look(users=users, minutes=minutes(1440, received=12345, loss=1000))))

    assert source.count("exchanges?user=") == MOST_USERS_SHOWN
    assert "Not shown: 160" in source
    assert len(source) < 100_000


def test_in_russian() -> None:
    """All of it."""
    known = look(users=(habit("u", DAY),), minutes=minutes(1440, received=10), transfers=(TRANSFER,))
    text = read(overview(frame(words=RUSSIAN), known)).text

    for english in (ENGLISH.users, ENGLISH.transfers, ENGLISH.durations, ENGLISH.peak, "MB", " ago"):
        assert english not in text
