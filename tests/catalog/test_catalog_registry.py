"""Uploads on record, and what is known in memory of the sessions that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from in_memory import NOW, SESSION_QUOTA
from twisted.internet.defer import Deferred

from onec_twisted.catalog.registry import Registry
from onec_twisted.model.errors import UploadNotFound
from onec_twisted.model.records import FileRecord, Written
from onec_twisted.model.uploads import UploadRecord

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from in_memory import InMemory

    from onec_twisted.catalog.cache import KnownSession

T = TypeVar("T")


def now(coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
    """Return what a coroutine returns that waits for nothing."""
    outcome: list[T] = []
    Deferred.fromCoroutine(coroutine).addCallback(outcome.append)
    return outcome[0]


@pytest.fixture
def registry(exchange: InMemory) -> Registry:
    """The registry of the exchange's catalog."""
    return Registry(exchange.catalog.recorder, SESSION_QUOTA, 0)


@pytest.fixture
def known(exchange: InMemory) -> KnownSession:
    """A session in use."""
    _, sessid = exchange.checkauth()
    known = exchange.catalog.recorder.known.of_sessid(sessid)
    assert known is not None
    return known


@pytest.fixture
def upload(known: KnownSession) -> UploadRecord:
    """An upload of that session."""
    return UploadRecord("u", "shop", known.session.sessid, "a", 6, "", own=False)


def test_one_that_is_not_there(registry: Registry, nothing_left_behind: list[dict[str, Any]]) -> None:
    """There is no such."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(registry.find("u")).addErrback(outcome.append)
    assert outcome[0].check(UploadNotFound)


def test_what_is_known_follows_the_record(registry: Registry, known: KnownSession, upload: UploadRecord) -> None:
    """A piece of 1C's that comes next finds the file as it is, without asking the disk."""
    now(registry.create(upload, known.session, NOW + 1))
    assert known.session.touched == NOW + 1
    grown = now(registry.grow(known.session, upload, None, lambda: Written(4), NOW + 2, lambda _: None))
    assert grown == (4, None)
    assert known.files == {"a": FileRecord(4, 0, proven=True)}
    assert known.session.held == 4
    length, handoff = now(
        registry.grow(known.session, upload, 4, lambda: Written(6), NOW + 3, lambda size: {"size": str(size)})
    )
    assert length == 6
    assert handoff is not None
    assert handoff.metadata == '{"size": "6"}'
    assert known.files == {"a": FileRecord(6, 4, proven=True, sealed=True)}


def test_what_is_removed_is_not_known(registry: Registry, known: KnownSession, upload: UploadRecord) -> None:
    """And its room is free."""
    now(registry.create(upload, known.session, NOW))
    now(registry.grow(known.session, upload, None, lambda: Written(4), NOW, lambda _: None))
    assert now(registry.remove(upload, NOW))
    assert known.files == {}
    assert known.session.held == 0


def test_a_session_of_its_own_is_nobodys(exchange: InMemory, registry: Registry) -> None:
    """No cookie opens it, and nothing of it is kept in memory."""
    upload = UploadRecord("u", "shop", "5" * 32, "a", 6, "", own=True)
    now(registry.create(upload, None, NOW))
    assert exchange.catalog.recorder.known.of_sessid("5" * 32) is None
    session = now(registry.find("u")).live(0, busy=False)
    assert now(registry.grow(session, upload, None, lambda: Written(1), NOW, lambda _: None))
