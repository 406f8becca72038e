"""The list of refused requests."""

from __future__ import annotations

import pytest
from pages import HOSTILE, HOSTILE_TEXT, frame, read, refusal, source_of

from onec_twisted.admin.pages.refusals import REFUSALS_SHOWN, refusal_filter, refusals


@pytest.mark.parametrize(
    ("before", "time"), [("", None), ("12.5", 12.5), ("nan", None), ("inf", None), ("-1", None), ("x", None)]
)
def test_a_query_becomes_a_filter(before: str, time: float | None) -> None:
    """What it says wrongly is left out."""
    made = refusal_filter({"user": "u", "before": before})

    assert (made.username, made.before, made.limit) == ("u", time, REFUSALS_SHOWN + 1)


def test_a_line() -> None:
    """Who, when, how often, with which answer; what was asked is text."""
    document = read(refusals(frame(), {}, [refusal(asked=HOSTILE, words=HOSTILE)], ["shop"]))

    for said in ("12", "shop", "192.0.2.1", "507 ", HOSTILE_TEXT):
        assert said in document.text
    assert "<script" not in source_of(refusals(frame(), {}, [refusal(asked=HOSTILE)], []))


def test_pages_of_a_list() -> None:
    """The last time of the last line leads to the older ones."""
    lines = [refusal(number=place, last=1000.25 - place) for place in range(REFUSALS_SHOWN + 1)]
    links = [link["href"] for link in read(refusals(frame(), {}, lines, [])).all("a") if link.get("rel")]

    assert links == [f"?before={1000.25 - REFUSALS_SHOWN + 1!r}"]


def test_refusals_of_a_shop() -> None:
    """Those without a user say which shop they were for."""
    lines = [refusal(username="", shop="north"), refusal(number=4, username="north:alice", shop="north")]
    made = frame(page="refusals", shops=("north",))
    text = read(refusals(made, {"shop": "north"}, lines, ["north:alice"])).text

    assert refusal_filter({"shop": "north", "user": "alice"}).username == "north:alice"
    assert "alice north" in text
    assert text.count("north") >= 3
