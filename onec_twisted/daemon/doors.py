"""The front doors: those of each shop, at its own paths or at those that shops share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.auth.sessions import Sessions
from onec_twisted.auth.shared import SharedDoor
from onec_twisted.catalog.registry import Registry
from onec_twisted.exchange.protocol import failure, failure_with_200
from onec_twisted.exchange.resource import Exchange, Settings
from onec_twisted.exchange.texts import LANGUAGES
from onec_twisted.http.connections import Connections, TrustedProxies
from onec_twisted.http.interim import InterimResponses
from onec_twisted.http.refusals import Refusals
from onec_twisted.http.server import Limits, Server
from onec_twisted.http.site import ExchangeSite, tree
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.resumable.chunks import Chunks
from onec_twisted.resumable.door import UploadDoor
from onec_twisted.resumable.origins import Origins
from onec_twisted.resumable.uploads import Uploads
from onec_twisted.rufh.resource import Rufh, discovered
from onec_twisted.tus.resource import Tus

if TYPE_CHECKING:
    from twisted.web.resource import Resource

    from onec_twisted.auth.members import Members
    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.membership import Membership
    from onec_twisted.daemon.parts import Means, Parts

__all__ = ["make_root", "make_site", "server_refusals"]


@frozen(eq=False)
class _Doors:
    """The front doors of one shop; ``uploads`` is None if resumable ones are off."""

    exchange: Exchange
    uploads: UploadDoor | None


def _doors(members: Members, config: Config, means: Means, parts: Parts) -> _Doors:
    """Return the front doors of a shop with these users and settings."""
    note_refusal = parts.refused.of_shop(members.shop)
    sessions = Sessions(
        records=means.catalog.sessions,
        shard=parts.shard,
        now=means.now,
        is_busy=parts.locks.busy,
        ttl=config.session_ttl,
        sessid_required=config.sessid == "required",
        most=config.sessions_per_user,
        shop=members.shop,
    )
    exchange = Exchange(
        Settings(
            file_limit=config.file_limit,
            zipped=config.zip,
            always_ok=config.always_ok,
            lock_timeout=config.lock_timeout,
            translate=LANGUAGES[config.language],
        ),
        members=members,
        sessions=sessions,
        ingest=parts.ingest,
        pieces=Pieces(parts.ingest, parts.proofs, config.body_limit, config.session_quota, parts.received),
        handoffs=parts.handoffs,
        relay=parts.relay,
        errands=means.errands,
        orders=means.orders_of(config),
        note_refusal=note_refusal,
    )
    if config.tus_path is None:
        return _Doors(exchange, None)
    registry = Registry(means.catalog.recorder, config.session_quota, config.sessions_per_user)
    uploads = Uploads(
        path=_bare(config.tus_path),
        members=members,
        sessions=sessions,
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
        claims=parts.claims,
        lock_timeout=config.lock_timeout,
    )
    origins = Origins(frozenset(config.cors_origin), config.cors_header)
    interim = InterimResponses(config.interim_responses)
    door = UploadDoor(
        Tus(uploads, origins, note_refusal),
        Rufh(uploads, origins, interim, note_refusal),
        discovered(config.session_quota),
    )
    return _Doors(exchange, door)


def _bare(path: str) -> bytes:
    return path.rstrip("/").encode("ascii")


def make_root(config: Config, membership: Membership, means: Means, parts: Parts, server: Server) -> Resource:
    """Return all front doors at their paths. Raises ``CannotStart``."""
    doors = {name: _doors(membership.shops[name], settings, means, parts) for name, settings in config.named_shops()}
    sharing = [DEFAULT_SHOP, *(shop.name for shop in config.shops if not shop.has_own_path)]

    def shared(one: dict[str, Exchange] | dict[str, UploadDoor]) -> Resource:
        if len(one) == 1:
            return one[DEFAULT_SHOP]
        return SharedDoor(one, membership.roster, means.catalog.sessions)

    resources: dict[bytes, Resource] = {}
    for path in config.path:
        resources[path.encode("ascii")] = shared({name: doors[name].exchange for name in sharing})
    uploads = {name: door for name in sharing if (door := doors[name].uploads) is not None}
    if config.tus_path is not None:
        resources[_bare(config.tus_path)] = shared(uploads)
    for shop in config.shops:
        own = doors[shop.name]
        for path in shop.config.path if shop.has_own_path else ():
            resources[path.encode("ascii")] = own.exchange
        if shop.has_own_path and own.uploads is not None and shop.config.tus_path is not None:
            resources[_bare(shop.config.tus_path)] = own.uploads
    return tree(resources, server.refusals, server.seldom, ", ".join(config.path))


def server_refusals(config: Config, means: Means, parts: Parts) -> Refusals:
    """Return how requests are refused that reach no door: in the words of the default shop."""
    wording = partial(failure_with_200 if config.always_ok else failure, translate=LANGUAGES[config.language])
    return Refusals(means.metrics, wording, parts.refused.note)


def make_site(config: Config, membership: Membership, means: Means, parts: Parts) -> ExchangeSite:
    """Put the front doors in front of the parts. Raises ``CannotStart``."""
    server = Server(
        means.reactor,
        Limits(config.header_timeout, config.min_rate, config.idle_timeout),
        Connections(config.connections_per_address, TrustedProxies.of(config.trusted_proxy)),
        means.metrics,
        server_refusals(config, means, parts),
    )
    return ExchangeSite(make_root(config, membership, means, parts, server), server, access_log=config.access_log)
