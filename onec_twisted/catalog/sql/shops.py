"""Queries for the administrator: how much of each shop is on record. Functions of a cursor, as in ``overview``."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from attrs import evolve

from onec_twisted.catalog.sql.history import exchanges
from onec_twisted.model.journal import ExchangeFilter, ShopTotals
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Cursor

__all__ = ["on_record", "shops"]

NOTHING = ShopTotals(sessions=0, held=0, handoffs={WAITING: 0, SUCCEEDED: 0, FAILED: 0})
"""What is on record of a shop that nobody has used."""


def on_record(cursor: Cursor) -> dict[str, ShopTotals]:
    """Return the totals of all shops that have sessions or hand-offs, by name, without their last exchanges.

    What is kept of earlier epochs is not held: the quota of a session does not count it, either.
    """
    sessions, held = Counter[str](), Counter[str]()
    handoffs: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict(NOTHING.handoffs))
    cursor.execute("SELECT username, COUNT(*), SUM(held) FROM sessions GROUP BY username")
    for username, count, size in cursor.fetchall():
        sessions[shop_of(username)] += count
        held[shop_of(username)] += size
    cursor.execute("SELECT username, state, COUNT(*) FROM handoffs GROUP BY username, state")
    for username, state, count in cursor.fetchall():
        handoffs[shop_of(username)][state] += count
    return {
        name: ShopTotals(sessions=sessions[name], held=held[name], handoffs=handoffs[name])
        for name in sessions.keys() | handoffs.keys()
    }


def shops(cursor: Cursor, names: Iterable[str]) -> dict[str, ShopTotals]:
    """Return the totals of shops, by name, and of others of which anything is on record; the default shop is last."""
    known, found = on_record(cursor), {}
    others = sorted(known.keys() - {DEFAULT_SHOP})
    for name in dict.fromkeys([*names, *others, DEFAULT_SHOP]):
        last = exchanges(cursor, ExchangeFilter(shop=name, limit=1))
        totals = known.get(name, NOTHING)
        if name != DEFAULT_SHOP or name in known or last:
            found[name] = evolve(totals, last=last[0] if last else None)
    return found
