"""The hand-offs: their states, their buttons, and those for all of them."""

from __future__ import annotations

from typing import Any

import pytest
from handed_off import handoff
from pages import HOSTILE, NOW, frame, read, source_of

from onec_twisted.admin.pages.handoffs import HANDOFFS_SHOWN, handoff_filter, handoffs
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.delivery.lines import Prospect
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING


def content(*lines: Any, query: dict[str, str] | None = None, failed: int = 0, **prospects: Prospect) -> list[Any]:
    """Return the content of the list."""
    known = {name.removeprefix("p"): prospect for name, prospect in prospects.items()}
    return handoffs(frame(page="handoffs"), query or {}, lines, failed=failed, prospects=known, users=["shop"])


def actions(*lines: Any, **given: Any) -> list[tuple[str | None, str | None]]:
    """Return where the buttons lead, and what they ask first."""
    forms = read(content(*lines, **given)).all("form")
    return [(form["action"], form.get("data-confirm")) for form in forms if form["method"] == "post"]


def one(**changes: Any) -> Any:
    """Return a hand-off of a short id."""
    return handoff(**({"id": "1", "created": NOW - 100} | changes))


@pytest.mark.parametrize(
    ("prospect", "said", "silent"),
    [
        (Prospect(True, None, "Import is running"), ("being delivered", "Import is running"), ENGLISH.next_try),
        (Prospect(False, None, "waits for its turn"), ("waiting", "waits for its turn"), ENGLISH.next_try),
        (Prospect(False, 65.0, "no price"), ("waiting", ENGLISH.next_try, "no price"), "being delivered"),
    ],
)
def test_what_waits(prospect: Prospect, said: tuple[str, ...], silent: str) -> None:
    """For its turn, or for its next try, whose time is told; or it runs."""
    text = read(content(one(), p1=prospect)).text

    assert all(part in text for part in said)
    assert silent not in text


def test_the_time_of_the_next_try() -> None:
    """As a time of day."""
    times = read(content(one(), p1=Prospect(False, 65.0, "no"))).all("time")

    assert [time["datetime"] for time in times][1:] == [read(frame().moment(NOW + 65)).all("time")[0]["datetime"]]


@pytest.mark.parametrize(
    ("changes", "buttons"),
    [
        ({"state": WAITING}, []),
        (
            {"state": WAITING, "tries": 2},
            [("handoffs/1/retry", None), ("handoffs/1/drop", ENGLISH.give_up_question)],
        ),
        ({"state": FAILED}, [("handoffs/1/retry", None), ("handoffs/1/drop", ENGLISH.drop_question)]),
        (
            {"state": FAILED, "event": "settled", "filename": ""},
            [("handoffs/1/retry", None), ("handoffs/1/drop", ENGLISH.drop_loses)],
        ),
        ({"state": FAILED, "superseded": True}, [("handoffs/1/drop", ENGLISH.drop_question)]),
        ({"state": SUCCEEDED}, []),
    ],
)
def test_buttons(changes: dict[str, Any], buttons: list[tuple[str, str | None]]) -> None:
    """Those that a state has, and what is lost is said before."""
    assert actions(one(**changes)) == buttons


def test_all_at_once() -> None:
    """Two buttons for whatever the filter shows, with how many there are; none where no failed ones are shown."""
    assert actions(failed=40) == [
        ("handoffs/all/retry", ENGLISH.retry_all_question),
        ("handoffs/all/drop", ENGLISH.drop_all_question),
    ]
    document = read(content(failed=40, query={"user": "shop", "state": "failed"}))
    assert [field["value"] for field in document.all("input") if field["name"] == "user"] == ["shop", "shop"]
    assert "Retry all failed: 40" in document.text
    assert actions(failed=40, query={"state": "waiting"}) == []
    assert actions(failed=0) == []


def test_files_of_a_quiet_session() -> None:
    """The first ones are named."""
    quiet = one(event="settled", filename="", files=tuple((name, 1) for name in "abcd"), count=9)

    assert "a, b, c, …" in read(content(quiet)).text


def test_a_query_becomes_a_filter() -> None:
    """What it says wrongly is left out."""
    assert handoff_filter({"user": "u", "state": "failed", "before": "7"}).before == 7
    assert handoff_filter({"state": "nonsense"}).state == ""
    assert handoff_filter({"before": "9" * 19}).before is None
    assert handoff_filter({}).limit == HANDOFFS_SHOWN + 1


def test_pages_of_a_list() -> None:
    """The filter goes with the link to older ones."""
    lines = [one(id=str(number), number=number) for number in range(200, 200 - HANDOFFS_SHOWN - 1, -1)]
    links = [link["href"] for link in read(content(*lines, query={"state": "failed"})).all("a") if link.get("rel")]

    assert links == [f"?state=failed&before={200 - HANDOFFS_SHOWN + 1}"]


def test_a_hostile_name_is_text() -> None:
    """In a cell, in a label, in the words of an importer."""
    source = source_of(content(one(filename=HOSTILE, words=HOSTILE, username=HOSTILE, state=FAILED), failed=1))

    assert "<script" not in source
    assert "\u202e" not in source


def test_all_that_failed_of_a_shop() -> None:
    """The buttons are for what the filter shows: no other shop's."""
    made = frame(page="handoffs", shops=("north",))
    query = {"user": "alice", "shop": "north"}
    document = read(handoffs(made, query, (), failed=3, prospects={}, users=[]))
    fields = [(field["name"], field["value"]) for field in document.all("input")]

    assert fields.count(("shop", "north")) == 2
    assert fields.count(("user", "north:alice")) == 2
    assert handoff_filter(query).username == "north:alice"
