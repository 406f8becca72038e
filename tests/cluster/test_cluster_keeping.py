"""The manifest of a session, in the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from cluster_relays import SESSID, Relaying, came
from stores import KEYS, QUICK
from zope.interface.verify import verifyObject

from onec_twisted.catalog.sql import outcomes
from onec_twisted.cluster.keeping import KeepObjects
from onec_twisted.cluster.location import Location
from onec_twisted.cluster.objects import ObjectStore
from onec_twisted.cluster.putters import Putters
from onec_twisted.cluster.s3 import S3
from onec_twisted.delivery.interfaces import IImporter, ImportInterrupted
from onec_twisted.model.description import describe
from onec_twisted.model.records import SUCCEEDED
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_s3 import FakeS3

    from onec_twisted.cluster.postgresql import PostgreSQL


@pytest.fixture
def keep(database: PostgreSQL, fake: FakeS3) -> Iterator[KeepObjects]:
    """The importer, on a store in memory."""
    s3 = S3(Location(fake.bucket, "", fake.endpoint), KEYS, QUICK)
    store = ObjectStore(
        s3=s3,
        putters=Putters(s3),
        scratch="/nowhere",
        segments_of=lambda *_: [],
        epochs_of=lambda _: None,
    )
    yield KeepObjects(database, store, inline)
    store.stop()


def manifest(keep: KeepObjects) -> Any:
    """Return what is in the store."""
    s3 = keep.store.s3
    key = f"files/{SESSID}/manifest.json"
    return json.loads(s3.read(key, 0, s3.size(key))[0])


def test_it_grows_with_each_hand_off(keep: KeepObjects, database: PostgreSQL) -> None:
    """It has those that have succeeded, and the one that is delivered; the same one again changes nothing."""
    assert verifyObject(IImporter, keep)
    daemon = Relaying(database)
    first, second = daemon.sealed("a.xml"), daemon.sealed("b.xml")
    for _ in range(2):
        came(keep.deliver(describe(first, ""), lambda _: None))
        told = manifest(keep)
        assert [one["filename"] for one in told["handoffs"]] == ["a.xml"]
        assert [(one["name"], one["size"]) for one in told["files"]] == [("a.xml", 5)]
    database.record([(outcomes.note_outcome, (evolve(first, state=SUCCEEDED), 3.0))])
    came(keep.deliver(describe(second, ""), lambda _: None))
    told = manifest(keep)
    assert [one["id"] for one in told["handoffs"]] == [first.id, second.id]
    assert (told["sessid"], told["user"], told["shop"]) == (SESSID, "shop", None)


def test_a_store_that_is_away(keep: KeepObjects, database: PostgreSQL, fake: FakeS3) -> None:
    """Is asked again later."""
    handoff = Relaying(database).sealed("a.xml")
    fake.stop()
    with pytest.raises(ImportInterrupted, match="manifest"):
        came(keep.deliver(describe(handoff, ""), lambda _: None))
