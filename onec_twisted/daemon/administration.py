"""Adds what administrators look at, and what tells them, to a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.internet import TimerService

from onec_twisted import __version__
from onec_twisted.auth.access import Access
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.in_force import in_force
from onec_twisted.daemon.listening import listening, warn_of_strangers
from onec_twisted.delivery.peeking import Peeker
from onec_twisted.exchange.texts import LANGUAGES
from onec_twisted.http.connections import Connections

if TYPE_CHECKING:
    from onec_twisted.admin.status import Observed
    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.listening import Certificate
    from onec_twisted.daemon.parts import Means, Parts
    from onec_twisted.daemon.service import ExchangeService
    from onec_twisted.http.site import ExchangeSite

__all__ = ["add_admin", "add_notices"]

PEEK_TIMEOUT = 20.0
"""Most seconds for listing an archive to a person who waits."""


def _observed(config: Config, means: Means, parts: Parts, site: ExchangeSite) -> Observed:
    """Return the parts that are observed."""
    from onec_twisted.admin.status import Observed

    return Observed(
        recorder=means.catalog.recorder,
        files=means.catalog.files,
        journal=means.catalog.journal,
        store=means.store,
        relay=parts.relay,
        transfers=parts.ingest.transfers,
        server=site.server,
        metrics=means.metrics,
        workers=means.workers,
        min_free=config.min_free,
        now=means.now,
        seconds=means.seconds,
        clock=means.reactor,
    )


def add_notices(daemon: ExchangeService, config: Config, means: Means, parts: Parts, site: ExchangeSite) -> None:
    """Let those know who want to when something is wrong. Raises ``CannotStart``."""
    from onec_twisted.admin.family import Family
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.notices import Subjects
    from onec_twisted.admin.notifying import NOTICES_INTERVAL, Notifying, Outbox
    from onec_twisted.delivery.notifiers import make_notifier

    outboxes = []
    for description in config.notify:
        try:
            notifier = make_notifier(means.reactor, description, config.import_secret or b"")
        except ValueError as error:
            raise CannotStart(f"--notify={description}: {error}") from None
        outboxes.append(Outbox(notifier, means.reactor))
    observed = _observed(config, means, parts, site)
    family = Family(
        observed=observed,
        health=HealthCheck(observed, parts.locks),
        settings=(),
        version=__version__,
        can_read=False,
        peek=Peeker(means.reactor, PEEK_TIMEOUT),
        expect_every=config.expect_every,
        shops=lambda: (),
    )
    notifying = Notifying(family.verdict, Subjects(config.language, LANGUAGES[config.language]), outboxes, means.now)
    timer = TimerService(NOTICES_INTERVAL, notifying.once)
    timer.clock = means.reactor
    timer.setServiceParent(daemon)


def add_admin(
    daemon: ExchangeService,
    endpoint: str,
    config: Config,
    means: Means,
    parts: Parts,
    site: ExchangeSite,
    certificates: list[Certificate],
) -> None:
    """Add the administrator's site to the daemon. Raises ``CannotStart``."""
    # Imported here, so that a daemon without it starts faster
    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.door import MOST_CONNECTIONS
    from onec_twisted.admin.gauges import Gauges, LagMeter
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.site import AdminParts, AdminSite

    reactor, store, catalog, checkers = means.reactor, means.store, means.catalog, config.admin_auth
    observed = _observed(config, means, parts, site)
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
        settings=in_force(config),
        expect_every=config.expect_every,
        shops=lambda: (),
        peek=Peeker(reactor, PEEK_TIMEOUT),
    )
    connections = Connections(config.connections_per_address, site.server.connections.trusted)
    admin_site = AdminSite(admin, reactor, site.server.limits, connections)
    on_listening = None if checkers and endpoint.startswith("ssl:") else warn_of_strangers
    listening("admin", endpoint, admin_site, reactor, certificates, on_listening).setServiceParent(daemon)
    LagMeter(means.metrics.reactor_lag, reactor).setServiceParent(daemon)
