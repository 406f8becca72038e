"""What the daemon counts and times, for Prometheus; what can be asked at a scrape is not kept here.

Names and units are Prometheus' own conventions: seconds and bytes, ``_total`` for what only grows. Each daemon has
its own registry, so that several can live in one process.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics

from onec_twisted.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OUTCOMES", "TRIES", "Metrics", "reason_of"]

OUTCOMES = ("stored", "repeat", "held", "refused", "broken", "failed")
"""What becomes of a piece: appended; a repeat that was recognised; one that told its place, and was held already;
refused in words; broken off; or met by something that nobody thought of."""

TRIES = ("succeeded", "interrupted", "failed")
"""How a try to deliver a hand-off ends."""

disable_created_metrics()  # when a counter was made is of no use, and doubles what is scraped

PIECE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
SYNC = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WAIT = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Bounds of histograms, in seconds."""


def reason_of(refused: type[Refused]) -> str:
    """Return the name of a refusal as a label: ``FileTooLarge`` is ``file_too_large``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", refused.__name__).lower()


def _every_refusal(kind: type[Refused]) -> Iterator[type[Refused]]:
    """Yield all refusals that there are of a kind."""
    for refused in kind.__subclasses__():
        yield refused
        yield from _every_refusal(refused)


def _no_time() -> float:
    return 0.0


@define(eq=False)
class Metrics:
    """Counters and histograms. ``seconds`` is a clock that never goes back; without one nothing is timed.

    A counter costs a microsecond, a time two; they may be used in any thread.
    """

    seconds: Callable[[], float] = _no_time
    registry: CollectorRegistry = field(factory=lambda: CollectorRegistry(auto_describe=True), init=False)
    received: Counter = field(init=False)
    accepted: Counter = field(init=False)
    discarded: Counter = field(init=False)
    refusals: Counter = field(init=False)
    _pieces: Counter = field(init=False)
    _tries: Counter = field(init=False)
    _piece_seconds: Histogram = field(init=False)
    _sync_seconds: Histogram = field(init=False)
    lock_wait: Histogram = field(init=False)
    reactor_lag: Histogram = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing counted; what can be counted is there from the start, as 0."""
        registry = self.registry
        self.received = Counter("onec_received_bytes", "Bytes of bodies that came in", registry=registry)
        self.accepted = Counter("onec_accepted_bytes", "Bytes of bodies that were appended", registry=registry)
        self.discarded = Counter("onec_discarded_bytes", "Bytes of bodies that were not kept", registry=registry)
        self.refusals = Counter("onec_refusals", "Requests refused, by reason", ["reason"], registry=registry)
        self._pieces = Counter("onec_pieces", "Pieces, by what became of them", ["outcome"], registry=registry)
        self._tries = Counter(
            "onec_handoff_tries", "Tries to deliver a hand-off, by how they ended", ["outcome"], registry=registry
        )
        self._piece_seconds = Histogram(
            "onec_piece_duration_seconds",
            "From the headers of a piece to its record",
            buckets=PIECE,
            registry=registry,
        )
        self._sync_seconds = Histogram(
            "onec_sync_duration_seconds",
            "How long it took to bring a piece, or records, to the disk",
            ["target"],
            buckets=SYNC,
            registry=registry,
        )
        self.lock_wait = Histogram(
            "onec_lock_wait_seconds", "How long a piece waited for its file", buckets=WAIT, registry=registry
        )
        self.reactor_lag = Histogram(
            "onec_reactor_lag_seconds", "How late the reactor was for an appointment", buckets=LAG, registry=registry
        )
        for refused in _every_refusal(Refused):
            self.refusals.labels(reason_of(refused))
        for outcome in OUTCOMES:
            self._pieces.labels(outcome)
        for outcome in TRIES:
            self._tries.labels(outcome)
        for target in ("file", "catalog"):
            self._sync_seconds.labels(target)

    def tell_build(self, **versions: str) -> None:
        """Tell what runs here, as the labels of ``onec_build_info``."""
        Info("onec_build", "Versions of what runs here", registry=self.registry).info(versions)

    def piece(self, outcome: str, began: float) -> None:
        """Count a piece by what became of it, one of ``OUTCOMES``; time it, if it was kept, from when it began."""
        self._pieces.labels(outcome).inc()
        if outcome in {"stored", "repeat", "held"}:
            self._piece_seconds.observe(self.seconds() - began)

    def tried(self, outcome: str) -> None:
        """Count a try to deliver a hand-off, by one of ``TRIES``."""
        self._tries.labels(outcome).inc()

    def refused(self, refused: Refused) -> None:
        """Count a refusal."""
        self.refusals.labels(reason_of(type(refused))).inc()

    def body(self, received: int, accepted: int) -> None:
        """Count a body that is over, in bytes: what came, and what of it was appended."""
        if received:
            self.received.inc(received)
            self.accepted.inc(accepted)
            self.discarded.inc(received - accepted)

    @contextmanager
    def syncing(self, target: str) -> Iterator[None]:
        """Time how long ``file`` or ``catalog`` takes to reach the disk."""
        began = self.seconds()
        yield
        self._sync_seconds.labels(target).observe(self.seconds() - began)
