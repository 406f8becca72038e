"""Where the parts meet: ``makeService`` for ``twistd onec-exchange``."""

from __future__ import annotations

import platform
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService

import twisted
from onec_twisted import __version__
from onec_twisted.auth.access import Access
from onec_twisted.auth.sessions import Sessions
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.registry import Registry
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.listening import Certificate, listening, warn_of_strangers
from onec_twisted.daemon.logs import log_of
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.revocation import LOOK_INTERVAL, Revocation
from onec_twisted.daemon.service import ExchangeService, end_at_the_next_signal, obey_signals, prepare
from onec_twisted.daemon.sweep import Sweep, interval_for
from onec_twisted.delivery.archives import Archives
from onec_twisted.delivery.client import SiteClient, address_of, basic
from onec_twisted.delivery.examination import Examiner
from onec_twisted.delivery.handoffs import Handoffs, HandoffSettings
from onec_twisted.delivery.importers import make_importer
from onec_twisted.delivery.interfaces import Surroundings
from onec_twisted.delivery.relay import Relay
from onec_twisted.exchange.orders import Orders
from onec_twisted.exchange.protocol import failure, failure_with_200
from onec_twisted.exchange.resource import Exchange, Settings
from onec_twisted.http.connections import Connections, TrustedProxies
from onec_twisted.http.refusals import Refusals
from onec_twisted.http.server import Limits, Server
from onec_twisted.http.site import ExchangeSite, tree
from onec_twisted.ingest.engine import Ingest
from onec_twisted.ingest.locks import FileLocks
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.ingest.proofs import Proofs
from onec_twisted.ingest.space import Space
from onec_twisted.ingest.transfers import Transfers
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.resumable.chunks import Chunks
from onec_twisted.runtime import presence
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.runtime.workers import DiskWorkers
from onec_twisted.storage.local import Store
from onec_twisted.tus.origins import Origins
from onec_twisted.tus.resource import Tus

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.resource import Resource

    from onec_twisted.delivery.interfaces import IImporter

__all__ = ["ExchangeService", "Options", "makeService"]

RELOAD = 60.0
"""Seconds between two looks for renewed certificates."""

WORKERS, ERRANDS = 16, 4
"""Threads that wait for the disk, and those for what takes seconds, with thousands of files: no piece needs them."""

ARCHIVE_TIMEOUT = 300.0
"""Seconds that the reading of one archive may take: it waits for the disk, and stands back behind all else."""


