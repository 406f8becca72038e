"""SQL that reads the journal: functions of a cursor, each a query of the administrator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import fields

from onec_twisted.catalog.sql.overview import of_shop
from onec_twisted.model.journal import (
    Exchange,
    ExchangeFile,
    ExchangeImport,
    ExchangeLine,
    ImportTry,
    Minute,
    RefusalLine,
    UserRow,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from sqlite3 import Cursor
    from typing import Any

    from onec_twisted.model.journal import ExchangeFilter, RefusalFilter

__all__ = ["exchange", "exchanges", "held_file", "minutes", "outdated", "refusals", "users"]

RECENT_SHOWN = 30
"""Exchanges of a user that are shown in its row."""

MOST_USERS = 200
"""Users that have a row, those with the newest exchanges."""

MOST_SHOWN = 1000
"""Files, imports, tries or refusals that are shown of one exchange."""

# ruff: noqa: S608 - the statements are composed of constants only

LINE = """
SELECT number, sessid, username, address, agent, started, ended, state,
    CASE WHEN live <> 0 THEN (SELECT COUNT(*) FROM files WHERE files.sessid = exchanges.sessid) ELSE files END,
    CASE WHEN live <> 0 THEN COALESCE((SELECT held FROM sessions WHERE sessions.sessid = exchanges.sessid), 0)
        ELSE size END,
    (SELECT COALESCE(SUM(count), 0) FROM refusals WHERE refusals.sessid = exchanges.sessid
        AND refusals.last >= started AND (ended IS NULL OR live <> 0 OR refusals.first <= ended)),
    imports, words, seconds, shop
FROM exchanges
"""
"""What is shown of an exchange. The files of a live one are those of its session."""

HAS_FILE = """
(EXISTS (SELECT 1 FROM exchange_files WHERE exchange = number AND folded LIKE ? ESCAPE '\\')
    OR live <> 0 AND EXISTS (SELECT 1 FROM files WHERE files.sessid = exchanges.sessid
        AND CASEFOLD(name) LIKE ? ESCAPE '\\'))
