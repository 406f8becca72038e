"""Where the parts meet: ``makeService`` for ``twistd onec-exchange``."""

from __future__ import annotations

import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.application.strports import service as listening_service
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.access import Access, AnyOf, NodeRealm
from onec_twisted.catalog import Catalog
from onec_twisted.client import SiteClient, url_of
from onec_twisted.database import Database
from onec_twisted.errors import ShuttingDown
from onec_twisted.exchange import Exchange, Parts, Settings
from onec_twisted.handoff import Handoffs, HandoffSettings
from onec_twisted.importers import make_importer
from onec_twisted.intake import INTAKES
from onec_twisted.interfaces import Surroundings
from onec_twisted.options import CannotStart, Options
from onec_twisted.orders import Orders
from onec_twisted.pieces import Pieces
from onec_twisted.relay import Relay
from onec_twisted.schema import CatalogUnusable, create_catalog, record_damage, recorded_lengths
from onec_twisted.site import ExchangeSite, tree
from onec_twisted.space import Space
from onec_twisted.store import MediaRootTaken, Store
from onec_twisted.sweep import Sweep, interval_for
from onec_twisted.turns import Turns
from onec_twisted.workers import DiskWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.interfaces import IImporter

__all__ = ["ExchangeService", "Options", "makeService"]

WORKERS = 16
"""Threads that write to the disk; most of their time they wait for it."""

LINGER = 0.2
"""Seconds that the last answers have to leave."""

GRACE = 30.0
"""Seconds that pieces in flight have to end when the daemon is told to stop."""


class ExchangeService(MultiService):
    """The whole daemon: its children listen and sweep, ``workers`` write to the disk.

    ``prepare`` blocks, and makes the media root ready; it runs when twistd has given up its privileges. What cannot
    be had ends the start with one line.
    """

    _log = Logger()

    def __init__(
        self,
        workers: DiskWorkers,
        pieces: Pieces,
        clock: IReactorTime,
        prepare: Callable[[], None],
    ) -> None:
        """Begin with nothing running."""
        super().__init__()
        self._workers = workers
        self._pieces = pieces
        self._turns = pieces.turns
        self._clock = clock
        self._prepare = prepare
        self.site: ExchangeSite | None = None
        self.at_stop: Callable[[], None] = _do_nothing

    def privilegedStartService(self) -> None:
        """Listen. Raises ``CannotStart``."""
        try:
            super().privilegedStartService()
        except Exception as error:
            raise _told(
                f"{str(error).rstrip('.')}; choose another --listen, or stop the program that uses it"
            ) from None

    def startService(self) -> None:
        """Make the media root ready, and start. Raises ``CannotStart``."""
        try:
            self._prepare()
        except CannotStart as cannot:
            raise _told(str(cannot.code)) from None
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Stop listening, let pieces in flight end, drop those that do not, and stop."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.at_stop()
        self._turns.close()
        if self.site is not None:
            self.site.closing = True
        late = self._clock.callLater(GRACE, self._turns.drop_all, ShuttingDown())
        idle = self._turns.idle()
        if not idle.called:
            self._log.info("waiting up to {seconds} s for pieces in flight", seconds=GRACE)
        await maybeDeferred(super().stopService)
        was_busy = not idle.called
        await idle
        if late.active():
            late.cancel()
        if was_busy:
            await deferLater(self._clock, LINGER)
        await self._pieces.settle(LINGER)
        self._workers.stop()
        self._pieces.catalog.close()


def _do_nothing() -> None:
    """Leave the second signal to twistd."""


