"""What is counted for each shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.model.journal import ShopTotals
from onec_twisted.runtime.metrics import OUTCOMES, TRIES, Metrics
from onec_twisted.runtime.tallies import MOST_SHOP_LABELS, OTHER

if TYPE_CHECKING:
    from in_memory import InMemory


@pytest.fixture
def metrics() -> Metrics:
    """Metrics that count for no shop yet."""
    return Metrics()


def series(metrics: Metrics) -> dict[str, float]:
    """Return what is exported of shops, by name with the values of its labels."""
    samples = (one for family in metrics.registry.collect() for one in family.samples)
    return {
        " ".join([one.name, *one.labels.values()]): one.value for one in samples if one.name.startswith("onec_shop_")
    }


def test_without_shops_nothing_is_counted(metrics: Metrics) -> None:
    """Nor exported, not even that there could be something; also when the last one is gone."""
    metrics.piece("stored", 0, account="alice", accepted=5)
    metrics.tried("succeeded", "alice")
    assert series(metrics) == {}
    assert not [family for family in metrics.registry.collect() if family.name.startswith("onec_shop")]
    metrics.name_shops(["north"])
    assert set(series(metrics).values()) == {0}
    metrics.name_shops([])

    assert series(metrics) == {}
    assert metrics.pieces["stored"] == 1


def test_each_shop_is_counted_from_the_start(metrics: Metrics) -> None:
    """By the shop of the account; what there is for all stays what it was."""
    metrics.name_shops(["north"])
    metrics.piece("stored", 0, account="north:alice", accepted=5)
    metrics.piece("partial", 0, account="north:bob", accepted=2)
    metrics.piece("refused", 0, account="alice", accepted=0)
    metrics.tried("failed", "north:alice")
    told = series(metrics)

    assert told["onec_shop_accepted_bytes_total north"] == 7
    assert told["onec_shop_accepted_bytes_total default"] == 0
    assert told["onec_shop_pieces_total north stored"] == 1
    assert told["onec_shop_pieces_total default refused"] == 1
    assert told["onec_shop_handoff_tries_total north failed"] == 1
    assert len(told) == 2 * (1 + len(OUTCOMES) + len(TRIES))
    assert metrics.pieces["stored"] == 1


def test_labels_are_bounded(metrics: Metrics) -> None:
    """However many shops there are, and come and go: the first keep their own, all later ones share one."""
    for first in range(0, 1000, 50):
        metrics.name_shops([f"shop{number}" for number in range(first, first + 50)])
    metrics.name_shops(["late", "later", "shop7"])
    for account in ("late:a", "later:a", "gone:a", "shop7:a"):
        metrics.piece("stored", 0, account=account, accepted=1)
    told = series(metrics)

    assert told[f"onec_shop_pieces_total {OTHER} stored"] == 3
    assert told["onec_shop_pieces_total shop7 stored"] == 1
    labels = {name.split()[1] for name in told}
    assert len(labels) == MOST_SHOP_LABELS + 2
    assert "late" not in labels


def test_what_is_on_record(metrics: Metrics) -> None:
    """As of the last look; what is not known is not exported."""
    metrics.name_shops(["north", "south"])
    north = ShopTotals(sessions=1, held=70, handoffs={"waiting": 0, "succeeded": 1, "failed": 2})
    metrics.of_shops.see({"north": north, "gone": north})
    told = series(metrics)
    assert told["onec_shop_held_bytes north"] == told[f"onec_shop_held_bytes {OTHER}"] == 70
    assert told["onec_shop_held_bytes south"] == told["onec_shop_handoffs south failed"] == 0
    assert told["onec_shop_handoffs north failed"] == 2
    metrics.of_shops.see(None)

    assert not [name for name in series(metrics) if name.startswith(("onec_shop_held", "onec_shop_handoffs"))]


def test_pieces_of_an_exchange(exchange: InMemory) -> None:
    """What is stored for a user without a shop is the default one's."""
    exchange.means.metrics.name_shops(["north"])
    cookie, sessid = exchange.checkauth()
    query = f"type=catalog&filename=a.xml&sessid={sessid}&mode="
    exchange.request("POST", query + "file", b"<x/>", Cookie=cookie)
    exchange.request("GET", query + "import", Cookie=cookie)

    assert exchange.metric("onec_shop_accepted_bytes_total", shop="default") == 4
    assert exchange.metric("onec_shop_pieces_total", shop="default", outcome="stored") == 1
    assert exchange.metric("onec_shop_handoff_tries_total", shop="default", outcome="succeeded") == 1
    assert exchange.metric("onec_shop_accepted_bytes_total", shop="north") == 0
