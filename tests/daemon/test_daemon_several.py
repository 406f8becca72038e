"""What a daemon among several holds: each thing that is missing at the start is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import config_of
from twisted.internet.task import Clock

from onec_twisted.daemon.config import CannotStart

pytest.importorskip("psycopg", reason="tox -e cluster has it")
pytest.importorskip("obstore", reason="tox -e cluster has it")

from stores import fake

from onec_twisted.cluster.location import Credentials, Location
from onec_twisted.daemon.places import Place
from onec_twisted.daemon.several import SharedHoldings, make_shared_holdings, make_shared_means

if TYPE_CHECKING:
    from pathlib import Path

    from fake_s3 import FakeS3
    from postgres import Server

__all__ = ["fake"]

NOWHERE = Location("bucket", "", "http://127.0.0.1:1")


class Reactor(Clock):
    """A reactor without threads."""

    def addSystemEventTrigger(self, *args: Any) -> None:
        """Do nothing."""


def holdings(folder: Path, catalog: str) -> SharedHoldings:
    """Return the holdings of a daemon whose store is not there."""
    place = Place(catalog, NOWHERE, Credentials("key", "hunter2"), "one")
    return make_shared_holdings(place, config_of(f"--media-root={folder}"), Reactor())


def test_no_server(tmp_path: Path) -> None:
    """It says that of PostgreSQL, and no password."""
    held = holdings(tmp_path, "postgresql://onec:hunter2@127.0.0.1:1/onec")
    with pytest.raises(CannotStart, match="--catalog: PostgreSQL cannot be used") as caught:
        held.prepare("media")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_store(tmp_path: Path, postgresql: Server) -> None:
    """It says that of the store."""
    held = holdings(tmp_path, postgresql.url("made"))
    with pytest.raises(CannotStart, match="--store") as caught:
        held.prepare("media")
    assert "hunter2" not in str(caught.value)
    held.database.close()
    assert held.place == "the object store"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "NoSuchBucket", "--store: there is no such bucket; make it, or correct the address"),
        (403, "AccessDenied", "403 AccessDenied); its key needs the right to put, get, list and delete objects"),
        (403, "QuotaExceeded", "--store: the store has no room"),
    ],
)
def test_a_store_that_does_not_serve(
    tmp_path: Path, postgresql: Server, fake: FakeS3, status: int, code: str, words: str
) -> None:
    """It says what to do about that."""
    fake.fault("PUT", times=100, status=status, code=code)
    place = Place(postgresql.url("made"), Location(fake.bucket, "", fake.endpoint), Credentials("key", "hunter2"))
    held = make_shared_holdings(place, config_of(f"--media-root={tmp_path}"), Reactor())
    with pytest.raises(CannotStart) as caught:
        held.prepare("media")
    assert words in str(caught.value)
    held.database.close()


def test_its_means(tmp_path: Path) -> None:
    """It is one of several, whose parts are told when to look."""
    config = config_of(f"--media-root={tmp_path}")
    place = Place("postgresql://127.0.0.1:1/onec", NOWHERE, Credentials("key", "x"), "one")
    reactor = Reactor()
    held = make_shared_holdings(place, config, reactor)
    means = make_shared_means(reactor, place, config, held)
    assert not means.daemons.is_alone
    assert sorted(interval for interval, _ in means.timers) == [0.25, 0.25, 0.5, 1.0, 1.0, 1.0, 60.0]
    assert means.importer_of(config).takes_urls  # type: ignore[attr-defined]
