"""What the daemon counts and times, for Prometheus; values that can be read at a scrape are not kept here.

Names and units follow Prometheus' conventions: seconds and bytes, ``_total`` for counters. Each daemon has its own
registry, so that several can run in one process. Values are plain numbers that become metrics at a scrape: a piece of
50 KB is counted in a few microseconds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import define, field
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from onec_twisted.model.errors import Refused
from onec_twisted.runtime.tallies import ShopTallies

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

__all__ = ["CHECKS", "OUTCOMES", "TARGETS", "TRIES", "Metrics", "Timing", "reason_of"]

OUTCOMES = ("stored", "partial", "repeat", "held", "refused", "broken", "failed")
"""Outcomes of a piece: appended; kept as far as it arrived (tus); recognised as a repeat; already stored, as its
offset shows; refused in words; connection lost; or an unforeseen error."""

TRIES = ("succeeded", "interrupted", "failed")
"""Outcomes of a try to deliver a hand-off."""

CHECKS = ("sound", "broken")
"""Results of checking a document."""

TARGETS = ("file", "catalog")
"""What is synced to the disk: a piece, or records."""

PIECE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
SYNC = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WAIT = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Bounds of histograms, in seconds."""


def reason_of(refused: type[Refused]) -> str:
    """Return the name of a refusal as a label: ``FileTooLarge`` is ``file_too_large``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", refused.__name__).lower()


def _every_refusal(kind: type[Refused]) -> Iterator[type[Refused]]:
    """Yield all subclasses of a refusal, at any depth."""
    for refused in kind.__subclasses__():
        yield refused
        yield from _every_refusal(refused)


def _no_time() -> float:
    return 0.0


@define(eq=False)
class Timing:
    """A histogram of durations in seconds; may be used in any thread."""

    bounds: tuple[float, ...]
    _counts: list[int] = field(init=False)
    _sum: float = field(default=0.0, init=False)
    _lock: Any = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        """Start with nothing timed."""
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Record a duration."""
        with self._lock:
            self._counts[bisect_left(self.bounds, seconds)] += 1
            self._sum += seconds

    def read(self) -> tuple[list[tuple[str, int]], float]:
        """Return each upper bound with the count of durations up to it, and the sum of all durations."""
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        names = [*(floatToGoString(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, counts, strict=True)), total


@define(eq=False)
class Metrics(Collector):
    """Counters and timings. ``seconds`` is a monotonic clock; without one nothing is timed.

    Bytes and counts are for the reactor thread only, a ``Timing`` for any thread.
    """

    seconds: Callable[[], float] = _no_time
    received: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    discarded: int = field(default=0, init=False)
    pieces: Counter[str] = field(factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)), init=False)
    tries: Counter[str] = field(factory=lambda: Counter(dict.fromkeys(TRIES, 0)), init=False)
    checks: Counter[str] = field(factory=lambda: Counter(dict.fromkeys(CHECKS, 0)), init=False)
    refusals: Counter[type[Refused]] = field(init=False)
    piece_duration: Timing = field(factory=lambda: Timing(PIECE), init=False)
    lock_wait: Timing = field(factory=lambda: Timing(WAIT), init=False)
    reactor_lag: Timing = field(factory=lambda: Timing(LAG), init=False)
    of_shops: ShopTallies = field(factory=lambda: ShopTallies(OUTCOMES, TRIES), init=False)
    _syncs: dict[str, Timing] = field(factory=lambda: {target: Timing(SYNC) for target in TARGETS}, init=False)
    _build: dict[str, str] = field(factory=dict, init=False)
    registry: CollectorRegistry = field(factory=lambda: CollectorRegistry(auto_describe=True), init=False)

    def __attrs_post_init__(self) -> None:
        """Start all counters at 0, so that each is exported from the start."""
        self.refusals = Counter(dict.fromkeys(_every_refusal(Refused), 0))
        self.registry.register(self)

    def report_build(self, **versions: str) -> None:
        """Set the versions that run here, as the labels of ``onec_build_info``."""
        self._build = versions

    def name_shops(self, shops: Collection[str]) -> None:
        """Count for each of these shops, too, and for the default one; without any, for none."""
        self.of_shops.name(shops)

    def piece(self, outcome: str, began: float, *, account: str, accepted: int) -> None:
        """Count a piece by its outcome, one of ``OUTCOMES``; if it was kept, record its duration since ``began``.

        ``accepted`` are the bytes of it that were appended: for the shop of the account.
        """
        self.pieces[outcome] += 1
        if self.of_shops.labels:
            self.of_shops.piece(account, outcome, accepted)
        if outcome in {"stored", "partial", "repeat", "held"}:
            self.piece_duration.observe(self.seconds() - began)

    def tried(self, outcome: str, account: str) -> None:
        """Count a try to deliver a hand-off of an account by its outcome, one of ``TRIES``."""
        self.tries[outcome] += 1
        if self.of_shops.labels:
            self.of_shops.tried(account, outcome)

    def checked(self, result: str, documents: int) -> None:
        """Count checked documents by their result, one of ``CHECKS``."""
        self.checks[result] += documents

    def refused(self, refused: Refused) -> None:
        """Count a refusal."""
        self.refusals[type(refused)] += 1

    def body(self, received: int, accepted: int) -> None:
        """Count a finished body, in bytes: received, and how many of them were appended."""
        self.received += received
        self.accepted += accepted
        self.discarded += received - accepted

    def synced(self, target: str, began: float) -> None:
        """Record how long one of ``TARGETS`` took to reach the disk since ``began``."""
        self._syncs[target].observe(self.seconds() - began)

    def collect(self) -> Iterable[Any]:
        """Yield all counters and timings, for a scrape."""
        if self._build:
            yield InfoMetricFamily("onec_build", "Versions of the running software", self._build)
        for name, words, count in (
            ("onec_received_bytes", "Bytes of request bodies received", self.received),
            ("onec_accepted_bytes", "Bytes of request bodies appended to files", self.accepted),
            ("onec_discarded_bytes", "Bytes of request bodies discarded", self.discarded),
        ):
            yield CounterMetricFamily(name, words, count)
        refusals = {reason_of(refused): count for refused, count in self.refusals.items()}
        for name, words, label, counts in (
            ("onec_refusals", "Requests refused, by reason", "reason", refusals),
            ("onec_pieces", "Pieces, by outcome", "outcome", self.pieces),
            ("onec_handoff_tries", "Attempts to deliver a hand-off, by outcome", "outcome", self.tries),
            (
                "onec_documents_checked",
                "Documents checked before they were delivered, by result",
                "result",
                self.checks,
            ),
        ):
            counter = CounterMetricFamily(name, words, labels=[label])
            for value, count in counts.items():
                counter.add_metric([value], count)
            yield counter
        for name, words, timing in (
            ("onec_piece_duration_seconds", "Time from the headers of a piece to its record", self.piece_duration),
            ("onec_lock_wait_seconds", "Time that a piece waited for its file", self.lock_wait),
            ("onec_reactor_lag_seconds", "How late the reactor ran a timer", self.reactor_lag),
        ):
            yield HistogramMetricFamily(name, words, *timing.read())
        syncs = HistogramMetricFamily(
            "onec_sync_duration_seconds",
            "Time to sync a piece, or records, to the disk",
            labels=["target"],
        )
        for target, timing in self._syncs.items():
            syncs.add_metric([target], *timing.read())
        yield syncs
        yield from self.of_shops.collect()
