"""Fills a journal, so that it is as large as one of years."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.catalog.sql import journal
from onec_twisted.model.journal import STATES, Minute, RefusalLine

if TYPE_CHECKING:
    from sqlite3 import Cursor

NAMES = ("import0_1.xml", "offers0_1.xml", "Товары {}.xml", "import{}_1.xml")


def fill(cursor: Cursor, *, exchanges: int, users: int = 10, refusals: int = 0, minutes: int = 0) -> None:
    """Write exchanges that ended, one a minute since 1970, each with an import and four files; all by plain SQL."""
    cursor.execute("BEGIN")
    for number in range(exchanges):
        state, began = STATES[number % len(STATES)], 60.0 * number
        cursor.execute(
            "INSERT INTO exchanges"
            " (sessid, username, address, agent, started, ended, state, live, files, size, imports)"
            " VALUES (?, ?, '192.0.2.1', '1C+Enterprise/8.3', ?, ?, ?, 0, ?, ?, 1)",
            (f"{number:032x}", f"user{number % users}", began, began + 50, state, len(NAMES), 1000 * number),
        )
        exchange = cursor.lastrowid
        names = [name.format(number) for name in NAMES]
        cursor.executemany(
            "INSERT INTO exchange_files VALUES (?, ?, ?, ?, 1000, 'catalog')",
            [(exchange, place, name, name.casefold()) for place, name in enumerate(names)],
        )
        cursor.execute(
            "INSERT INTO imports (id, exchange, event, type, filename, created, ended, state)"
            " VALUES (?, ?, 'import', 'catalog', ?, ?, ?, 'succeeded')",
            (f"{number:032x}", exchange, names[0], began + 10, began + 50),
        )
        cursor.execute(
            "INSERT INTO tries VALUES (?, 1, ?, ?, 'succeeded', '')", (f"{number:032x}", began + 10, began + 50)
        )
    journal.add_refusals(
        cursor,
        [
            RefusalLine(0, float(at), float(at), 1, f"user{at}", "192.0.2.1", "", 401, "no", "No", "GET /")
            for at in range(refusals)
        ],
    )
    for minute in range(minutes):
        journal.note_minute(cursor, Minute(minute, 10**6, 10**6, 0, 1, 1, 0, 10**11 - 10**7 * minute), 0)
    cursor.execute("COMMIT")
