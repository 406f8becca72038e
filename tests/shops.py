"""Shops with something on record, written by the statements of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.records import SUCCEEDED, WAITING, Session, Written
from onec_twisted.model.shops import ShopView

if TYPE_CHECKING:
    from sqlite3 import Cursor

    from in_memory import InMemory

NORTH = ShopView("north", 1024, (("--history", "90 days"),))
SOUTH = ShopView("south", None, ())


def trade(
    cursor: Cursor, account: str, sessid: str, *, state: str = SUCCEEDED, at: float = 1.0, words: str = ""
) -> str:
    """Let a session of an account bring a document of 5 bytes, whose import has come to a state; return its id."""
    statements.open_session(cursor, sessid, f"hash of {sessid}", account, at)
    session = Session(sessid, account, 1, 0, at)
    statements.commit(cursor, session, "import0_1.xml", None, Written(5), 10**12, at)
    handoff = outbox.import_requested(cursor, session, "catalog", "import0_1.xml", "", 5, at)
    if state != WAITING:
        outcomes.note_outcome(cursor, evolve(handoff, state=state, tries=1, words=words), at + 1, (), at)
    return handoff.id


def traded(exchange: InMemory, account: str, sessid: str, *, state: str = SUCCEEDED, words: str = "") -> str:
    """Do the same in an exchange in memory, now."""
    at = exchange.clock.seconds()

    def step(cursor: Cursor) -> str:
        return trade(cursor, account, sessid, state=state, at=at, words=words)

    (handoff,) = exchange.catalog.recorder.database.record([(step, ())])
    return str(handoff)