def _end_at_the_next_signal() -> None:
    """Let a second SIGTERM or Ctrl-C end the process at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _told(words: str) -> CannotStart:
    """Return the end of the start, told on standard error: twistd has made ``sys.stderr`` a part of the log."""
    cannot = CannotStart(words.removeprefix("onec-exchange: "))
    if sys.stderr is not sys.__stderr__:
        print(cannot, file=sys.__stderr__)
    return cannot


def prepare(store: Store, named: str) -> None:
    """Make the media root ready: take it, make the catalog, and cut off what was never acknowledged.

    ``named`` is what the administrator calls it. Blocks. Raises ``CannotStart`` with one line that says what to do.
    """
    try:
        store.prepare()
        store.lock()
        create_catalog(store.database)
        damaged = store.recover(recorded_lengths(store.database))
        record_damage(store.database, damaged)
    except MediaRootTaken:
        raise CannotStart(
            f"--media-root={named}: another onec-exchange works there; stop it, or give another folder"
        ) from None
    except CatalogUnusable as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(
            f"--media-root={named}: cannot be written ({error.strerror}); give a folder that the daemon's user owns"
        ) from None
    for sessid, name in damaged:
        Logger(namespace=__name__).critical(
            "{sessid}: {name} has lost acknowledged bytes on the disk; it is refused until init",
            sessid=sessid,
            name=name,
        )


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
    workers = DiskWorkers(reactor, WORKERS)
    catalog = Catalog(Database(store.database, synced=store.synced), workers)
    turns = Turns(clock, options["lock-timeout"])
    space = Space(partial(workers, store.free), time.monotonic, options["min-free"], options["session-quota"])
    pieces = Pieces(
        options["body-limit"],
        options["session-quota"],
        catalog,
        store,
        turns,
        space,
        workers,
        now,
        clock,
        INTAKES[options["intake"]],
        options["access-log"] == "yes",
    )
    settings = Settings(
        file_limit=options["file-limit"],
        session_ttl=options["session-ttl"],
        zipped=options["zip"] == "yes",
        sessid_required=options["sessid"] == "required",
        always_ok=options["status-codes"] == "ok",
        lock_timeout=options["lock-timeout"],
    )
    importer = _importer(options, Surroundings(reactor, workers, options["import-timeout"], _secret(options)))
    relay = Relay(options["import-tries"], catalog, store, importer, now, clock)
    handoffs = Handoffs(
        HandoffSettings(options["import-hold"], options["settle"], options["durability"] == "handoff"),
        catalog,
        store,
        turns,
        workers,
        relay,
        now,
    )
    parts = Parts(
        access=Access(Portal(NodeRealm(), [AnyOf(options["credCheckers"])]), clock),
        catalog=catalog,
        store=store,
        turns=turns,
        pieces=pieces,
        workers=workers,
        handoffs=handoffs,
        relay=relay,
        now=now,
        orders=_orders(options, reactor),
    )
    paths = [path.encode("ascii") for path in options["path"]]
    root = tree(paths, Exchange(settings, parts), status=200 if settings.always_ok else 404)
    site = ExchangeSite(
        root,
        clock,
        options["idle-timeout"],
        always_ok=settings.always_ok,
        access_log=options["access-log"] == "yes",
    )
    sweep = Sweep(catalog, store, turns, workers, options["session-ttl"], options["keep"], now)

    daemon = ExchangeService(workers, pieces, clock, partial(prepare, store, options["media-root"]))
    daemon.site = site
    if twistd_runs_it:
        daemon.at_stop = _end_at_the_next_signal
    for endpoint in options["listen"]:
        try:
            listening_service(endpoint, site, reactor).setServiceParent(daemon)
        except Exception as error:  # a plugin's parser, or a certificate's, may raise anything
            raise CannotStart(
                f"--listen={endpoint}: cannot be understood ({type(error).__name__}: {error}); "
                "write a Twisted endpoint as in tcp:8080:interface=127.0.0.1"
            ) from None
    relay.setServiceParent(daemon)
    for interval, call in (
        (interval_for(options["settle"]), handoffs.settle_quiet),
        (interval_for(options["session-ttl"], options["keep"]), sweep.once),
    ):
        timer = TimerService(interval, call)
        timer.clock = reactor
        timer.setServiceParent(daemon)
    return daemon


def _secret(options: Options) -> bytes:
    return options["import-secret"] or b""


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
        return Orders(url_of(scheme, argument), SiteClient(reactor, _secret(options)))
    except ValueError as error:
        raise CannotStart(f"--orders={options['orders']}: {error}") from None


def _anchored_now(offset: float) -> float:
    return offset + time.monotonic()
