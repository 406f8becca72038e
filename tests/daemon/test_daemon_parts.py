"""What is behind the front doors, and the front doors; ``in_memory`` makes the exchanges of all tests by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory


def test_all_doors_lead_to_the_same_parts(exchange: InMemory) -> None:
    """A limit, or a lock, holds for whoever comes, by whichever protocol."""
    parts, means = exchange.parts, exchange.means

    assert parts.handoffs.locks is parts.ingest.locks is parts.locks
    assert parts.ingest.metrics is means.metrics is exchange.site.server.metrics


@pytest.mark.parametrize(("status_codes", "status"), [("http", 404), ("ok", 200)])
def test_elsewhere_is_answered_as_was_chosen(
    make_exchange: Callable[..., InMemory], status_codes: str, status: int
) -> None:
    """With 404, or with 200 for clients that read no other answer."""
    exchange = make_exchange(path=("/other.php",), status_codes=status_codes)

    assert exchange.request("GET", "type=catalog&mode=checkauth").status == status
