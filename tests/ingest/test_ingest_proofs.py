"""The answers on their way: what is remembered of them, and until when. ``test_pieces`` has what follows from it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import Deferred

from onec_twisted.ingest.proofs import PROOF_DELAY, PROOF_RETRY, Proofs

if TYPE_CHECKING:
    from in_memory import InMemory

    from onec_twisted.model.records import Session


@pytest.fixture
def session(exchange: InMemory) -> Session:
    """A session with a file of 3 bytes."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"abc", Cookie=cookie)
    found = exchange.catalog.recorder.known.of_sessid(sessid)
    assert found is not None
    return found.session


def is_proven(exchange: InMemory, session: Session) -> bool:
    """Return whether a proof is on record."""
    found = exchange.catalog.recorder.known.of_sessid(session.sessid)
    assert found is not None
    return found.files["a"].proven


@pytest.mark.parametrize("arrives", [True, False])
def test_an_answer_is_known_until_its_fate_is_on_record(exchange: InMemory, session: Session, arrives: bool) -> None:
    """A proof waits for company; what was lost needs no record."""
    exchange.clock.advance(10)
    proofs = Proofs(exchange.catalog.files, exchange.clock)
    exchange.catalog.recorder.known.of_sessid(session.sessid).commit(1, "a", 3, 3, 0)  # type: ignore[union-attr]
    delivery = proofs.watch(session, "a", 3)
    assert proofs.of(session.sessid, "a") is delivery
    if arrives:
        delivery.sent(None)
        assert proofs.of(session.sessid, "a") is delivery
        exchange.clock.advance(PROOF_DELAY)
    else:
        delivery.lost()

    assert proofs.of(session.sessid, "a") is None
    assert len(proofs) == 0
    assert is_proven(exchange, session) is arrives


def test_the_next_piece_takes_its_place(exchange: InMemory, session: Session) -> None:
    """Only the last piece of a file matters; what becomes of the answer before changes nothing."""
    proofs = Proofs(exchange.catalog.files, exchange.clock)
    first, second = proofs.watch(session, "a", 3), proofs.watch(session, "a", 6)
    first.lost()

    assert proofs.of(session.sessid, "a") is second
    proofs.forget(session.sessid)
    assert len(proofs) == 0


@pytest.mark.parametrize("settles", [False, True])
def test_a_proof_that_cannot_be_recorded_is_recorded_later(
    exchange: InMemory, session: Session, monkeypatch: pytest.MonkeyPatch, settles: bool
) -> None:
    """While another program holds the database; without it an equal piece were a repeat after the next start."""
    exchange.clock.advance(10)
    database = exchange.catalog.recorder.database
    monkeypatch.setattr(database, "patience", 0.0)
    proofs = Proofs(exchange.catalog.files, exchange.clock)
    exchange.catalog.recorder.known.of_sessid(session.sessid).commit(1, "a", 3, 3, 0)  # type: ignore[union-attr]
    acknowledgement = proofs.watch(session, "a", 3)
    with closing(sqlite3.connect(exchange.store.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        acknowledgement.sent(None)
        exchange.clock.advance(PROOF_DELAY)
        exchange.clock.advance(PROOF_RETRY)
        exchange.clock.advance(PROOF_DELAY)
        assert proofs.of(session.sessid, "a") is acknowledgement
    if settles:
        Deferred.fromCoroutine(proofs.settle(0.1))
    else:
        exchange.clock.advance(PROOF_RETRY)
        exchange.clock.advance(PROOF_DELAY)

    assert len(proofs) == 0
    assert is_proven(exchange, session)
