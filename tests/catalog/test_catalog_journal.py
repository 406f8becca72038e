"""The journal without blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import make_catalog, now_of, opened

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.model.journal import ExchangeFilter, Minute, RefusalFilter, RefusalLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.catalog.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog with one session."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    catalog = make_catalog(path)
    opened(catalog)
    yield catalog
    catalog.recorder.close()


def test_exchanges(catalog: Catalog) -> None:
    """In a list, by number, by user; and forgotten."""
    journal = catalog.journal
    (line,) = now_of(journal.exchanges(ExchangeFilter()))
    found = now_of(journal.exchange(line.number))
    assert found is not None
    assert found.line == line
    assert [(row.username, row.recent) for row in now_of(journal.users())] == [("shop", (line,))]
    now_of(catalog.sessions.end("s"))
    assert now_of(journal.forget(2.0, {})) == 1
    assert now_of(journal.exchanges(ExchangeFilter())) == ()


def test_refusals_and_minutes(catalog: Catalog) -> None:
    """What is noted is there to be read."""
    journal = catalog.journal
    now_of(journal.note_refusals([RefusalLine(0, 5.0, 5.0, 1, "u", "a", "", 401, "no", "No", "GET /")]))
    now_of(journal.note_minute(Minute(2, 1, 1, 0, 0, 0, 0, 9), 0))

    assert [one.words for one in now_of(journal.refusals(RefusalFilter()))] == ["No"]
    assert now_of(journal.minutes(120.0)) == (Minute(2, 1, 1, 0, 0, 0, 0, 9),)
    assert now_of(journal.minutes(180.0)) == ()
