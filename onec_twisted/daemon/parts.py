"""The front doors and the parts behind them, the same for a real daemon and for one in memory."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from onec_twisted.auth.access import Access
from onec_twisted.auth.sessions import Sessions
from onec_twisted.auth.shard import Shard
from onec_twisted.catalog.refused import RefusedRequests
from onec_twisted.catalog.registry import Registry
from onec_twisted.delivery.archives import Archives
from onec_twisted.delivery.checking import Checking
from onec_twisted.delivery.handoffs import Handoffs, HandoffSettings
from onec_twisted.delivery.preparation import Preparation
from onec_twisted.delivery.relay import Relay
from onec_twisted.exchange.protocol import failure, failure_with_200
from onec_twisted.exchange.resource import Exchange, Settings
from onec_twisted.exchange.texts import LANGUAGES
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
from onec_twisted.tus.origins import Origins
from onec_twisted.tus.resource import Tus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.defer import Deferred
    from twisted.web.resource import Resource

    from onec_twisted.catalog.catalog import Catalog
    from onec_twisted.daemon.config import Config
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.ingest.received import ReceivedFiles
    from onec_twisted.model.document import Document
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.directory import Directory
    from onec_twisted.storage.gathering import Job
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Means", "Parts", "make_parts", "make_site"]


@frozen(eq=False, kw_only=True)
class Means:
    """The means that the parts use; tests replace them.

    ``now`` returns seconds since 1970, ``seconds`` those of a monotonic clock; ``workers`` wait for the disk,
    ``errands`` for long operations. ``free`` returns the free bytes of the disk, ``examine`` reads an archive,
    ``prepare`` unpacks some, ``check`` reads documents, ``chance`` returns a number from 0 to 1.
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
    importer: IImporter
    orders: Orders | None
    examine: Callable[[int, int], Deferred[Directory]]
    prepare: Callable[[int, Job, Callable[[dict[str, Any]], None]], Awaitable[int]]
    check: Callable[[int, list[tuple[str, int]]], Awaitable[tuple[list[Document], str]]]
    chance: Callable[[], float] = random.random


@frozen(eq=False, kw_only=True)
class Parts:
    """The parts behind every front door."""

    locks: FileLocks
    ingest: Ingest
    proofs: Proofs
    pieces: Pieces
    archives: Archives
    relay: Relay
    handoffs: Handoffs
    access: Access
    sessions: Sessions
    refused: RefusedRequests
    received: ReceivedFiles


def make_parts(config: Config, means: Means) -> Parts:
    """Put together the parts behind every front door."""
    clock, store, catalog = means.reactor, means.store, means.catalog
    locks = FileLocks(clock, config.lock_timeout)
    ingest = Ingest(
        sessions=catalog.sessions,
        files=catalog.files,
        store=store,
        locks=locks,
        space=Space(means.free, means.seconds, config.min_free, config.session_quota),
        transfers=Transfers(means.seconds, config.max_uploads),
        workers=means.workers,
        writer=WRITERS[config.intake],
        metrics=means.metrics,
        now=means.now,
        logs_each=config.access_log,
    )
    proofs = Proofs(catalog.files, clock)
    pieces = Pieces(ingest, proofs, config.body_limit, config.session_quota)
    archives = Archives(store, means.workers, clock, means.examine)
    relay = Relay(
        most_tries=config.import_tries,
        files=catalog.files,
        records=catalog.handoffs,
        prepare=_preparation(config, means, ingest.space),
        importer=means.importer,
        now=means.now,
        clock=clock,
        metrics=means.metrics,
        chance=means.chance,
    )
    return Parts(
        locks=locks,
        ingest=ingest,
        proofs=proofs,
        pieces=pieces,
        received=pieces.received,
        archives=archives,
        relay=relay,
        handoffs=Handoffs(
            settings=HandoffSettings(config.import_hold, config.settle, config.durability == "handoff"),
            files=catalog.files,
            records=catalog.handoffs,
            store=store,
            locks=locks,
            workers=means.errands,
            archives=archives,
            relay=relay,
            now=means.now,
            seconds=clock.seconds,
        ),
        access=Access.by(config.auth, clock),
        sessions=_sessions(config, means, locks),
        refused=RefusedRequests(catalog.journal, means.now),
    )


def _sessions(config: Config, means: Means, locks: FileLocks) -> Sessions:
    """Return what opens and finds sessions."""
    return Sessions(
        records=means.catalog.sessions,
        shard=Shard(config.shard, means.seconds),
        now=means.now,
        is_busy=locks.busy,
        ttl=config.session_ttl,
        sessid_required=config.sessid == "required",
        most=config.sessions_per_user,
    )


def _preparation(config: Config, means: Means, space: Space) -> Checking:
    """Return what makes hand-offs ready for the importer."""
    unpacking = Preparation(
        limits=config.unpack_limits,
        files=means.catalog.files,
        records=means.catalog.handoffs,
        store=means.store,
        space=space,
        workers=means.errands,
        prepare=means.prepare,
    )
    return Checking(
        is_on=config.check_documents,
        prepare=unpacking,
        records=means.catalog.handoffs,
        workers=means.errands,
        check=means.check,
        metrics=means.metrics,
    )


def make_site(config: Config, means: Means, parts: Parts) -> ExchangeSite:
    """Put the front doors in front of the parts."""
    exchange = Exchange(
        Settings(
            file_limit=config.file_limit,
            zipped=config.zip,
            always_ok=config.always_ok,
            lock_timeout=config.lock_timeout,
            translate=LANGUAGES[config.language],
        ),
        access=parts.access,
        sessions=parts.sessions,
        ingest=parts.ingest,
        pieces=parts.pieces,
        handoffs=parts.handoffs,
        relay=parts.relay,
        errands=means.errands,
        orders=means.orders,
        note_refusal=parts.refused.note,
    )
    resources: dict[bytes, Resource] = {path.encode("ascii"): exchange for path in config.path}
    if config.tus_path is not None:
        path = config.tus_path.rstrip("/").encode("ascii")
        resources[path] = _tus(path, config, means, parts)
    wording = partial(failure_with_200 if config.always_ok else failure, translate=LANGUAGES[config.language])
    refusals = Refusals(means.metrics, wording, parts.refused.note)
    server = Server(
        means.reactor,
        Limits(config.header_timeout, config.min_rate, config.idle_timeout),
        Connections(config.connections_per_address, TrustedProxies.of(config.trusted_proxy)),
        means.metrics,
        refusals,
    )
    root = tree(resources, refusals, server.seldom, ", ".join(config.path))
    return ExchangeSite(root, server, access_log=config.access_log)


def _tus(path: bytes, config: Config, means: Means, parts: Parts) -> Tus:
    """Return the resource for tus uploads at a path."""
    registry = Registry(means.catalog.recorder, config.session_quota, config.sessions_per_user)
    return Tus(
        path,
        access=parts.access,
        sessions=parts.sessions,
        ingest=parts.ingest,
        relay=parts.relay,
        registry=registry,
        chunks=Chunks(
            ingest=parts.ingest,
            registry=registry,
            handoffs=parts.handoffs,
            relay=parts.relay,
            errands=means.errands,
            session_ttl=config.session_ttl,
        ),
        origins=Origins(frozenset(config.cors_origin), config.cors_header),
        lock_timeout=config.lock_timeout,
        note_refusal=parts.refused.note,
    )
