"""Puts all parts of a real daemon together, from the administrator's settings and a reactor.

No other module reads the clock.
"""

from __future__ import annotations

import gc
import platform
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService

import twisted
from onec_twisted import __version__
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.refused import REFUSALS_INTERVAL
from onec_twisted.daemon.administration import Notices, add_admin
from onec_twisted.daemon.announcement import announce
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.doors import make_site
from onec_twisted.daemon.listening import listening
from onec_twisted.daemon.membership import membership_of
from onec_twisted.daemon.minutes import MINUTES_INTERVAL, Minutes
from onec_twisted.daemon.parts import Means, Parts, make_parts
from onec_twisted.daemon.reloading import InForce, Reload
from onec_twisted.daemon.revocation import LOOK_INTERVAL, Revocation
from onec_twisted.daemon.service import ExchangeService
from onec_twisted.daemon.sweep import Lifetimes, Sweep, interval_for
from onec_twisted.delivery.checking import Checker
from onec_twisted.delivery.client import SiteClient, address_of, basic
from onec_twisted.delivery.examination import Examiner
from onec_twisted.delivery.importers import make_importer
from onec_twisted.delivery.interfaces import Surroundings
from onec_twisted.delivery.preparation import Preparer
from onec_twisted.exchange.orders import Orders
from onec_twisted.ingest.received import QUIET_INTERVAL
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.runtime.presence import PRESENCE_INTERVAL, Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import FileLogObserver

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.holdings import AnyHoldings
    from onec_twisted.daemon.listening import Certificate
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.runtime.workers import DiskWorkers

__all__ = [
    "collect_seldom",
    "even_clock",
    "make_daemon",
    "make_means",
    "make_metrics",
    "retime",
    "run_evenly",
    "wall_clock",
]

GC_ALLOCATIONS = 10_000
"""Allocations after which young objects are collected; Python's 700 take 2 to 3 % of a small piece's time."""

CERTIFICATE_INTERVAL = 60.0
"""Seconds between two checks for renewed certificates."""

TRANSFERS_TOLD = 50
"""Pieces in transfer that other daemons show of this one."""

MOST_IMPORTERS = 5000
"""Importers that are remembered for other shops with the same settings."""

ARCHIVE_TIMEOUT = 300.0
"""Most seconds for reading one archive, which waits for the disk and yields to all other work."""

CHECK_TIMEOUT = 3600.0
"""Most seconds for reading the documents of one hand-off."""

UNPACK_TIMEOUT = 3600.0
"""Most seconds for unpacking the archives of one hand-off."""


def run_evenly(reactor: Any) -> None:
    """Make a reactor's timers use the monotonic clock."""
    reactor.seconds = time.monotonic


def collect_seldom() -> None:
    """Collect garbage less often, and never look again at what the start has made: requests leave few cycles."""
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def make_metrics() -> Metrics:
    """Return the metrics of a real daemon."""
    metrics = Metrics(time.monotonic)
    metrics.report_build(version=__version__, twisted=twisted.__version__, python=platform.python_version())
    return metrics


def make_means(
    reactor: Any, holdings: AnyHoldings, metrics: Metrics | None = None, catalog: Catalog | None = None
) -> Means:
    """Return the means that the parts of a real daemon use; ``catalog`` is that of ``holdings`` if there is none."""
    workers, errands = holdings.workers, holdings.errands
    metrics = metrics or make_metrics()
    return Means(
        reactor=reactor,
        # Seconds since 1970 that do not jump when the system's clock is set
        now=partial(_anchored_now, time.time() - time.monotonic()),
        seconds=time.monotonic,
        workers=workers,
        errands=errands,
        metrics=metrics,
        store=holdings.store,
        free=partial(workers, holdings.store.free),
        catalog=catalog or Catalog(Recorder(holdings.database, workers, metrics, errands)),
        importer_of=_importers(reactor, errands),
        orders_of=partial(_orders, reactor),
        examine=Examiner(reactor, ARCHIVE_TIMEOUT),
        prepare=Preparer(reactor, UNPACK_TIMEOUT),
        check=Checker(reactor, CHECK_TIMEOUT),
    )


def wall_clock() -> float:
    """Return the seconds since 1970."""
    return time.time()


def even_clock() -> float:
    """Return the seconds of a clock that nobody sets."""
    return time.monotonic()


def _anchored_now(offset: float) -> float:
    return offset + time.monotonic()


def _credentials(config: Config) -> tuple[bytes, str]:
    """Return the secret and the Authorization header for requests to the site; each is empty if there is none."""
    return config.import_secret or b"", basic(config.import_auth or b"")


def _importers(reactor: Any, errands: DiskWorkers) -> Callable[[Config], IImporter]:
    """Return what returns the importer that settings choose; it raises ``CannotStart``.

    Shops with the same settings have the same importer, also after a reload.
    """

    @lru_cache(MOST_IMPORTERS)
    def made(spec: str, timeout: float, secret: bytes, authorization: str) -> IImporter:
        return make_importer(spec, Surroundings(reactor, errands, timeout, secret, authorization))

    def importer_of(config: Config) -> IImporter:
        try:
            return made(config.importer, config.import_timeout, *_credentials(config))
        except Exception as error:  # a plugin may raise anything
            raise CannotStart(f"--importer={config.importer}: {error}; --help-importers lists them") from None

    return importer_of


