"""How much of each shop is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shops import trade

from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sql.shops import NOTHING, on_record, shops
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING

if TYPE_CHECKING:
    from sqlite3 import Cursor


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with two users of a shop, and one of another whose name begins alike."""
    trade(empty, "north:a", "1")
    trade(empty, "north:b", "2", state=FAILED)
    trade(empty, "north2:a", "3", state=WAITING)
    return empty


def test_totals(cursor: Cursor) -> None:
    """They are of all users of a shop, and of no other."""
    found = shops(cursor, ["north2", "north", "south"])

    assert list(found) == ["north2", "north", "south"]
    assert (found["north"].sessions, found["north"].held) == (2, 10)
    assert found["north"].handoffs == {WAITING: 0, SUCCEEDED: 1, FAILED: 1}
    assert found["north2"].handoffs == {WAITING: 1, SUCCEEDED: 0, FAILED: 0}
    lasts = {name: totals.last.username for name, totals in found.items() if totals.last is not None}
    assert lasts == {"north": "north:b", "north2": "north2:a"}
    assert found["south"] == NOTHING


def test_the_default_shop(cursor: Cursor) -> None:
    """It comes last, if anything of it is on record, also when its last session has ended."""
    assert "default" not in shops(cursor, ["north"])
    trade(cursor, "alice", "4")
    assert list(shops(cursor, ["north"])) == ["north", "north2", "default"]
    statements.end_session(cursor, "4")

    found = shops(cursor, ["north"])["default"]
    assert (found.sessions, found.last is not None) == (0, True)


def test_files_that_are_kept(cursor: Cursor) -> None:
    """What was imported before an ``init`` is not held: it does not count for a quota."""
    statements.start_epoch(cursor, "1", 7.0, 10**6)

    assert on_record(cursor)["north"].held == 5


def test_shops_that_nobody_knows_any_more(cursor: Cursor) -> None:
    """What is on record of them is counted by their names."""
    assert on_record(cursor).keys() == {"north", "north2"}
