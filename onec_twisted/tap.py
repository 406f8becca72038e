"""Where the parts meet: ``makeService`` for ``twistd onec-exchange``."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.application.strports import service as listening_service
from twisted.cred.portal import Portal
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from onec_twisted.access import Access, NodeRealm
from onec_twisted.catalog import Catalog
from onec_twisted.exchange import Exchange, Parts, Settings
from onec_twisted.options import CannotStart, Options
from onec_twisted.schema import CatalogUnusable, create_catalog, open_pool
from onec_twisted.site import ExchangeSite, tree
from onec_twisted.space import Space
from onec_twisted.store import Store
from onec_twisted.sweep import Sweep, interval_for
from onec_twisted.turns import Turns

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

__all__ = ["ExchangeService", "Options", "makeService"]

WORKERS = 16
"""Threads that write to the disk; most of their time they wait for it."""


class WorkersService(Service):
    """Runs the threads that write to the disk."""

    def __init__(self) -> None:
        """Make the pool; its threads come when they are needed."""
        self.pool = ThreadPool(minthreads=0, maxthreads=WORKERS, name="disk")

    def startService(self) -> None:
        """Start the pool."""
        super().startService()
        self.pool.start()

    def stopService(self) -> None:
        """Wait for what is being written, then end the threads."""
        super().stopService()
        self.pool.stop()


class ExchangeService(MultiService):
    """The whole daemon. A port that cannot be had ends the start with one line."""

    def privilegedStartService(self) -> None:
        """Listen. Raises ``CannotStart``."""
        try:
            super().privilegedStartService()
        except Exception as error:
            cannot = CannotStart(
                f"{str(error).rstrip('.')}; choose another --listen, or stop the program that uses it"
            )
            if sys.stderr is not sys.__stderr__:  # by now twistd has turned it into a part of the log
                print(cannot, file=sys.__stderr__)
            raise cannot from None


def makeService(options: Options, reactor: Any = None) -> ExchangeService:
    """Put the daemon together.

    ``options`` are parsed; ``reactor`` is Twisted's, or one that a test gives. Raises ``CannotStart`` with one line
    that says what to do.
    """
    if reactor is None:
        from twisted.internet import reactor
    clock: IReactorTime = reactor
    store = Store(Path(options["media-root"]).absolute())
    try:
        store.prepare()
        create_catalog(store.database)
    except OSError as error:
        raise CannotStart(
            f"--media-root={options['media-root']}: cannot be written ({error.strerror}); "
            "give a folder that the daemon's user owns"
        ) from None
    except CatalogUnusable as error:
        raise CannotStart(str(error)) from None

    # Seconds since 1970 that go on evenly when somebody sets the system's clock
    now = partial(_anchored_now, time.time() - time.monotonic())
    workers_service = WorkersService()
    workers = partial(deferToThreadPool, reactor, workers_service.pool)
    catalog = Catalog(open_pool(store.database, reactor))
    turns = Turns(clock, options["lock-timeout"])
    settings = Settings(
        file_limit=options["file-limit"],
        body_limit=options["body-limit"],
        session_quota=options["session-quota"],
        session_ttl=options["session-ttl"],
        zipped=options["zip"] == "yes",
        sessid_required=options["sessid"] == "required",
        always_ok=options["status-codes"] == "ok",
    )
    parts = Parts(
        access=Access(Portal(NodeRealm(), options["credCheckers"]), clock),
        catalog=catalog,
        store=store,
        turns=turns,
        space=Space(partial(workers, store.free), time.monotonic, options["min-free"], options["session-quota"]),
        workers=workers,
        now=now,
    )
    paths = [path.encode("ascii") for path in options["path"]]
    root = tree(paths, Exchange(settings, parts), status=200 if settings.always_ok else 404)
    site = ExchangeSite(root, clock, options["idle-timeout"], always_ok=settings.always_ok)
    sweep = Sweep(catalog, store, turns, workers, options["session-ttl"], now)

    daemon = ExchangeService()
    workers_service.setServiceParent(daemon)
    for endpoint in options["listen"]:
        try:
            listening_service(endpoint, site, reactor).setServiceParent(daemon)
        except Exception as error:  # a plugin's parser, or a certificate's, may raise anything
            raise CannotStart(
                f"--listen={endpoint}: cannot be understood ({type(error).__name__}: {error}); "
                "write a Twisted endpoint as in tcp:8080:interface=127.0.0.1"
            ) from None
    TimerService(interval_for(options["session-ttl"]), sweep.once).setServiceParent(daemon)
    return daemon


def _anchored_now(offset: float) -> float:
    return offset + time.monotonic()
