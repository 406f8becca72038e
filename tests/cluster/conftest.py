"""Databases of PostgreSQL's, one for each test, and object stores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

try:
    from cluster_nodes import Cluster, Shared
    from seaweed import seaweedfs
    from stores import bench, fake, objects, s3

    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.cluster.s3 import S3, Tries
except ModuleNotFoundError:  # psycopg or obstore is not installed: these tests are for where both are
    collect_ignore_glob = ["test_*.py"]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server
    from seaweed import Seaweed

__all__ = ["bench", "cluster", "database", "fake", "objects", "s3", "seaweedfs", "shared", "url"]


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    """A database with tables, for one test."""
    with postgresql.database("made") as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[PostgreSQL]:
    """The same, connected."""
    database = PostgreSQL(url, time.monotonic)
    yield database
    database.close()


@pytest.fixture
def locked(url: str, postgresql: Server) -> Iterator[str]:
    """The address of the same database for a user who needs a password, ``secret``."""
    postgresql.ask("CREATE ROLE locked LOGIN SUPERUSER PASSWORD 'secret'")
    postgresql.lock("locked")
    yield url.replace("postgres@", "locked@")
    postgresql.ask("DROP ROLE locked")


@pytest.fixture
def shared(url: str, seaweedfs: Seaweed) -> Shared:
    """A database, and a prefix in a store that nobody has used, for daemons to share."""
    return Shared.at(url, seaweedfs)


@pytest.fixture
def cluster(database: PostgreSQL, shared: Shared) -> Cluster:
    """The records and the objects that daemons share, as a test sees them."""
    return Cluster(database, S3(shared.store, shared.keys, Tries()))
