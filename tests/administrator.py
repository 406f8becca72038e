"""An administrator of an exchange in memory, who asks for pages and presses buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from attrs import define, field
from in_memory import InMemory, Reply
from line import Line
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred

from onec_twisted.admin.actions import Actions
from onec_twisted.admin.family import Chosen
from onec_twisted.admin.gauges import Gauges
from onec_twisted.admin.health import HealthCheck
from onec_twisted.admin.site import AdminParts, AdminSite
from onec_twisted.admin.status import Observed
from onec_twisted.auth.access import Access, NodeRealm
from onec_twisted.delivery.peeking import Peeked
from onec_twisted.http.connections import Connections
from onec_twisted.http.server import Limits
from onec_twisted.model.reloaded import NotReloaded, Reloaded
from onec_twisted.storage.archive import ArchiveDamaged, Held, listed
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from in_memory import InMemory

    from onec_twisted.model.shops import ShopView
    from onec_twisted.runtime.workers import Workers

MIN_FREE = 1000


def observed(exchange: InMemory, workers: Workers | None = None) -> Observed:
    """Return an exchange as the administrator's parts look at it."""
    means, parts = exchange.means, exchange.parts
    return Observed(
        recorder=means.catalog.recorder,
        files=means.catalog.files,
        journal=means.catalog.journal,
        store=means.store,
        relay=parts.relay,
        transfers=parts.ingest.transfers,
        server=exchange.site.server,
        metrics=means.metrics,
        workers=workers or means.workers,
        min_free=lambda: MIN_FREE,
        now=exchange.clock.seconds,
        seconds=exchange.clock.seconds,
        clock=exchange.clock,
    )


def actions(exchange: InMemory) -> Actions:
    """Return what may be done to an exchange."""
    means, parts = exchange.means, exchange.parts
    return Actions(
        sessions=means.catalog.sessions,
        records=means.catalog.handoffs,
        journal=means.catalog.journal,
        store=means.store,
        locks=parts.locks,
        handoffs=parts.handoffs,
        relay=parts.relay,
        proofs=parts.proofs,
        workers=means.workers,
    )


def peek_inline(fd: int, size: int) -> Deferred[Peeked]:
    """List an archive immediately, without a process; see ``Peeker``."""

    def look() -> Peeked:
        try:
            return Peeked(tuple((one.names()[0], one.size or 0) for one in listed(Held(fd, size))), 0, "")
        except ArchiveDamaged as damaged:
            return Peeked((), 0, str(damaged))

    return maybeDeferred(look)


@define(eq=False)
class Administrator:
    """Asks an exchange's status page; with ``passwords`` it has a lock."""

    exchange: InMemory
    passwords: dict[str, bytes] = field(factory=dict)
    address: str = "127.0.0.1"
    expiries: dict[str, float] = field(factory=dict)
    shops: list[ShopView] = field(factory=list)
    reloaded: Reloaded | NotReloaded = field(factory=lambda: Reloaded((), ()))
    """What comes of a reload."""
    looked_at: Observed = field(init=False)
    site: AdminSite = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put the site together."""
        self.looked_at = looked_at = observed(self.exchange)
        checker = InMemoryUsernamePasswordDatabaseDontUse(**self.passwords)
        access = Access(Portal(NodeRealm(), [checker]), self.exchange.clock) if self.passwords else None
        health = HealthCheck(looked_at, self.exchange.parts.locks)
        gauges = Gauges(looked_at, health, lambda: self.expiries)
        parts = AdminParts(
            observed=looked_at,
            health=health,
            gauges=gauges,
            actions=actions(self.exchange),
            access=access,
            chosen=lambda: Chosen(settings=(("--importer", "keep"),), shops=self.shops),
            reload=self.reloads,
            peek=peek_inline,
            note_refusal=lambda _: None,
        )
        self.site = AdminSite(parts, self.exchange.clock, Limits(), Connections())

    async def reloads(self) -> Reloaded:
        """Reload, or not."""
        if isinstance(self.reloaded, NotReloaded):
            raise self.reloaded
        return self.reloaded

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Reply:
        """Send a request, and return the answer."""
        head = {"Host": "127.0.0.1:9090", "Content_Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in head.items())]
        line = Line(self.site, self.address)
        answer = line.send("\r\n".join([*lines, "", body]).encode())
        line.lose()
        first, _, rest = answer.partition(b"\r\n")
        told, _, content = rest.partition(b"\r\n\r\n")
        pairs = (one.decode().split(": ", 1) for one in told.split(b"\r\n"))
        return Reply(int(first.split()[1]), content, {name.lower(): value for name, value in pairs})

    def page(self, **headers: str) -> str:
        """Return the page."""
        reply = self.ask("/", "GET", **headers)
        assert reply.status == 200, reply
        return reply.body.decode()

    def press(
        self, action: str, token: str | None = None, back: str = "", user: str = "", shop: str = "", **headers: str
    ) -> Reply:
        """Press a button, with the token of a page with buttons, and with the way back."""
        if token is None:
            found = re.search(r'name="token" value="([^"]+)"', self.ask("/sessions").body.decode())
            assert found is not None
            token = found[1]
        headers["Content_Type"] = "application/x-www-form-urlencoded"
        return self.ask(
            action, "POST", urlencode({"token": token, "back": back, "user": user, "shop": shop}), **headers
        )


def waiting(exchange: InMemory, *paths: str) -> tuple[Administrator, LateWorkers, list[Line]]:
    """Ask for pages while the disk does not answer."""
    administrator = Administrator(exchange)
    workers = LateWorkers()
    administrator.looked_at.workers = workers
    lines = [Line(administrator.site, "127.0.0.1") for _ in paths]
    for line, path in zip(lines, paths, strict=True):
        assert line.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()) == b""
    return administrator, workers, lines
