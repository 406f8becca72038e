"""A catalog with its database. What SQL says holds in SQLite, and in PostgreSQL, which several daemons share."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from records import make_catalog

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sqlite import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.catalog.catalog import Catalog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    return path


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    """A catalog without its thread."""
    catalog = make_catalog(path)
    yield catalog
    catalog.recorder.close()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A cursor of each engine in turn, without any record; in PostgreSQL nothing stays."""
    if request.param == "PostgreSQL":
        server = request.getfixturevalue("postgresql")
        with server.rolled_back() as cursor:
            yield cursor
        return
    create_catalog(tmp_path / "catalog.sqlite3")
    with closing(opened(tmp_path / "catalog.sqlite3")) as connection:
        yield connection.cursor()