def _orders(reactor: Any, config: Config) -> Orders | None:
    """Return the source of orders, if there is one. Raises ``CannotStart``."""
    if config.orders is None:
        return None
    scheme, _, argument = config.orders.partition(":")
    try:
        address, (secret, authorization) = address_of(scheme, argument), _credentials(config)
        return Orders(address.url, SiteClient(reactor, secret, address.authorization or authorization))
    except ValueError as error:
        raise CannotStart(f"--orders={config.orders}: {error}") from None


def make_daemon(
    config: Config,
    holdings: AnyHoldings,
    means: Means,
    observer: FileLogObserver | None = None,
    again: Callable[[], Config] | None = None,
) -> ExchangeService:
    """Put the whole daemon together; ``observer`` writes its log. Raises ``CannotStart``.

    ``again`` reads the settings again for a reload, as in ``Reload``; without it they stay.
    """
    reactor, store = means.reactor, means.store
    parts = make_parts(config, means)
    in_force = InForce(config, membership_of(config, reactor))
    site = make_site(config, in_force.membership, means, parts)
    certificates: list[Certificate] = []
    addresses: list[str] = []
    daemon = ExchangeService(
        prepare=partial(holdings.prepare, config.media_root),
        release=holdings.release,
        site=site,
        locks=parts.locks,
        proofs=parts.proofs,
        certificates=certificates,
        clock=reactor,
        observer=observer,
    )
    for description in config.listen:
        service = listening("listen", description, site, reactor, certificates, addresses=addresses)
        service.setServiceParent(daemon)
    reload = Reload(again=again or (lambda: config), in_force=in_force, means=means, parts=parts, site=site)
    daemon.reload_settings = reload.once
    if config.admin is not None:
        add_admin(daemon, config.admin, reload, certificates)
    notices = Notices(daemon, reload)
    notices.follow(config)()
    reload.followers.append(notices.follow)
    transfers = parts.ingest.transfers
    means.tell_state(
        lambda: {
            "connections": site.server.connections.total,
            "transferring": len(transfers),
            "transfers": transfers.plain(TRANSFERS_TOLD),
        }
    )
    means.metrics.name_shops([shop.name for shop in config.shops])
    parts.relay.setServiceParent(daemon)
    parts.archives.setServiceParent(daemon)
    _add_timers(daemon, reload, parts, holdings)
    daemon.at_start = lambda: announce(config, addresses, holdings.place, store.free())
    return daemon


def _add_timers(daemon: ExchangeService, reload: Reload, parts: Parts, holdings: AnyHoldings) -> None:
    """Add what the daemon does from time to time."""
    means, in_force = reload.means, reload.in_force
    catalog, config = means.catalog, in_force.config
    sweep = Sweep(
        recorder=catalog.recorder,
        sessions=catalog.sessions,
        store=means.store,
        locks=parts.locks,
        workers=means.errands,
        session_ttl=config.session_ttl,
        journal=catalog.journal,
        lifetimes=lambda: Lifetimes.of(in_force.config),
        now=means.now,
    )
    minutes = Minutes(catalog.journal, means.metrics, means.free, means.now)
    revocation = Revocation(
        membership=lambda: in_force.membership,
        others=config.admin_auth,
        sessions=catalog.sessions,
        locks=parts.locks,
        workers=means.workers,
    )

    def timed(interval: float, call: Callable[[], Any]) -> TimerService:
        timer = TimerService(interval, call)
        timer.clock = means.reactor
        timer.setServiceParent(daemon)
        return timer

    for interval, call in (
        (LOOK_INTERVAL, revocation.once),
        (CERTIFICATE_INTERVAL, daemon.reload_certificates),
        (PRESENCE_INTERVAL, Presence(holdings.check, means.workers).once),
        (MINUTES_INTERVAL, minutes.once),
        (REFUSALS_INTERVAL, parts.refused.flush),
        (QUIET_INTERVAL, parts.received.end_quiet),
        *means.timers,
    ):
        timed(interval, call)
    settling = timed(_settle_interval(config), parts.handoffs.settle_quiet)
    sweeping = timed(_sweep_interval(config), sweep.once)

    def follow(new: Config) -> Callable[[], None]:
        def go_on() -> None:
            retime(settling, _settle_interval(new))
            retime(sweeping, _sweep_interval(new))

        return go_on

    reload.followers.append(follow)
    daemon.at_end = (parts.refused.flush, minutes.once, *means.at_end)


def _settle_interval(config: Config) -> float:
    return interval_for(*(settings.settle for _, settings in config.named_shops()))


def _sweep_interval(config: Config) -> float:
    return interval_for(config.session_ttl, *(settings.keep for _, settings in config.named_shops()))


def retime(timer: TimerService, interval: float) -> None:
    """Let a timer that runs call at another interval, in seconds, once its running call has ended."""
    if timer.step == interval or not timer.running:
        return
    timer.step = interval

    def go_on(_: object) -> None:
        if timer.parent is not None and timer.parent.running:
            timer.startService()

    timer.stopService().addCallback(go_on)
