"""The tables, and what daemons of different versions say to them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.tables import FIRST_VERSION, MIGRATIONS, OLDEST_VERSION, create_tables, leave_behind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server


@pytest.fixture
def bare(postgresql: Server) -> Iterator[str]:
    """A database without tables."""
    with postgresql.database() as url:
        yield url


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


def test_later_versions_add_and_leave_behind(database: PostgreSQL, postgresql: Server) -> None:
    """What the version before can ignore comes at once; it is shut out only when none of its daemons runs."""
    name, later = database.url.rpartition("/")[2], SCHEMA_VERSION + 1
    postgresql.ask(
        f"INSERT INTO daemons (id, name, version, knows) VALUES ('old', 'old', '1', {SCHEMA_VERSION})", name
    )
    added = {later: "ALTER TABLE files ADD COLUMN later INTEGER NOT NULL DEFAULT 0;"}
    database.using(create_tables, later, added)
    database.using(create_tables, later, added)
    assert postgresql.ask("SELECT version, oldest FROM schema_version", name) == [(later, OLDEST_VERSION)]
    database.using(create_tables)

    assert database.using(leave_behind, later) == OLDEST_VERSION
    postgresql.ask("UPDATE daemons SET seen = now() - interval '6 s'", name)
    assert database.using(leave_behind, later) == later
    with pytest.raises(CannotUseCluster, match="install the version that the other daemons run"):
        database.using(create_tables)


def test_each_version_has_a_migration() -> None:
    """From that of the first tables on."""
    assert sorted(MIGRATIONS) == list(range(FIRST_VERSION + 1, SCHEMA_VERSION + 1))


def test_text_is_in_the_order_of_its_bytes(database: PostgreSQL, postgresql: Server) -> None:
    """As in SQLite: accounts of a shop are next to each other."""
    found = postgresql.ask(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
        " AND COALESCE(collation_name, '') <> 'C'",
        database.url.rpartition("/")[2],
    )
    assert found == []
