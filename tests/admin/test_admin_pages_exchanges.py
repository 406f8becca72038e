"""The list of exchanges: what of a query is a filter, and what is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, HOSTILE_TEXT, exchange_line, frame, read, source_of

from onec_twisted.admin.pages.exchanges import EXCHANGES_SHOWN, exchange_filter, exchanges, exchanges_query
from onec_twisted.admin.words.english import ENGLISH


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, {"username": "", "state": "", "file": "", "before": None, "since": None}),
        ({"user": "Иван"}, {"username": "Иван", "shop": ""}),
        ({"user": "Иван", "shop": "north"}, {"username": "north:Иван", "shop": "north"}),
        ({"state": "failed"}, {"state": "failed"}),
        ({"state": "anything"}, {"state": ""}),
        ({"file": "import 0%"}, {"file": "import 0%"}),
        ({"before": "90"}, {"before": 90}),
        ({"before": "-1"}, {"before": None}),
        ({"before": "9" * 30}, {"before": None}),
        ({"before": "٣"}, {"before": None}),
        ({"day": "nonsense"}, {"since": None}),
        ({"day": "0001-01-01"}, {}),
        ({"day": "9999-12-31"}, {}),
    ],
)
def test_a_query_becomes_a_filter(query: dict[str, str], wanted: dict[str, Any]) -> None:
    """What it says wrongly is left out."""
    made = exchange_filter(query)

    assert {name: getattr(made, name) for name in wanted} == wanted
    assert made.limit == EXCHANGES_SHOWN + 1


def test_a_day() -> None:
    """From midnight to midnight, on the clocks of the machine."""
    made = exchange_filter({"day": "2026-11-25"})

    assert made.since is not None
    assert made.until is not None
    assert made.until - made.since == 86400


@given(
    st.dictionaries(st.sampled_from(["user", "shop", "state", "day", "file", "before", "x"]), st.text(max_size=30))
)
def test_whatever_is_asked(query: dict[str, str]) -> None:
    """There is a filter, and a page with what of it was understood."""
    made = exchange_filter(query)
    assert set(exchanges_query(query)) <= {"user", "shop", "state", "day", "file", "before"}
    assert made.before is None or 0 <= made.before < 2**63
    assert read(exchanges(frame(page="exchanges"), query, (), ())).all("form")


def test_a_row() -> None:
    """When, who, what became of it, how much; it leads to the exchange."""
    line = exchange_line(number=12, username=HOSTILE, state="failed", words="no <price>", refusals=4)
    document = read(exchanges(frame(page="exchanges"), {}, [line], ["shop"]))

    assert "exchanges/12" in [link["href"] for link in document.all("a")]
    for said in (HOSTILE_TEXT, "failed", "no <price>", "2.0 KB", "1 min", "192.0.2.1", "4"):
        assert said in document.text
    assert "<script" not in source_of(exchanges(frame(), {}, [line], [HOSTILE]))


def test_pages_of_a_list() -> None:
    """One row more than a page holds makes a link to it; the filter goes with it."""
    lines = [exchange_line(number=1000 - place) for place in range(EXCHANGES_SHOWN + 1)]
    document = read(exchanges(frame(page="exchanges"), {"user": "shop"}, lines, ["shop"]))
    older = [link["href"] for link in document.all("a") if link.get("rel") == "next"]

    assert older == [f"?user=shop&before={1000 - EXCHANGES_SHOWN + 1}"]
    assert len([row for row in document.all("tr") if row.get("id")]) == EXCHANGES_SHOWN
    last = read(exchanges(frame(page="exchanges"), {"before": "9"}, lines[:3], ["shop"]))
    assert [link.get("rel") for link in last.all("a") if link.get("rel")] == ["prev"]


def test_the_filter_shows_what_is_chosen() -> None:
    """And what could be."""
    query = {"user": "shop", "state": "failed", "day": "2026-11-25", "file": "a.xml"}
    document = read(exchanges(frame(page="exchanges"), query, (), ["other", "shop"]))

    chosen = [one["value"] for one in document.all("option") if "selected" in one]
    assert chosen == ["shop", "failed"]
    assert [one["value"] for one in document.all("input")] == ["2026-11-25", "a.xml"]
    assert ENGLISH.none_found in document.text
