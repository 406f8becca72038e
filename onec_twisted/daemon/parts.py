"""The parts behind the front doors, the same for a real daemon and for one in memory."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from onec_twisted.auth.shard import Shard
from onec_twisted.catalog.refused import RefusedRequests
from onec_twisted.delivery.archives import Archives
from onec_twisted.delivery.checking import Checking
from onec_twisted.delivery.destinations import Destination, Destinations
from onec_twisted.delivery.handoffs import Handoffs, HandoffSettings
from onec_twisted.delivery.preparation import Preparation
from onec_twisted.delivery.relay import Relay
from onec_twisted.ingest.daemons import Alone
from onec_twisted.ingest.engine import Ingest
from onec_twisted.ingest.locks import FileLocks
from onec_twisted.ingest.proofs import Proofs
from onec_twisted.ingest.received import ReceivedFiles
from onec_twisted.ingest.shoproom import ShopRooms
from onec_twisted.ingest.space import Space
from onec_twisted.ingest.transfers import Transfers
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.resumable.claims import Claims
from onec_twisted.runtime.fairness import Sharing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred

    from onec_twisted.catalog.catalog import Catalog
    from onec_twisted.daemon.config import Config
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.ingest.daemons import IDaemons
    from onec_twisted.model.daemons import DaemonLine
    from onec_twisted.model.document import Document
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.directory import Directory
    from onec_twisted.storage.gathering import Job
    from onec_twisted.storage.interfaces import IFolders, IStore

__all__ = ["Means", "Parts", "destinations_of", "make_parts", "preparation_of", "quotas_of"]


async def _nobody() -> tuple[DaemonLine, ...]:
    """Return that no other daemon is known."""
    return ()


@frozen(eq=False, kw_only=True)
class Means:
    """The means that the parts use; tests replace them.

    ``now`` returns seconds since 1970, ``seconds`` those of a monotonic clock; ``workers`` wait for the disk,
    ``errands`` for long operations. ``free`` returns the free bytes of the disk, ``examine`` reads an archive,
    ``prepare`` unpacks some, ``check`` reads documents, ``chance`` returns a number from 0 to 1. ``importer_of`` and
    ``orders_of`` return what the settings of a shop choose; they raise ``CannotStart``. ``daemons`` knows of others
    that serve the same sessions, and ``everybody`` returns them, none if there is only this one. ``tell_busy`` takes
    what tells which sessions are in use, ``tell_state`` what tells how this daemon is. ``is_first`` returns whether
    it does what one of them has to do for all. ``make_relay`` replaces the relay, ``timers`` are further calls, each
    after the seconds between two, ``at_end`` those when all has stopped.
    """

    reactor: Any
    now: Callable[[], float]
    seconds: Callable[[], float]
    workers: Workers
    errands: Workers
    metrics: Metrics
    store: IStore
    free: Callable[[], Deferred[int]]
    catalog: Catalog
    importer_of: Callable[[Config], IImporter]
    orders_of: Callable[[Config], Orders | None]
    examine: Callable[[int, int], Deferred[Directory]]
    prepare: Callable[[int, Job, Callable[[dict[str, Any]], None]], Awaitable[int]]
    check: Callable[[int, list[tuple[str, int]]], Awaitable[tuple[list[Document], str]]]
    daemons: IDaemons = field(factory=Alone)
    make_relay: Callable[[Config, Means, Space, Destinations, Sharing], IRelay] | None = None
    tell_busy: Callable[[Callable[[], frozenset[str]]], None] = lambda _: None
    tell_state: Callable[[Callable[[], Mapping[str, Any]]], None] = lambda _: None
    everybody: Callable[[], Awaitable[tuple[DaemonLine, ...]]] = _nobody
    is_first: Callable[[], bool] = lambda: True
    timers: Sequence[tuple[float, Callable[[], Any]]] = ()
    at_end: Sequence[Callable[[], Any]] = ()
    chance: Callable[[], float] = random.random


@frozen(eq=False, kw_only=True)
class Parts:
    """The parts behind every front door."""

    locks: FileLocks
    ingest: Ingest
    proofs: Proofs
    archives: Archives
    relay: IRelay
    handoffs: Handoffs
    destinations: Destinations
    shard: Shard
    claims: Claims
    refused: RefusedRequests
    received: ReceivedFiles
    sharing: Sharing


def make_parts(config: Config, means: Means) -> Parts:
    """Put together the parts behind every front door."""
    clock, store, catalog = means.reactor, means.store, means.catalog
    sharing = Sharing(bool(config.shops))
    locks = FileLocks(clock, config.lock_timeout)
    ingest = _ingest(config, means, locks, sharing)
    proofs = Proofs(catalog.files, clock)
    destinations = Destinations(destinations_of(config, means))
    archives = Archives(store, means.workers, clock, means.examine, sharing)
    make_relay = means.make_relay or _relay
    relay = make_relay(config, means, ingest.space, destinations, sharing)
    means.tell_busy(locks.busy_sessions)
    return Parts(
        locks=locks,
        ingest=ingest,
        proofs=proofs,
        destinations=destinations,
        received=ReceivedFiles(),
        archives=archives,
        relay=relay,
        handoffs=Handoffs(
            settings=HandoffSettings(config.import_hold, config.durability == "handoff"),
            files=catalog.files,
            records=catalog.handoffs,
            store=store,
            locks=locks,
            workers=means.errands,
            archives=archives,
            relay=relay,
            destinations=destinations,
            now=means.now,
            seconds=clock.seconds,
            sharing=sharing,
        ),
        shard=Shard(config.shard, means.seconds),
        claims=Claims(),
        refused=RefusedRequests(catalog.journal, means.now),
        sharing=sharing,
    )


def _relay(config: Config, means: Means, space: Space, destinations: Destinations, sharing: Sharing) -> Relay:
    """Return what delivers the hand-offs of one daemon."""
    return Relay(
        most_tries=config.import_tries,
        files=means.catalog.files,
        records=means.catalog.handoffs,
        prepare=preparation_of(means, means.store, space, sharing),
        destinations=destinations,
        now=means.now,
        clock=means.reactor,
        metrics=means.metrics,
        chance=means.chance,
        sharing=sharing,
    )


def _ingest(config: Config, means: Means, locks: FileLocks, sharing: Sharing) -> Ingest:
    """Return what receives pieces."""
    sessions = means.catalog.sessions
    ingest = Ingest(
        sessions=sessions,
        files=means.catalog.files,
        store=means.store,
        locks=locks,
        space=Space(means.free, means.seconds, config.min_free, sharing),
        shop_rooms=ShopRooms(sessions.held_by, means.seconds),
        transfers=Transfers(means.seconds, config.max_uploads, sharing),
        workers=means.workers,
        writer=WRITERS[config.intake],
        metrics=means.metrics,
        daemons=means.daemons,
        now=means.now,
        logs_each=config.access_log,
    )
    ingest.shop_rooms.set_quotas(quotas_of(config))
    return ingest


def quotas_of(config: Config) -> dict[str, int]:
    """Return what each shop may hold, in bytes, if that is limited."""
    quotas = {name: settings.shop_quota for name, settings in config.named_shops()}
    return {name: quota for name, quota in quotas.items() if quota is not None}


def destinations_of(config: Config, means: Means) -> dict[str, Destination]:
    """Return where the hand-offs of each shop go. Raises ``CannotStart``."""
    return {
        name: Destination(
            importer=means.importer_of(settings),
            unpack_limits=settings.unpack_limits,
            check_documents=settings.check_documents,
            session_quota=settings.session_quota,
            settle=settings.settle,
        )
        for name, settings in config.named_shops()
    }


def preparation_of(means: Means, folders: IFolders, space: Space, sharing: Sharing) -> Checking:
    """Return what makes hand-offs ready for the importer, whose files are in ``folders``."""
    unpacking = Preparation(
        files=means.catalog.files,
        records=means.catalog.handoffs,
        store=folders,
        space=space,
        workers=means.errands,
        prepare=means.prepare,
        sharing=sharing,
    )
    return Checking(
        prepare=unpacking,
        records=means.catalog.handoffs,
        workers=means.errands,
        check=means.check,
        metrics=means.metrics,
        sharing=sharing,
    )
