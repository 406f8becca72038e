"""Fills a journal, so that it is as large as one of years."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.catalog.sql import journal
from onec_twisted.model.journal import STATES, Minute, RefusalLine
from onec_twisted.model.shops import DEFAULT_SHOP, account_of, shop_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor

NAMES = ("import0_1.xml", "offers0_1.xml", "Товары {}.xml", "import{}_1.xml")


def fill(
    cursor: Cursor,
    *,
    exchanges: int,
    users: int = 10,
    refusals: int = 0,
    minutes: int = 0,
    since: float = 0.0,
    shops: Sequence[str] = (DEFAULT_SHOP,),
) -> None:
    """Write exchanges that ended, one a minute since then, each with an import and four files; all by plain SQL.

    User by user, each belongs to the next of the shops.
    """
    accounts = [account_of(shops[number % len(shops)], f"user{number}") for number in range(max(users, refusals))]
    cursor.execute("BEGIN")
    for number in range(exchanges):
        state, began = STATES[number % len(STATES)], since + 60.0 * number
        cursor.execute(
            "INSERT INTO exchanges"
            " (sessid, username, shop, address, agent, started, ended, state, live, files, size, imports)"
            " VALUES (?, ?, ?, '192.0.2.1', '1C+Enterprise/8.3', ?, ?, ?, 0, ?, ?, 1)",
            (
                f"{number:032x}",
                accounts[number % users],
                shop_of(accounts[number % users]),
                began,
                began + 50,
                state,
                len(NAMES),
                1000 * number,
            ),
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
            RefusalLine(
                0, float(at), float(at), 1, user, "192.0.2.1", "", 401, "no", "No", "GET /", shop=shop_of(user)
            )
            for at, user in enumerate(accounts[:refusals])
        ],
    )
    for minute in range(minutes):
        journal.note_minute(cursor, Minute(minute, 10**6, 10**6, 0, 1, 1, 0, 10**11 - 10**7 * minute), 0)
    cursor.execute("COMMIT")


NIGHT_USERS = ("Розница Север", "b2b-portal", "shop", "Склад 2")
FAILURE = "No price for «Кофемашина DeLonghi Magnifica S»: the price type «Розничная» is unknown"


def night(cursor: Cursor, now: float, free: int, users: Sequence[str] = NIGHT_USERS) -> None:
    """Write a month of nights: users one failing, one silent, one refused; ``free`` is in bytes."""
    cursor.execute("BEGIN")
    for place, user in enumerate(users):
        for back in range(31, -1, -1):
            began = now - 86400.0 * back - 3600 * (2 + 3 * place) - 600 * (back % 7)
            if (user == "Склад 2" and back < 5) or began > now:
                continue
            bad = (user == "b2b-portal" and back % 9 == 0) or (user == "shop" and back == 12)
            _one_of_night(cursor, f"f{place:07x}{back:024x}", user, began, "failed" if bad else "succeeded")
    refused = [
        RefusalLine(
            0, now - 5400, now - 300, 12, "Розница Север", "192.0.2.17", "", 507, "not-enough-space",
            "No room for this file: the session may hold 20 GB", "POST mode=file filename=import_files/фото.zip",
        ),
        RefusalLine(
            0, now - 50000, now - 4000, 240, "", "203.0.113.5", "", 401, "missing-credentials",
            "User name and password are required", "GET /1c_exchange.php mode=checkauth",
        ),
    ]  # fmt: skip
    journal.add_refusals(cursor, refused)
    first = int(now // 60) - 1439
    for place in range(1440):
        load = max(0, 90 - abs(place - 700)) + max(0, 30 - abs(place - 1100)) + max(0, 60 - abs(place - 1330))
        spiky = load * (1 + place * 7919 % 13) * 120_000
        refusals = 3 if place > 1350 and place % 4 == 0 else 1 if place % 97 == 0 else 0
        left = free + (1439 - place) * 6 * 2**20
        journal.note_minute(cursor, Minute(first + place, spiky, spiky, 0, refusals, int(load > 0), 0, left), 0)
    cursor.execute("COMMIT")


def _one_of_night(cursor: Cursor, key: str, user: str, began: float, state: str) -> None:
    """Write one exchange of four files, with two tries if it failed."""
    files = (
        ("v8_1A76_155ae.zip", 62 * 2**20),
        ("import0_1.xml", 8 * 2**20),
        ("offers0_1.xml", 2**20),
        ("фото.png", 9000),
    )
    took = 40.0 + int(key, 16) % 97
    cursor.execute(
        "INSERT INTO exchanges (sessid, username, shop, address, agent, started, ended, state, live, files, size,"
        " imports, words, seconds) VALUES (?, ?, ?, '192.0.2.17', '1C+Enterprise/8.3', ?, ?, ?, 0, ?, ?, 1, ?, ?)",
        (
            key, user, shop_of(user), began, began + 90 + took, state, len(files), sum(size for _, size in files),
            FAILURE if state == "failed" else "", took,
        ),
    )  # fmt: skip
    exchange = cursor.lastrowid
    cursor.executemany(
        "INSERT INTO exchange_files VALUES (?, ?, ?, ?, ?, 'catalog')",
        [(exchange, place, name, name.casefold(), size) for place, (name, size) in enumerate(files)],
    )
    found = '[{"name": "import0_1.xml", "products": 1240, "pictures": 312, "missing": 2}]'
    cursor.execute(
        "INSERT INTO imports (id, exchange, event, type, filename, created, ended, state, words, checked)"
        " VALUES (?, ?, 'import', 'catalog', 'import0_1.xml', ?, ?, ?, ?, ?)",
        (key, exchange, began + 80, began + 90 + took, state, FAILURE if state == "failed" else "", found),
    )
    cursor.executemany(
        "INSERT INTO tries VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, place + 1, began + 85 + place * 40, began + 85 + place * 40 + took / 2, outcome, words)
            for place, (outcome, words) in enumerate(
                [("waiting", FAILURE), ("failed", FAILURE)] if state == "failed" else [("succeeded", "")]
            )
        ],
    )
