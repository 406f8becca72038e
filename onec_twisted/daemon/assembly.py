"""Puts all parts of a real daemon together, from the administrator's settings and a reactor.

No other module reads the clock.
"""

from __future__ import annotations

import gc
import platform
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.internet import TimerService

import twisted
from onec_twisted import __version__
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.refused import REFUSALS_INTERVAL
from onec_twisted.daemon.administration import add_admin, add_notices
from onec_twisted.daemon.announcement import announce
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.listening import listening
from onec_twisted.daemon.minutes import MINUTES_INTERVAL, Minutes
from onec_twisted.daemon.parts import Means, Parts, make_parts, make_site
from onec_twisted.daemon.revocation import LOOK_INTERVAL, Revocation
from onec_twisted.daemon.service import ExchangeService, prepare
from onec_twisted.daemon.sweep import Sweep, interval_for
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
from onec_twisted.runtime.workers import DiskWorkers
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from twisted.logger import FileLogObserver

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.listening import Certificate
    from onec_twisted.delivery.interfaces import IImporter

__all__ = ["Holdings", "collect_seldom", "make_daemon", "make_holdings", "make_means", "run_evenly", "wall_clock"]

GC_ALLOCATIONS = 10_000
"""Allocations after which young objects are collected; Python's 700 take 2 to 3 % of a small piece's time."""

CERTIFICATE_INTERVAL = 60.0
"""Seconds between two checks for renewed certificates."""

WORKER_THREADS = 16
"""Threads that wait for the disk."""

ERRAND_THREADS = 4
"""Threads for work that may take seconds with thousands of files; pieces do not need them."""

ARCHIVE_TIMEOUT = 300.0
"""Most seconds for reading one archive, which waits for the disk and yields to all other work."""

CHECK_TIMEOUT = 3600.0
"""Most seconds for reading the documents of one hand-off."""

UNPACK_TIMEOUT = 3600.0
"""Most seconds for unpacking the archives of one hand-off."""


@frozen(eq=False, kw_only=True)
class Holdings:
    """The machine's resources that a daemon holds: the media root with its database, and threads."""

    store: Store
    database: Database
    workers: DiskWorkers
    errands: DiskWorkers

    def check(self) -> None:
        """Check that the media root and its database still exist. Blocks. Raises ``StorageRemoved``."""
        self.store.check()
        self.database.check()

    def release(self) -> None:
        """End the threads after their queued work, and close the database. Blocks."""
        while not (self.errands.is_stopped and self.workers.is_stopped):  # the work of either may go on in the other
            self.errands.stop()
            self.workers.stop()
        self.database.close()


def run_evenly(reactor: Any) -> None:
    """Make a reactor's timers use the monotonic clock."""
    reactor.seconds = time.monotonic


def collect_seldom() -> None:
    """Collect garbage less often, and never look again at what the start has made: requests leave few cycles."""
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def make_holdings(config: Config, reactor: Any) -> Holdings:
    """Return the resources of a real daemon; nothing on disk is touched yet."""
    store = Store(Path(config.media_root).absolute(), synced=config.synced)
    return Holdings(
        store=store,
        database=Database(store.database, synced=store.synced),
        workers=DiskWorkers(reactor, WORKER_THREADS),
        errands=DiskWorkers(reactor, ERRAND_THREADS),
    )


def make_means(config: Config, reactor: Any, holdings: Holdings) -> Means:
    """Return the means that the parts of a real daemon use. Raises ``CannotStart``."""
    workers, errands = holdings.workers, holdings.errands
    metrics = Metrics(time.monotonic)
    metrics.report_build(version=__version__, twisted=twisted.__version__, python=platform.python_version())
    surroundings = Surroundings(reactor, errands, config.import_timeout, *_credentials(config))
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
        catalog=Catalog(Recorder(holdings.database, workers, metrics, errands)),
        importer=_importer(config, surroundings),
        orders=_orders(config, reactor),
        examine=Examiner(reactor, ARCHIVE_TIMEOUT),
        prepare=Preparer(reactor, UNPACK_TIMEOUT),
        check=Checker(reactor, CHECK_TIMEOUT),
    )


def wall_clock() -> float:
    """Return the seconds since 1970."""
    return time.time()


def _anchored_now(offset: float) -> float:
    return offset + time.monotonic()


def _credentials(config: Config) -> tuple[bytes, str]:
    """Return the secret and the Authorization header for requests to the site; each is empty if there is none."""
    return config.import_secret or b"", basic(config.import_auth or b"")


def _importer(config: Config, surroundings: Surroundings) -> IImporter:
    """Return the chosen importer. Raises ``CannotStart``."""
    try:
        return make_importer(config.importer, surroundings)
    except Exception as error:  # a plugin may raise anything
        raise CannotStart(f"--importer={config.importer}: {error}; --help-importers lists them") from None


def _orders(config: Config, reactor: Any) -> Orders | None:
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
    config: Config, holdings: Holdings, means: Means, observer: FileLogObserver | None = None
) -> ExchangeService:
    """Put the whole daemon together; ``observer`` writes its log. Raises ``CannotStart``."""
    reactor, store = means.reactor, means.store
    parts = make_parts(config, means)
    site = make_site(config, means, parts)
    certificates: list[Certificate] = []
    addresses: list[str] = []
    daemon = ExchangeService(
        prepare=partial(prepare, holdings.store, config.media_root),
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
    if config.admin is not None:
        add_admin(daemon, config.admin, config, means, parts, site, certificates)
    if config.notify:
        add_notices(daemon, config, means, parts, site)
    parts.relay.setServiceParent(daemon)
    parts.archives.setServiceParent(daemon)
    _add_timers(daemon, config, means, parts, holdings)
    daemon.at_start = lambda: announce(config, addresses, str(holdings.store.temp), store.free())
    return daemon


def _add_timers(daemon: ExchangeService, config: Config, means: Means, parts: Parts, holdings: Holdings) -> None:
    """Add what the daemon does from time to time."""
    catalog = means.catalog
    sweep = Sweep(
        recorder=catalog.recorder,
        sessions=catalog.sessions,
        store=means.store,
        locks=parts.locks,
        workers=means.errands,
        session_ttl=config.session_ttl,
        keep=config.keep,
        journal=catalog.journal,
        history=config.history,
        history_of_shops=dict,
        now=means.now,
    )
    minutes = Minutes(catalog.journal, means.metrics, means.free, means.now)
    revocation = Revocation(
        checkers=config.auth,
        others=config.admin_auth,
        sessions=catalog.sessions,
        locks=parts.locks,
        workers=means.workers,
    )
    for interval, call in (
        (interval_for(config.settle), parts.handoffs.settle_quiet),
        (interval_for(config.session_ttl, config.keep), sweep.once),
        (LOOK_INTERVAL, revocation.once),
        (CERTIFICATE_INTERVAL, daemon.reload_certificates),
        (PRESENCE_INTERVAL, Presence(holdings.check, means.workers).once),
        (MINUTES_INTERVAL, minutes.once),
        (REFUSALS_INTERVAL, parts.refused.flush),
        (QUIET_INTERVAL, parts.received.end_quiet),
    ):
        timer = TimerService(interval, call)
        timer.clock = means.reactor
        timer.setServiceParent(daemon)
    daemon.at_end = (parts.refused.flush, minutes.once)