def makeService(options: Options, reactor: Any = None) -> ExchangeService:
    """Put the daemon together.

    ``options`` are parsed; ``reactor`` is Twisted's, or one that a test gives. Raises ``CannotStart`` with one line
    that says what to do.
    """
    twistd_runs_it = reactor is None
    if twistd_runs_it:
        from twisted.internet import reactor

        reactor.seconds = time.monotonic  # somebody may set the system's clock
    clock: IReactorTime = reactor
    store = Store(Path(options["media-root"]).absolute(), synced=options["durability"] == "piece")

    # Seconds since 1970 that go on evenly when somebody sets the system's clock
    now = partial(_anchored_now, time.time() - time.monotonic())
    workers, errands = DiskWorkers(reactor, WORKERS), DiskWorkers(reactor, ERRANDS)
    metrics = Metrics(time.monotonic)
    metrics.tell_build(version=__version__, twisted=twisted.__version__, python=platform.python_version())
    database = Database(store.database, synced=store.synced)
    catalog = Catalog(Recorder(database, workers, metrics, errands))
    locks = FileLocks(clock, options["lock-timeout"])
    ingest = Ingest(
        sessions=catalog.sessions,
        files=catalog.files,
        store=store,
        locks=locks,
        space=Space(partial(workers, store.free), time.monotonic, options["min-free"], options["session-quota"]),
        transfers=Transfers(time.monotonic, options["max-uploads"]),
        workers=workers,
        writer=WRITERS[options["intake"]],
        metrics=metrics,
        now=now,
        logs_each=options["access-log"] == "yes",
    )
    proofs = Proofs(catalog.files, clock)
    pieces = Pieces(ingest, proofs, options["body-limit"], options["session-quota"])
    importer = _importer(options, Surroundings(reactor, errands, options["import-timeout"], *_credentials(options)))
    relay = Relay(options["import-tries"], catalog.files, catalog.handoffs, store, importer, now, clock, metrics)
    archives = Archives(store, workers, clock, Examiner(reactor, ARCHIVE_TIMEOUT))
    handoffs = Handoffs(
        HandoffSettings(options["import-hold"], options["settle"], options["durability"] == "handoff"),
        catalog.files,
        catalog.handoffs,
        store,
        locks,
        errands,
        archives,
        relay,
        now,
        clock.seconds,
    )
    resources = _resources(
        options, _orders(options, reactor), clock, catalog, ingest, pieces, handoffs, relay, errands
    )
    site = _site(options, clock, metrics, resources)
    sweep = Sweep(
        catalog.recorder, catalog.sessions, store, locks, errands, options["session-ttl"], options["keep"], now
    )

    observer, reopen = log_of(options.parent or {}, options["log-format"]) if twistd_runs_it else (None, None)
    daemon = ExchangeService(
        workers, catalog.recorder, locks, proofs, clock, partial(prepare, store, options["media-root"]), observer
    )
    daemon.site, daemon.errands = site, errands
    if twistd_runs_it:
        daemon.at_stop = end_at_the_next_signal
    revocation = Revocation(options["credCheckers"], options["admin-auth"], catalog.sessions, locks, workers)
    certificates: list[Certificate] = []
    for description in options["listen"]:
        listening("listen", description, site, reactor, certificates).setServiceParent(daemon)
    if options["admin"] is not None:
        _add_admin(daemon, options, reactor, ingest, proofs, catalog, handoffs, relay, errands, site, certificates)
    relay.setServiceParent(daemon)
    archives.setServiceParent(daemon)

    def look() -> None:
        store.check()
        database.check()

    def reload() -> None:
        for certificate in certificates:
            certificate.reload()

    if twistd_runs_it:
        obey_signals(reactor, reload, reopen if observer is not None else None)
    for interval, call in (
        (interval_for(options["settle"]), handoffs.settle_quiet),
        (interval_for(options["session-ttl"], options["keep"]), sweep.once),
        (LOOK_INTERVAL, revocation.once),
        (RELOAD, reload),
        (presence.PRESENCE_INTERVAL, presence.Presence(look, workers).once),
    ):
        timer = TimerService(interval, call)
        timer.clock = reactor
        timer.setServiceParent(daemon)
    return daemon


def _site(options: Options, clock: IReactorTime, metrics: Metrics, resources: dict[bytes, Resource]) -> ExchangeSite:
    """Return what serves nodes."""
    wording = failure_with_200 if options["status-codes"] == "ok" else failure
    refusals = Refusals(metrics, wording)
    server = Server(
        clock,
        Limits(options["header-timeout"], options["min-rate"], options["idle-timeout"]),
        Connections(options["connections-per-address"], TrustedProxies.of(options["trusted-proxy"])),
        metrics,
        refusals,
    )
    return ExchangeSite(tree(resources, refusals), server, access_log=options["access-log"] == "yes")


