"""What the administrator reads in the journal."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_rows import fill

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql import history
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sqlite import opened
from onec_twisted.model.journal import STATES, ExchangeFilter, RefusalFilter
from onec_twisted.model.records import Session, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Cursor

COUNT = 300


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cursor]:
    """A catalog with 300 exchanges of five users in three shops, the default one among them."""
    path = tmp_path_factory.mktemp("history") / "catalog.sqlite3"
    create_catalog(path)
    with closing(opened(path)) as connection:
        cursor = connection.cursor()
        fill(cursor, exchanges=COUNT, users=5, refusals=50, shops=("default", "north", "south"))
        yield cursor


FILTERS = st.builds(
    ExchangeFilter,
    username=st.sampled_from(["", "user0", "user3", "north:user1", "nobody"]),
    shop=st.sampled_from(["", "default", "north", "nor", "south", "west"]),
    state=st.sampled_from(["", *STATES]),
    since=st.none() | st.floats(0, 60.0 * COUNT),
    until=st.none() | st.floats(0, 60.0 * COUNT),
    file=st.sampled_from(["", "IMPORT", "7_1.x", "%", "_", "ТОВАРЫ 1", "товары", "\\"]),
    before=st.none() | st.integers(1, COUNT + 1),
    limit=st.integers(1, 60),
)


@given(wanted=FILTERS)
def test_filters(cursor: Cursor, wanted: ExchangeFilter) -> None:
    """They let through what a plain loop over all would."""
    every = history.exchanges(cursor, ExchangeFilter(limit=COUNT))
    names = {
        line.number: [one.name for one in found.files]
        for line in every
        if wanted.file and (found := history.exchange(cursor, line.number)) is not None
    }
    passing = [
        line
        for line in every
        if wanted.username in {"", line.username}
        and wanted.shop in {"", line.shop}
        and wanted.state in {"", line.state}
        and (wanted.since is None or line.started >= wanted.since)
        and (wanted.until is None or line.started < wanted.until)
        and (wanted.before is None or line.number < wanted.before)
        and (not wanted.file or any(wanted.file.casefold() in name.casefold() for name in names[line.number]))
    ]

    assert list(history.exchanges(cursor, wanted)) == passing[: wanted.limit]


def test_pages_follow_one_another(cursor: Cursor) -> None:
    """Each begins before the last of the one before; none is left out."""
    seen: list[int] = []
    while page := history.exchanges(cursor, ExchangeFilter(before=seen[-1] if seen else None, limit=70)):
        seen += [line.number for line in page]

    assert seen == list(range(COUNT, 0, -1))


def test_files_of_a_session_that_goes_on(cursor: Cursor) -> None:
    """They are found by their names, too, whatever the case."""
    statements.open_session(cursor, "live", "live", "user9", 10**9)
    statements.commit(cursor, Session("live", "user9", 1, 0, 0.0), "Остатки.xml", None, Written(5), 1000, 10**9)

    assert [line.sessid for line in history.exchanges(cursor, ExchangeFilter(file="остатки"))] == ["live"]
    statements.end_session(cursor, "live")


def test_users(cursor: Cursor) -> None:
    """Each has its last thirty; whose exchange is the newest comes first."""
    rows = history.users(cursor)

    assert {row.username for row in rows} >= {"user0", "north:user1", "south:user2", "user3", "north:user4"}
    for row in rows:
        numbers = [line.number for line in row.recent]
        assert numbers == sorted(numbers, reverse=True)
        assert len(numbers) <= history.RECENT_SHOWN
    assert [row.recent[0].number for row in rows] == sorted((row.recent[0].number for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("shop", "users"),
    [("default", {"user0", "user3"}), ("north", {"north:user1", "north:user4"}), ("nor", set()), ("south:", set())],
)
def test_users_of_a_shop(cursor: Cursor, shop: str, users: set[str]) -> None:
    """They are those whose accounts belong to it, not to one whose name begins alike."""
    found = {row.username for row in history.users(cursor, shop)}

    assert found - {"user9"} == users, "whose session may have gone on in the test before"


def test_refusals_of_a_shop(cursor: Cursor) -> None:
    """Only they are there."""
    found = history.refusals(cursor, RefusalFilter(shop="south"))

    assert [one.username for one in found] == [f"south:user{number}" for number in range(47, 0, -3)]


def test_refusals(cursor: Cursor) -> None:
    """The latest first, in pages."""
    first = history.refusals(cursor, RefusalFilter(limit=30))
    second = history.refusals(cursor, RefusalFilter(limit=30, before=first[-1].last))

    assert (len(first), len(second)) == (30, 20)
    times = [one.last for one in (*first, *second)]
    assert times == sorted(times, reverse=True)


def test_one_that_there_is_not(cursor: Cursor) -> None:
    """There is nothing to show."""
    assert history.exchange(cursor, 10**6) is None
