"""What is counted for each shop, with labels that are bounded however many shops there are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from onec_twisted.model.journal import ShopTotals

__all__ = ["MOST_SHOP_LABELS", "OTHER", "ShopTallies"]

MOST_SHOP_LABELS = 100
"""Shops with a label of their own: as long as the process lives, in the order in which they were named."""

OTHER = "other"
"""The label that all other shops share."""


@define(eq=False)
class ShopTallies:
    """Counters of shops, for the reactor thread only; nothing is counted or exported while no shop is named.

    ``outcomes`` are those of a piece, ``tries`` those of a try to deliver a hand-off.
    """

    outcomes: Sequence[str]
    tries: Sequence[str]
    labels: dict[str, str] = field(factory=dict, init=False)
    """The label of each shop; empty while none is named, and the only thing that a piece looks at then."""
    _own: dict[str, None] = field(factory=dict, init=False)
    """The shops that have ever got a label of their own."""
    _accepted: Counter[str] = field(factory=Counter, init=False)
    _pieces: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    _tried: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    _held: Counter[str] = field(factory=Counter, init=False)
    _handoffs: Counter[tuple[str, str]] = field(factory=Counter, init=False)

    def name(self, shops: Collection[str]) -> None:
        """Give labels to shops, instead of those that were named before; the default one has its own then.

        Each label is exported from now on, so that rates have a 0 before the first one.
        """
        for shop in shops:
            if len(self._own) < MOST_SHOP_LABELS:
                self._own[shop] = None
        named = {shop: shop if shop in self._own else OTHER for shop in shops}
        self.labels = {**named, DEFAULT_SHOP: DEFAULT_SHOP} if named else {}
        for label in self.labels.values():
            self._accepted[label] += 0
            for outcome in self.outcomes:
                self._pieces[label, outcome] += 0
            for outcome in self.tries:
                self._tried[label, outcome] += 0

    def piece(self, account: str, outcome: str, accepted: int) -> None:
        """Count a piece of an account by its outcome, and the bytes of it that were appended."""
        label = self._label(shop_of(account))
        self._pieces[label, outcome] += 1
        self._accepted[label] += accepted

    def tried(self, account: str, outcome: str) -> None:
        """Count a try to deliver a hand-off of an account by its outcome."""
        self._tried[self._label(shop_of(account)), outcome] += 1

    def see(self, totals: Mapping[str, ShopTotals] | None) -> None:
        """Take over what is on record of shops, until the next look; None if that is not known."""
        self._held, self._handoffs = Counter(), Counter()
        if totals is None:
            return
        for label in self.labels.values():
            self._held[label] += 0
            for state in (WAITING, SUCCEEDED, FAILED):
                self._handoffs[label, state] += 0
        for shop, known in totals.items():
            self._held[self._label(shop)] += known.held
            for state, count in known.handoffs.items():
                self._handoffs[self._label(shop), state] += count

    def _label(self, shop: str) -> str:
        return self.labels.get(shop, OTHER)

    def collect(self) -> Iterable[Any]:
        """Yield the counters, and what was seen last, for a scrape; nothing while no shop is named."""
        if not self.labels:
            return
        accepted = CounterMetricFamily(
            "onec_shop_accepted_bytes", "Bytes appended to files of a shop", labels=["shop"]
        )
        for label, size in self._accepted.items():
            accepted.add_metric([label], size)
        yield accepted
        for name, words, counts in (
            ("onec_shop_pieces", "Pieces of a shop, by outcome", self._pieces),
            ("onec_shop_handoff_tries", "Attempts to deliver a hand-off of a shop, by outcome", self._tried),
        ):
            counter = CounterMetricFamily(name, words, labels=["shop", "outcome"])
            for key, count in counts.items():
                counter.add_metric(key, count)
            yield counter
        handoffs = GaugeMetricFamily("onec_shop_handoffs", "Hand-offs of a shop, by state", labels=["shop", "state"])
        for key, count in self._handoffs.items():
            handoffs.add_metric(key, count)
        held = GaugeMetricFamily("onec_shop_held_bytes", "Bytes that the sessions of a shop hold", labels=["shop"])
        for label, size in self._held.items():
            held.add_metric([label], size)
        yield from (handoffs, held)
