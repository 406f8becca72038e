"""Who delivers what, on record."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from cluster_relays import Relaying

from onec_twisted.cluster import claims

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL


def test_claims_of_many_daemons_at_once(database: PostgreSQL) -> None:
    """Never two of a user, never a younger one of its type before an older one, and each by one daemon."""
    daemons = [Relaying(database, str(number)) for number in range(3)]
    for number in range(12):
        kind = "sale" if number % 3 else "catalog"
        daemons[0].sealed("a.xml", f"{number:032x}", f"user{number % 4}", kind)
    chance = random.Random(1)
    granted: list[tuple[str, str]] = []
    ids = [row.id for row in database.using(claims.waiting)]

    def ask(me: str) -> None:
        for _ in range(10):
            wanted = chance.sample(ids, 5)
            found: dict[str, int] | None = database.using(claims.claim, me, wanted)
            granted.extend((me, handoff) for handoff in found or {})

    threads = [threading.Thread(target=ask, args=(daemon.presence.id,)) for daemon in daemons]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    running = [row for row in database.using(claims.waiting) if row.runs]
    assert sorted(row.id for row in running) == sorted(handoff for _, handoff in granted)
    assert len({row.username for row in running}) == len(running) == 4
    first: dict[Any, str] = {}
    for row in database.using(claims.waiting):
        first.setdefault((row.username, row.type), row.id)
    assert {row.id for row in running} <= set(first.values())


def test_how_many_of_a_user_wait(database: PostgreSQL) -> None:
    """All are counted, whatever few are looked at."""
    daemon = Relaying(database)
    for number in range(3):
        daemon.sealed("a.xml", f"{number:032x}")
    assert [row.of_user for row in database.using(claims.waiting)] == [3, 3, 3]
