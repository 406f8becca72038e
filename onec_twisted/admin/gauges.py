"""Metrics that are read only at scrape time, and the reactor's latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from prometheus_client import Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder
from twisted.application.service import Service
from twisted.internet import defer
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.status import Observed
    from onec_twisted.runtime.metrics import Timing

__all__ = ["Gauges", "LagMeter"]

UNKNOWN = (
    "onec_disk_free_bytes",
    "onec_sessions",
    "onec_sessions_owing",
    "onec_unfinished_uploads",
    "onec_damaged_files",
    "onec_handoff_oldest_waiting_seconds",
)
"""Gauges that become NaN when the disk or the database does not answer."""

LAG_INTERVAL = 1.0
"""Seconds between two measurements of the reactor's latency."""


@define(eq=False)
class Gauges:
    """The state of the daemon as Prometheus metrics.

    ``expiries`` returns when the certificates of TLS endpoints expire, in seconds since 1970, by endpoint.
    """

    observed: Observed
    health: HealthCheck
    expiries: Callable[[], dict[str, float]] = dict
    _gauges: dict[str, Gauge] = field(factory=dict, init=False)
    _handoffs: Gauge = field(init=False)
    _expiry: Gauge = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Register the gauges."""
        registry = self.observed.metrics.registry
        ProcessCollector(registry=registry)
        for name, words in (
            ("onec_connections", "Open connections"),
            ("onec_uploads_in_progress", "Pieces being received, including those that wait"),
            ("onec_uploads_waiting", "Pieces that wait for their file"),
            ("onec_sessions", "Sessions on record"),
            ("onec_sessions_owing", "Sessions with files that are not handed off yet"),
            ("onec_unfinished_uploads", "Incomplete resumable uploads"),
            ("onec_damaged_files", "Files that have lost acknowledged bytes"),
            ("onec_disk_free_bytes", "Free bytes on the disk of the media root"),
            ("onec_handoff_oldest_waiting_seconds", "Age of the oldest waiting hand-off"),
            ("onec_ready", "1 if uploads are accepted, 0 if not; /health reports why"),
            ("onec_disk_reserved_bytes", "Bytes of the disk that are kept free"),
        ):
            self._gauges[name] = Gauge(name, words, registry=registry)
        self._handoffs = Gauge("onec_handoffs", "Hand-offs on record, by state", ["state"], registry=registry)
        self._expiry = Gauge(
            "onec_certificate_expiry_timestamp_seconds",
            "When the certificate of a TLS endpoint expires, since 1970",
            ["endpoint"],
            registry=registry,
        )

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their content type, in the format that the scraper's ``Accept`` selects.

        If the disk or the database does not answer, their gauges are NaN; the other metrics are still returned.
        """
        transfers, of_shops = self.observed.transfers, self.observed.metrics.of_shops
        health = await self.health.look()
        self._set(
            onec_ready=health.ready,
            onec_connections=self.observed.server.connections.total,
            onec_uploads_in_progress=len(transfers),
            onec_uploads_waiting=transfers.waiting(),
            onec_disk_reserved_bytes=self.observed.min_free(),
        )
        try:
            self._set(onec_disk_free_bytes=await self.observed.free())
            summary = await self.observed.summary()
            self._set(
                onec_sessions=summary.sessions,
                onec_sessions_owing=summary.owing,
                onec_unfinished_uploads=summary.unfinished,
                onec_damaged_files=summary.damaged,
                onec_handoff_oldest_waiting_seconds=self._age(summary.oldest),
            )
            for state, count in summary.handoffs.items():
                self._handoffs.labels(state).set(count)
            if of_shops.labels:
                journal, within = self.observed.journal, self.observed.within
                of_shops.see(await within(journal.on_record()))
        except Exception as error:
            self._report(error)
            self._set(**dict.fromkeys(UNKNOWN, float("nan")))
            self._handoffs.clear()
            of_shops.see(None)
        for endpoint, moment in self.expiries().items():
            self._expiry.labels(endpoint).set(moment)
        encode, content_type = choose_encoder(accept)
        return encode(self.observed.metrics.registry), content_type

    def _report(self, error: Exception) -> None:
        """Log why some metrics could not be read."""
        if isinstance(error, defer.TimeoutError):
            self._log.warn("some metrics could not be read: the disk or the database timed out")
        else:
            self._log.failure("some metrics could not be read")

    def _age(self, moment: float | None) -> float:
        """Return the seconds since a moment, 0 for none."""
        return max(0.0, self.observed.now() - moment) if moment is not None else 0.0

    def _set(self, **values: float) -> None:
        for name, value in values.items():
            self._gauges[name].set(value)


class LagMeter(Service):
    """Measures at regular intervals how late the reactor runs a delayed call."""

    def __init__(self, lag: Timing, clock: IReactorTime) -> None:
        """Schedule nothing yet."""
        self._lag = lag
        self._clock = clock
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Schedule the first call."""
        super().startService()
        self._meet()

    def stopService(self) -> Any:
        """Cancel the scheduled call."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return super().stopService()

    def _meet(self) -> None:
        self._call = self._clock.callLater(LAG_INTERVAL, self._met, self._clock.seconds() + LAG_INTERVAL)

    def _met(self, due: float) -> None:
        self._lag.observe(max(0.0, self._clock.seconds() - due))
        self._meet()
