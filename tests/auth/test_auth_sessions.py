"""Which session a request belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from onec_twisted.auth.sessions import Sessions
from onec_twisted.model.errors import InvalidSession, MissingSessid
from onec_twisted.model.journal import UNKNOWN_SENDER

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from in_memory import InMemory

    from onec_twisted.auth.sessions import Opened


def fired(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine that waits for nothing returns, or raises."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return outcome[0]


@pytest.fixture
def sessions(exchange: InMemory) -> Sessions:
    """The sessions of an exchange."""
    return Sessions(
        records=exchange.catalog.sessions,
        shard=exchange.parts.shard,
        now=exchange.means.now,
        is_busy=exchange.parts.locks.busy,
        ttl=exchange.config.session_ttl,
        sessid_required=True,
        most=0,
    )


@pytest.fixture
def opened(sessions: Sessions) -> Opened:
    """One that has just been opened."""
    found: Opened = fired(sessions.open("shop", UNKNOWN_SENDER))
    return found


def test_by_cookie(sessions: Sessions, opened: Opened) -> None:
    """As a browser has it: the token alone."""
    found = fired(sessions.find(opened.token.encode()))
    assert (found.sessid, found.username) == (opened.sessid, "shop")
    for unknown in (None, b"", b"unknown", b"\xff"):
        assert fired(sessions.find(unknown)) is None


def test_as_a_node_has_it(sessions: Sessions, opened: Opened) -> None:
    """The sessid is that of the session, or the token again; without it a node is sent away."""
    token, sessid = opened.token.encode(), opened.sessid.encode()
    assert fired(sessions.of_node(token, sessid)).sessid == opened.sessid
    assert fired(sessions.of_node(token, token)).sessid == opened.sessid
    assert isinstance(fired(sessions.of_node(token, b"other")), InvalidSession)
    assert isinstance(fired(sessions.of_node(None, sessid)), InvalidSession)
    assert isinstance(fired(sessions.of_node(token, b"")), MissingSessid)
    lenient = evolve(sessions, sessid_required=False)
    assert fired(lenient.of_node(token, None)).sessid == opened.sessid


def test_one_that_is_over(exchange: InMemory, sessions: Sessions, opened: Opened) -> None:
    """Not while somebody writes in it, nor when it was used meanwhile."""
    token, sessid = opened.token.encode(), opened.sessid.encode()
    exchange.clock.advance(3000)
    fired(sessions.touch(fired(sessions.find(token))))
    exchange.clock.advance(3000)
    assert fired(sessions.find(token)) is not None
    exchange.clock.advance(1000)
    assert fired(sessions.find(token)) is None
    assert isinstance(fired(sessions.of_node(token, sessid)), InvalidSession)
    assert fired(evolve(sessions, is_busy=lambda _: True).find(token)) is not None
