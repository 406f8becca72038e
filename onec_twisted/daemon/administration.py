"""Adds what administrators look at, and what tells them, to a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.internet import TimerService

from onec_twisted import __version__
from onec_twisted.auth.access import Access
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.in_force import in_force, of_shop
from onec_twisted.daemon.listening import listening, warn_of_strangers
from onec_twisted.delivery.peeking import Peeker
from onec_twisted.exchange.texts import LANGUAGES
from onec_twisted.http.connections import Connections
from onec_twisted.model.shops import ShopView

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.admin.family import Chosen
    from onec_twisted.admin.notifying import Audience, Notifying
    from onec_twisted.admin.status import Observed
    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.listening import Certificate
    from onec_twisted.daemon.reloading import Reload
    from onec_twisted.daemon.service import ExchangeService

__all__ = ["Notices", "add_admin", "chosen"]

PEEK_TIMEOUT = 20.0
"""Most seconds for listing an archive to a person who waits."""


def chosen(config: Config) -> Chosen:
    """Return what pages show of the settings."""
    from onec_twisted.admin.family import Chosen

    return Chosen(
        settings=in_force(config),
        expect_every=config.expect_every,
        shops=[ShopView(shop.name, shop.config.shop_quota, of_shop(shop)) for shop in config.shops],
    )


def _observed(reload: Reload) -> Observed:
    """Return the parts that are observed."""
    from onec_twisted.admin.status import Observed

    means, parts = reload.means, reload.parts
    return Observed(
        recorder=means.catalog.recorder,
        files=means.catalog.files,
        journal=means.catalog.journal,
        store=means.store,
        relay=parts.relay,
        transfers=parts.ingest.transfers,
        server=reload.site.server,
        metrics=means.metrics,
        workers=means.workers,
        min_free=lambda: parts.ingest.space.min_free,
        now=means.now,
        seconds=means.seconds,
        clock=means.reactor,
        everybody=means.everybody,
    )


class Notices:
    """Lets those know who want to when something is wrong: with all shops, or with their own."""

    def __init__(self, daemon: ExchangeService, reload: Reload) -> None:
        """Tell nobody yet."""
        self._daemon = daemon
        self._reload = reload
        self._notifying: Notifying | None = None

    def follow(self, config: Config) -> Callable[[], None]:
        """Return what lets settings say who is told. Raises ``CannotStart``."""
        audiences = [self._audience(name, settings) for name, settings in config.named_shops() if settings.notify]

        def go_on() -> None:
            if audiences and self._notifying is None:
                self._notifying = self._begin()
            if self._notifying is not None:
                self._notifying.address(audiences)

        return go_on

    def _audience(self, shop: str, config: Config) -> Audience:
        from onec_twisted.admin.notices import Subjects
        from onec_twisted.admin.notifying import Audience, Outbox
        from onec_twisted.delivery.notifiers import make_notifier

        clock, secret, outboxes = self._reload.means.reactor, config.import_secret or b"", []
        for description in config.notify:
            try:
                outboxes.append(Outbox(make_notifier(clock, description, secret), clock))
            except ValueError as error:
                raise CannotStart(f"--notify={description}: {error}") from None
        subjects = Subjects(config.language, LANGUAGES[config.language])
        return Audience(shop, (config.notify, secret, config.language), subjects, outboxes)

    def _begin(self) -> Notifying:
        """Look at the verdict from now on."""
        from onec_twisted.admin.family import Family
        from onec_twisted.admin.health import HealthCheck
        from onec_twisted.admin.notifying import NOTICES_INTERVAL, Notifying

        reload, means = self._reload, self._reload.means
        observed = _observed(reload)
        family = Family(
            observed=observed,
            health=HealthCheck(observed, reload.parts.locks),
            chosen=lambda: chosen(reload.in_force.config),
            version=__version__,
            can_read=False,
            peek=Peeker(means.reactor, PEEK_TIMEOUT),
        )
        notifying = Notifying(family.verdict, means.now, means.is_first)
        timer = TimerService(NOTICES_INTERVAL, notifying.once)
        timer.clock = means.reactor
        timer.setServiceParent(self._daemon)
        return notifying


def add_admin(daemon: ExchangeService, endpoint: str, reload: Reload, certificates: list[Certificate]) -> None:
    """Add the administrator's site to the daemon. Raises ``CannotStart``."""
    # Imported here, so that a daemon without it starts faster
    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.door import MOST_CONNECTIONS
    from onec_twisted.admin.gauges import Gauges, LagMeter
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.site import AdminParts, AdminSite

    means, parts, site, config = reload.means, reload.parts, reload.site, reload.in_force.config
    reactor, store, catalog, checkers = means.reactor, means.store, means.catalog, config.admin_auth
    observed = _observed(reload)
    health = HealthCheck(observed, parts.locks)
    admin = AdminParts(
        observed=observed,
        health=health,
        gauges=Gauges(observed, health, lambda: {one.endpoint: one.expires() for one in certificates}),
        actions=Actions(
            sessions=catalog.sessions,
            records=catalog.handoffs,
            journal=catalog.journal,
            store=store,
            locks=parts.locks,
            handoffs=parts.handoffs,
            relay=parts.relay,
            proofs=parts.proofs,
            workers=means.errands,
        ),
        access=Access.by(checkers, reactor, most=MOST_CONNECTIONS // 2) if checkers else None,
        note_refusal=parts.refused.note,
        chosen=lambda: chosen(reload.in_force.config),
        reload=reload,
        peek=Peeker(reactor, PEEK_TIMEOUT),
    )
    connections = Connections(config.connections_per_address, site.server.connections.trusted)
    admin_site = AdminSite(admin, reactor, site.server.limits, connections)
    on_listening = None if checkers and endpoint.startswith("ssl:") else warn_of_strangers
    listening("admin", endpoint, admin_site, reactor, certificates, on_listening).setServiceParent(daemon)
    LagMeter(means.metrics.reactor_lag, reactor).setServiceParent(daemon)