"""

MOST_EXCHANGES = 100_000
"""Exchanges that are remembered, however young they are."""

EXCHANGES_AT_ONCE = 20
"""Exchanges that are forgotten in one transaction: with them go up to a thousand files each."""

REFUSAL = ", ".join(one.name for one in fields(RefusalLine))
MINUTE = ", ".join(one.name for one in fields(Minute))


def _like(text: str) -> str:
    """Return a pattern for names that contain a text."""
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text.casefold()}%"


def exchanges(cursor: Cursor, wanted: ExchangeFilter) -> tuple[ExchangeLine, ...]:
    """Return the exchanges that a filter lets through, the newest first."""
    conditions: list[tuple[str, Sequence[Any]]] = []
    if wanted.username:
        conditions.append(("username = ?", [wanted.username]))
    if wanted.shop:
        conditions.append(("shop = ?", [wanted.shop]))
    if wanted.state:
        conditions.append(("state = ?", [wanted.state]))
    if wanted.since is not None:
        conditions.append(("started >= ?", [wanted.since]))
    if wanted.until is not None:
        conditions.append(("started < ?", [wanted.until]))
    if wanted.before is not None:
        conditions.append(("number < ?", [wanted.before]))
    if wanted.file:
        pattern = _like(wanted.file)
        conditions.append((HAS_FILE, [pattern, pattern]))
    where = f"WHERE {' AND '.join(text for text, _ in conditions)}" if conditions else ""
    values = [value for _, some in conditions for value in some]
    cursor.execute(f"{LINE} {where} ORDER BY number DESC LIMIT ?", (*values, wanted.limit))
    return tuple(ExchangeLine(*row) for row in cursor.fetchall())


def exchange(cursor: Cursor, number: int) -> Exchange | None:
    """Return all that is on record of an exchange, None if there is none of this number."""
    cursor.execute(f"{LINE} WHERE number = ?", (number,))
    row = cursor.fetchone()
    if row is None:
        return None
    line = ExchangeLine(*row)
    imports = _imports(cursor, number)
    found = {one["name"]: one for made in imports for one in made.summaries}
    cursor.execute("SELECT live FROM exchanges WHERE number = ?", (number,))
    live = bool(cursor.fetchone()[0])
    if live:
        cursor.execute(
            "SELECT name, committed, type FROM files WHERE sessid = ? ORDER BY"
            " LOWER(name) LIKE '%.xml' OR LOWER(name) LIKE '%.zip' DESC, place LIMIT ?",
            (line.sessid, MOST_SHOWN),
        )
    else:
        cursor.execute(
            "SELECT name, size, type FROM exchange_files WHERE exchange = ? ORDER BY place LIMIT ?",
            (number, MOST_SHOWN),
        )
    files = tuple(ExchangeFile(name, size, kind, found.get(name)) for name, size, kind in cursor.fetchall())
    cursor.execute(
        f"SELECT {REFUSAL} FROM refusals WHERE sessid = ? AND last >= ? ORDER BY last LIMIT ?",
        (line.sessid, line.started, MOST_SHOWN),
    )
    return Exchange(line, files, imports, tuple(RefusalLine(*refused) for refused in cursor.fetchall()), live)


def held_file(cursor: Cursor, number: int, name: str) -> tuple[str, int] | None:
    """Return the sessid and the committed length of a file of a live exchange; None if it is not on the disk."""
    cursor.execute(
        "SELECT files.sessid, committed FROM exchanges JOIN files ON files.sessid = exchanges.sessid"
        " WHERE number = ? AND live <> 0 AND name = ?",
        (number, name),
    )
    row = cursor.fetchone()
    return None if row is None else (row[0], row[1])


def _imports(cursor: Cursor, number: int) -> tuple[ExchangeImport, ...]:
    """Return the imports of an exchange in order, with their tries."""
    cursor.execute(
        "SELECT import, tries.begun, tries.ended, outcome, tries.words FROM tries JOIN imports ON import = id"
        " WHERE exchange = ? ORDER BY created, import, number LIMIT ?",
        (number, MOST_SHOWN),
    )
    tries: dict[str, list[ImportTry]] = {}
    for one, *values in cursor.fetchall():
        tries.setdefault(one, []).append(ImportTry(*values))
    cursor.execute(
        "SELECT id, event, type, filename, created, ended, state, words, checked FROM imports WHERE exchange = ?"
        " ORDER BY created, id LIMIT ?",
        (number, MOST_SHOWN),
    )
    rows = [
        (*values, tuple(json.loads(checked or "[]")), tuple(tries.get(values[0], ())))
        for *values, checked in cursor.fetchall()
    ]
    return tuple(ExchangeImport(*row) for row in rows)


def users(cursor: Cursor, shop: str = "") -> tuple[UserRow, ...]:
    """Return the last exchanges of each user, beginning with the user whose exchange is the newest.

    The users are those of a shop, or of any if that is empty.
    """
    condition, values = of_shop(shop)
    cursor.execute(
        f"SELECT username, MAX(number) FROM exchanges WHERE {condition} GROUP BY username ORDER BY 2 DESC LIMIT ?",
        (*values, MOST_USERS),
    )
    rows = []
    for username, _ in cursor.fetchall():
        cursor.execute(f"{LINE} WHERE username = ? ORDER BY number DESC LIMIT ?", (username, RECENT_SHOWN))
        rows.append(UserRow(username, tuple(ExchangeLine(*row) for row in cursor.fetchall())))
    return tuple(rows)


def refusals(cursor: Cursor, wanted: RefusalFilter) -> tuple[RefusalLine, ...]:
    """Return the refusals that a filter lets through, the latest first."""
    cursor.execute(
        f"SELECT {REFUSAL} FROM refusals WHERE (? = '' OR username = ?) AND (? = '' OR shop = ?)"
        " AND (? IS NULL OR last < ?) ORDER BY last DESC, number DESC LIMIT ?",
        (
            *(wanted.username, wanted.username),
            *(wanted.shop, wanted.shop),
            *(wanted.before, wanted.before),
            wanted.limit,
        ),
    )
    return tuple(RefusalLine(*row) for row in cursor.fetchall())


def minutes(cursor: Cursor, since: int) -> tuple[Minute, ...]:
    """Return the totals of all minutes from ``since`` on, in order; those in which the daemon did not run lack."""
    cursor.execute(f"SELECT {MINUTE} FROM minutes WHERE minute >= ? ORDER BY minute", (since,))
    return tuple(Minute(*row) for row in cursor.fetchall())


def outdated(cursor: Cursor, before: float, of_shops: Mapping[str, float], most: int = MOST_EXCHANGES) -> list[int]:
    """Return the numbers of some exchanges that ended before a time, or that are there beyond ``most``.

    ``of_shops`` has the time for shops that have one of their own.
    """
    numbers: set[int] = set()
    shop = _shop_after(cursor, "")
    while shop is not None and len(numbers) < EXCHANGES_AT_ONCE:
        cursor.execute(
            "SELECT number FROM exchanges WHERE live = 0 AND shop = ? AND ended < ? ORDER BY ended LIMIT ?",
            (shop, of_shops.get(shop, before), EXCHANGES_AT_ONCE - len(numbers)),
        )
        numbers.update(number for (number,) in cursor.fetchall())
        shop = _shop_after(cursor, shop)
    cursor.execute(
        "SELECT number FROM exchanges WHERE live = 0 AND number <="
        " (SELECT number FROM exchanges ORDER BY number DESC LIMIT 1 OFFSET ?) ORDER BY number LIMIT ?",
        (most, EXCHANGES_AT_ONCE),
    )
    return sorted(numbers | {number for (number,) in cursor.fetchall()})


def _shop_after(cursor: Cursor, shop: str) -> str | None:
    """Return the next shop, in the order of their names, that has exchanges which ended; None if it was the last.

    Each is one step in the index, however many exchanges a shop has.
    """
    cursor.execute("SELECT shop FROM exchanges WHERE live = 0 AND shop > ? ORDER BY shop, ended LIMIT 1", (shop,))
    row = cursor.fetchone()
    return None if row is None else row[0]
