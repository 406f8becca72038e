"""The tables, and what daemons of different versions say to them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server


@pytest.fixture
def bare(postgresql: Server) -> Iterator[str]:
    """A database without tables."""
    postgresql.ask("CREATE DATABASE bare")
    yield postgresql.url("bare")
    postgresql.ask("DROP DATABASE bare WITH (FORCE)")


def test_daemons_that_start_at_once_make_them_once(bare: str) -> None:
    """One makes them, the others find them."""
    failures: list[BaseException] = []

    def start() -> None:
        database = PostgreSQL(bare, time.monotonic)
        try:
            database.using(create_tables)
        except BaseException as error:
            failures.append(error)
        finally:
            database.close()

    starting = [threading.Thread(target=start) for _ in range(4)]
    for one in starting:
        one.start()
    for one in starting:
        one.join()

    assert failures == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (f"oldest = {SCHEMA_VERSION + 1}", "install the version that the other daemons run"),
        ("version = 1", "older than any release"),
    ],
)
def test_tables_of_another_version(database: PostgreSQL, postgresql: Server, found: str, words: str) -> None:
    """One line says what to do; tables that this version can use beside a later one are used."""
    postgresql.ask(f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}", database.url.rpartition("/")[2])
    database.using(create_tables)
    postgresql.ask(f"UPDATE schema_version SET {found}", database.url.rpartition("/")[2])
    with pytest.raises(CannotUseCluster, match=words) as caught:
        database.using(create_tables)

    assert "\n" not in str(caught.value)


def test_text_is_in_the_order_of_its_bytes(database: PostgreSQL, postgresql: Server) -> None:
    """As in SQLite: accounts of a shop are next to each other."""
    found = postgresql.ask(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
        " AND COALESCE(collation_name, '') <> 'C'",
        database.url.rpartition("/")[2],
    )
    assert found == []
