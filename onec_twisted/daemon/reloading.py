"""Reads the settings again while the daemon runs: what can change without a restart does, or nothing at all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from onec_twisted.daemon.checkers import described, indexed, kept_checkers
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.doors import make_root, server_refusals
from onec_twisted.daemon.in_force import OPTIONS
from onec_twisted.daemon.membership import membership_of
from onec_twisted.daemon.parts import destinations_of, quotas_of
from onec_twisted.model.reloaded import NotReloaded, Reloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.membership import Membership
    from onec_twisted.daemon.parts import Means, Parts
    from onec_twisted.http.site import ExchangeSite

__all__ = ["NEED_RESTART", "InForce", "Reload"]

NEED_RESTART = frozenset(
    {
        *("media-root", "listen", "trusted-proxy", "shard", "admin", "admin-auth"),
        *("catalog", "store", "store-credentials", "name"),
        *("connections-per-address", "header-timeout", "idle-timeout", "min-rate", "lock-timeout", "session-ttl"),
        *("durability", "intake", "access-log", "log-format"),
    }
)
"""Options that stay as they were until the daemon is started again."""


@define(eq=False)
class InForce:
    """What a reload replaces: the settings, and who the users are."""

    config: Config
    membership: Membership


def _value(config: Config, name: str) -> Any:
    """Return an option's value; of checkers what they go by."""
    value = getattr(config, name.replace("-", "_"))
    return described(value) if name in ("auth", "admin-auth") else value


def _tables(config: Config) -> dict[str, Any]:
    """Return what the tables of shops say, by name."""
    return {
        f"shops.{shop.name}": (shop.users, {name: _value(shop.config, name) for name in shop.own - {"users"}})
        for shop in config.shops
    }


def _changed(old: Config, new: Config) -> tuple[str, ...]:
    """Return what is different, by name."""
    before, after = _tables(old), _tables(new)
    tables = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (*(name for name in OPTIONS if _value(old, name) != _value(new, name)), *tables)


def _with_checkers_of(old: Config, new: Config) -> Config:
    """Return new settings with those checkers of the old ones that are still meant: they know verified passwords."""
    known = indexed([checker for _, config in old.named_shops() for checker in config.auth])
    auth = kept_checkers(known, new.auth)
    shops = [
        evolve(
            shop,
            config=evolve(shop.config, auth=kept_checkers(known, shop.config.auth) if shop.has_own_auth else auth),
        )
        for shop in new.shops
    ]
    return evolve(new, auth=auth, shops=shops)


def _as_before(old: Config, new: Config, names: Sequence[str]) -> Config:
    """Return new settings in which some options are as they were, for every shop."""
    kept = {name: getattr(old, name) for name in (option.replace("-", "_") for option in names)}
    shops = [evolve(shop, config=evolve(shop.config, **kept)) for shop in new.shops]
    return evolve(new, shops=shops, **kept)


@define(eq=False, kw_only=True)
class Reload:
    """Reloads; ``again`` reads the settings again. It blocks, and raises ``CannotStart`` if anything is wrong.

    ``followers`` are called with the new settings before anything changes, and raise ``CannotStart`` if they cannot
    follow; each returns what puts them into force.
    """

    again: Callable[[], Config]
    in_force: InForce
    means: Means
    parts: Parts
    site: ExchangeSite
    followers: list[Callable[[Config], Callable[[], Any]]] = field(factory=list)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Reload, and log what came of it."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            await self()
        except NotReloaded:
            return  # already logged
        except Exception:
            self._log.failure("the settings could not be reloaded; nothing has changed")

    async def __call__(self) -> Reloaded:
        """Reload. Uploads in flight go on as they began. Raises ``NotReloaded``."""
        async with self._turn:
            try:
                return await self._reload()
            except CannotStart as cannot:
                reason = str(cannot).removeprefix("onec-exchange: ")
                self._log.error("the settings were not reloaded, and nothing has changed: {reason}", reason=reason)
                raise NotReloaded(reason) from None

    async def _reload(self) -> Reloaded:
        old, means = self.in_force.config, self.means
        read = await means.errands(self.again)
        stays = tuple(name for name in sorted(NEED_RESTART) if _value(old, name) != _value(read, name))
        new = _as_before(old, _with_checkers_of(old, read), sorted(NEED_RESTART))
        beside = self.in_force.membership.common
        membership = await means.errands(partial(membership_of, new, means.reactor, beside))
        destinations = destinations_of(new, means)
        root = make_root(new, membership, means, self.parts, self.site.server)
        following = [follow(new) for follow in self.followers]
        changed = _changed(old, new)
        self._put(new, membership)
        self.parts.destinations.shops = destinations
        self.site.resource = root
        relay = self.parts.relay
        relay.resume_shops({shop.name for shop in new.shops} - {shop.name for shop in old.shops})
        for go_on in following:
            go_on()
        self._say(changed, stays)
        return Reloaded(changed, stays)

    def _put(self, new: Config, membership: Membership) -> None:
        """Put the values into force that parts keep."""
        parts = self.parts
        ingest = parts.ingest
        self.in_force.config, self.in_force.membership = new, membership
        self.site.server.refusals = server_refusals(new, self.means, parts)
        ingest.space.min_free = new.min_free
        parts.sharing.among_shops = bool(new.shops)
        ingest.shop_rooms.set_quotas(quotas_of(new))
        ingest.transfers.allow(new.max_uploads)
        parts.handoffs.settings = evolve(parts.handoffs.settings, hold=new.import_hold)
        parts.relay.tries.most = new.import_tries
        metrics = self.means.metrics
        metrics.name_shops([shop.name for shop in new.shops])

    def _say(self, changed: Sequence[str], stays: Sequence[str]) -> None:
        """Log what has changed, and what has not."""
        if changed:
            self._log.info("settings reloaded: {changed}", changed=", ".join(changed))
        else:
            self._log.info("settings reloaded: nothing has changed but what files of users and certificates say")
        for name in stays:
            self._log.warn("--{option} has changed, but that needs a restart: it stays as it was", option=name)
