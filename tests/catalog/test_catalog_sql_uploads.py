"""The table of uploads; what is recorded with a session or a file is tested with ``resumable``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import sessions, uploads
from onec_twisted.model.errors import UploadGone, UploadOpen
from onec_twisted.model.uploads import COMPLETE, GONE, UploadRecord

if TYPE_CHECKING:
    from sqlite3 import Cursor

UPLOAD = UploadRecord("u", "shop", "s", "a.xml", None, "filename YS54bWw=", own=False)


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A database with a session and an upload."""
    sessions.open_session(empty, "s", "hash", "shop", 1.0)
    uploads.insert(empty, UPLOAD, 1.0)
    return empty


def test_an_upload_is_found_as_it_was_put_on_record(cursor: Cursor) -> None:
    """And nothing is found that is not there."""
    assert uploads.find(cursor, "u") == UPLOAD
    assert uploads.find(cursor, "v") is None


def test_it_grows_until_it_is_complete(cursor: Cursor) -> None:
    """Its length may come with its bytes; then it takes no more."""
    known = evolve(UPLOAD, length=7)
    uploads.grow(cursor, known, 3, 2.0, complete=False)
    assert uploads.find(cursor, "u") == evolve(known, received=3)
    assert uploads.unfinished(cursor) == 1
    uploads.grow(cursor, known, 4, 3.0, complete=True)
    assert uploads.find(cursor, "u") == evolve(known, received=7, state=COMPLETE)
    assert uploads.unfinished(cursor) == 0
    with pytest.raises(UploadGone):
        uploads.grow(cursor, known, 1, 4.0, complete=False)


def test_one_makes_way_for_another_of_its_name(cursor: Cursor) -> None:
    """Unless it has brought something."""
    uploads.make_way(cursor, evolve(UPLOAD, id="v"), 0, 2.0)
    assert uploads.find(cursor, "u") is None
    uploads.insert(cursor, evolve(UPLOAD, received=1), 2.0)
    with pytest.raises(UploadOpen):
        uploads.make_way(cursor, evolve(UPLOAD, id="v"), 1, 3.0)


def test_what_has_expired_is_remembered_then_forgotten(cursor: Cursor) -> None:
    """Without its metadata."""
    uploads.expire(cursor, 9.0, 0.5, frozenset({"s"}))
    assert uploads.find(cursor, "u") == UPLOAD
    uploads.expire(cursor, 9.0, 0.5, frozenset())
    assert uploads.find(cursor, "u") == evolve(UPLOAD, state=GONE, metadata="")
    uploads.expire(cursor, 9.0, 9.0, frozenset())
    assert uploads.find(cursor, "u") is None