def _resources(
    options: Options,
    orders: Orders | None,
    clock: IReactorTime,
    catalog: Catalog,
    ingest: Ingest,
    pieces: Pieces,
    handoffs: Handoffs,
    relay: Relay,
    errands: DiskWorkers,
) -> dict[bytes, Resource]:
    """Return what is served at which path."""
    sessions = Sessions(
        records=catalog.sessions,
        now=ingest.now,
        is_busy=ingest.locks.busy,
        ttl=options["session-ttl"],
        sessid_required=options["sessid"] == "required",
        most=options["sessions-per-user"],
    )
    access = Access.by(options["credCheckers"], clock)
    exchange = Exchange(
        Settings(
            file_limit=options["file-limit"],
            zipped=options["zip"] == "yes",
            always_ok=options["status-codes"] == "ok",
            lock_timeout=options["lock-timeout"],
        ),
        access=access,
        sessions=sessions,
        ingest=ingest,
        pieces=pieces,
        handoffs=handoffs,
        relay=relay,
        errands=errands,
        orders=orders,
    )
    resources: dict[bytes, Resource] = {path.encode("ascii"): exchange for path in options["path"]}
    if options["tus-path"] is not None:
        path = options["tus-path"].rstrip("/").encode("ascii")
        registry = Registry(catalog.recorder, options["session-quota"])
        chunks = Chunks(
            ingest=ingest,
            registry=registry,
            handoffs=handoffs,
            relay=relay,
            errands=errands,
            session_ttl=options["session-ttl"],
        )
        resources[path] = Tus(
            path,
            access=access,
            sessions=sessions,
            ingest=ingest,
            relay=relay,
            registry=registry,
            chunks=chunks,
            origins=Origins(frozenset(options["cors-origin"]), tuple(options["cors-header"])),
            lock_timeout=options["lock-timeout"],
        )
    return resources


def _add_admin(
    daemon: ExchangeService,
    options: Options,
    reactor: Any,
    ingest: Ingest,
    proofs: Proofs,
    catalog: Catalog,
    handoffs: Handoffs,
    relay: Relay,
    errands: DiskWorkers,
    site: ExchangeSite,
    certificates: list[Certificate],
) -> None:
    """Let the daemon show what goes on in it. Raises ``CannotStart``."""
    # Here: a daemon without it starts sooner
    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.door import MOST_CONNECTIONS
    from onec_twisted.admin.gauges import Gauges, LagMeter
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.site import AdminParts, AdminSite
    from onec_twisted.admin.status import Observed

    observed = Observed(
        catalog.recorder,
        catalog.files,
        ingest.store,
        relay,
        ingest.transfers,
        site.server,
        ingest.metrics,
        ingest.workers,
        options["min-free"],
        ingest.now,
        time.monotonic,
        reactor,
    )
    checkers = options["admin-auth"]
    health = HealthCheck(observed, ingest.locks)
    actions = Actions(
        catalog.sessions, catalog.handoffs, ingest.store, ingest.locks, handoffs, relay, proofs, errands
    )
    admin = AdminParts(
        observed,
        health,
        Gauges(observed, health, lambda: {one.endpoint: one.expires() for one in certificates}),
        actions,
        Access.by(checkers, reactor, most=MOST_CONNECTIONS // 2) if checkers else None,
    )
    connections = Connections(options["connections-per-address"], site.server.connections.trusted)
    admin_site = AdminSite(admin, reactor, site.server.limits, connections)
    is_locked = checkers and options["admin"].startswith("ssl:")
    heard = None if is_locked else warn_of_strangers
    listening("admin", options["admin"], admin_site, reactor, certificates, heard).setServiceParent(daemon)
    LagMeter(ingest.metrics.reactor_lag, reactor).setServiceParent(daemon)


def _credentials(options: Options) -> tuple[bytes, str]:
    """Return what signs requests to the site, and the header that says who asks; each empty for none."""
    return options["import-secret"] or b"", basic(options["import-auth"] or b"")


def _importer(options: Options, surroundings: Surroundings) -> IImporter:
    """Return the importer that was chosen. Raises ``CannotStart``."""
    try:
        return make_importer(options["importer"], surroundings)
    except Exception as error:  # a plugin's may raise anything
        raise CannotStart(f"--importer={options['importer']}: {error}; --help-importers lists them") from None


def _orders(options: Options, reactor: Any) -> Orders | None:
    """Return where orders come from, if anywhere. Raises ``CannotStart``."""
    if options["orders"] is None:
        return None
    scheme, _, argument = options["orders"].partition(":")
    try:
        address, (secret, authorization) = address_of(scheme, argument), _credentials(options)
        return Orders(address.url, SiteClient(reactor, secret, address.authorization or authorization))
    except ValueError as error:
        raise CannotStart(f"--orders={options['orders']}: {error}") from None


def _anchored_now(offset: float) -> float:
    return offset + time.monotonic()
