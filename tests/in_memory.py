"""An exchange without sockets or threads, and treq as its client."""

from __future__ import annotations

from base64 import b64encode
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from records import make_catalog
from treq.client import HTTPClient
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from onec_twisted.auth.access import Access, NodeRealm
from onec_twisted.auth.sessions import COOKIE, Sessions
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.registry import Registry
from onec_twisted.delivery.archives import Archives
from onec_twisted.delivery.handoffs import Handoffs, HandoffSettings
from onec_twisted.delivery.keep import Keep
from onec_twisted.delivery.relay import Relay
from onec_twisted.exchange.protocol import failure, failure_with_200
from onec_twisted.exchange.resource import Exchange
from onec_twisted.exchange.resource import Settings as ExchangeSettings
from onec_twisted.http.connections import Connections
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
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage.local import Store
from onec_twisted.testing import Bytes, FakeBody, FaultyStore, Pipe, examine_inline, inline
from onec_twisted.tus.origins import Origins
from onec_twisted.tus.resource import Tus

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog.catalog import Catalog


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.task import Clock

    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.http.answer import Answer
    from onec_twisted.model.errors import Refused
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.directory import Directory

NOW = 1_800_000_000.0
USER, PASSWORD = "shop", "secret"
PATH = "/1c_exchange.php"
TUS_PATH = "/files"
ORIGIN = b"https://shop.example"
HANDOFF = HandoffSettings()
BODY_LIMIT = 5000
SESSION_QUOTA = 20_000
MIN_FREE = 1000


@frozen
class Settings:
    """What a test chooses."""

    file_limit: int = 1000
    session_ttl: float = 3600
    zipped: bool = True
    sessid_required: bool = True
    always_ok: bool = False
    lock_timeout: float = 30.0
    sessions_per_user: int = 0


SETTINGS = Settings()


@frozen
class Parts:
    """What an exchange is made of."""

    access: Access
    sessions: Sessions
    catalog: Catalog
    store: FaultyStore
    locks: FileLocks
    ingest: Ingest
    pieces: Pieces
    workers: Workers
    handoffs: Handoffs
    relay: Relay
    now: Callable[[], float]
    metrics: Metrics


def flush_failures(events: list[dict[str, Any]]) -> list[BaseException]:
    """Take the logged failures out of what a test has left behind, and return them."""
    failures = [event["log_failure"].value for event in events if "log_failure" in event]
    events[:] = [event for event in events if "log_failure" not in event]
    return failures


@define
class Reply:
    """What a client heard."""

    status: int
    body: bytes
    headers: dict[str, str] = field(factory=dict)


@define(eq=False)
class InMemory:
    """An exchange without sockets or threads, its files under ``folder``; time is ``clock``."""

    folder: Path
    clock: Clock
    settings: Settings
    store: FaultyStore
    catalog: Catalog
    parts: Parts
    site: ExchangeSite
    pipe: Pipe
    client: HTTPClient

    def request(self, method: str, query: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request through treq, and return what comes back."""
        waiting = self.send(method, query, body, **headers)
        return self.reply(waiting)

    def send(self, method: str, query: str, body: bytes = b"", **headers: str) -> Deferred[Any]:
        """Send a request through treq, and do not wait."""
        waiting = self.client.request(
            method,
            f"http://shop.example{PATH}?{query}",
            headers=Headers({name.replace("_", "-"): [value] for name, value in headers.items()}),
            data=Bytes(body) if body or method == "POST" else None,
        )
        self.pipe.flush()
        return waiting

    def reply(self, waiting: Deferred[Any]) -> Reply:
        """Return the answer to a request that has been sent."""
        answers: list[Any] = []
        waiting.addBoth(answers.append)
        self.pipe.flush()
        (response,) = answers
        bodies: list[Any] = []
        response.content().addBoth(bodies.append)
        self.pipe.flush()
        raw = response.headers.getAllRawHeaders()
        headers = {name.decode().lower(): values[0].decode() for name, values in raw}
        return Reply(response.code, bodies[0], headers)

    def checkauth(self, kind: str = "catalog", user: str = USER) -> tuple[str, str]:
        """Log in; return the cookie and the sessid."""
        reply = self.request("GET", f"type={kind}&mode=checkauth", Authorization=basic(user, PASSWORD))
        lines = reply.body.decode().split("\n")
        assert lines[0] == "success", reply
        assert lines[1] == COOKIE
        return f"{lines[1]}={lines[2]}", lines[3].removeprefix("sessid=")

    def metric(self, name: str, **labels: str) -> float:
        """Return what is counted under a name."""
        value = self.parts.metrics.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def files(self) -> dict[str, bytes]:
        """Return every file of every session, by its path below ``1c_temp``."""
        temp = self.folder / "1c_temp"
        found = (path for path in temp.rglob("*") if path.is_file() and path.parent != temp)
        return {path.relative_to(temp).as_posix(): path.read_bytes() for path in found}


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    """Return an Authorization header."""
    return "Basic " + b64encode(f"{user}:{password}".encode(encoding)).decode("ascii")


def server_of(
    clock: Clock,
    limits: Limits | None = None,
    connections: Connections | None = None,
    metrics: Metrics | None = None,
    wording: Callable[[Refused], Answer] = failure,
) -> Server:
    """Return what the connections of a site share."""
    metrics = metrics or Metrics(clock.seconds)
    refusals = Refusals(metrics, wording)
    return Server(clock, limits or Limits(), connections or Connections(), metrics, refusals)


def make_in_memory(
    folder: Path,
    clock: Clock,
    workers: Workers = inline,
    body_limit: int = BODY_LIMIT,
    session_quota: int = SESSION_QUOTA,
    intake: str = "auto",
    importer: IImporter | None = None,
    orders: Orders | None = None,
    handoff: HandoffSettings = HANDOFF,
    limits: Limits | None = None,
    connections: Connections | None = None,
    most_uploads: int = 0,
    examine: Callable[[int, int], Deferred[Directory]] | None = None,
    **changes: Any,
) -> InMemory:
    """Put an exchange together as ``tap`` does, with ``SETTINGS`` and changes to them, and these ``workers``."""
    settings = evolve(SETTINGS, **changes)
    real = Store(folder)
    real.prepare()
    create_catalog(real.database)
    store = FaultyStore(real, free_bytes=1_000_000)
    checker = InMemoryUsernamePasswordDatabaseDontUse(shop=PASSWORD.encode(), other=PASSWORD.encode())
    metrics = Metrics(clock.seconds)
    catalog = make_catalog(real.database, inline, metrics=metrics)
    locks = FileLocks(clock, lock_timeout=30)
    space = Space(lambda: inline(store.free), clock.seconds, MIN_FREE, session_quota)
    relay = Relay(
        3,
        catalog.files,
        catalog.handoffs,
        store,
        importer or Keep(inline),
        clock.seconds,
        clock,
        metrics,
        lambda: 1.0,
    )
    archives = Archives(store, inline, clock, examine or examine_inline)
    handoffs = Handoffs(
        handoff, catalog.files, catalog.handoffs, store, locks, inline, archives, relay, clock.seconds, clock.seconds
    )
    ingest = Ingest(
        sessions=catalog.sessions,
        files=catalog.files,
        store=store,
        locks=locks,
        space=space,
        transfers=Transfers(clock.seconds, most_uploads),
        workers=workers,
        writer=WRITERS[intake],
        metrics=metrics,
        now=clock.seconds,
        logs_each=True,
    )
    pieces = Pieces(ingest, Proofs(catalog.files, clock), body_limit, session_quota)
    sessions = Sessions(
        records=catalog.sessions,
        now=clock.seconds,
        is_busy=locks.busy,
        ttl=settings.session_ttl,
        sessid_required=settings.sessid_required,
        most=settings.sessions_per_user,
    )
    access = Access(Portal(NodeRealm(), [checker]), clock)
    exchange = Exchange(
        ExchangeSettings(settings.file_limit, settings.zipped, settings.always_ok, settings.lock_timeout),
        access=access,
        sessions=sessions,
        ingest=ingest,
        pieces=pieces,
        handoffs=handoffs,
        relay=relay,
        errands=workers,
        orders=orders,
    )
    relay.startService()
    registry = Registry(catalog.recorder, session_quota)
    tus = Tus(
        TUS_PATH.encode(),
        access=access,
        sessions=sessions,
        ingest=ingest,
        relay=relay,
        registry=registry,
        chunks=Chunks(
            ingest=ingest,
            registry=registry,
            handoffs=handoffs,
            relay=relay,
            errands=workers,
            session_ttl=settings.session_ttl,
        ),
        origins=Origins(frozenset({ORIGIN})),
        lock_timeout=settings.lock_timeout,
    )
    parts = Parts(
        access,
        sessions,
        catalog,
        store,
        locks,
        ingest,
        pieces,
        workers,
        handoffs,
        relay,
        clock.seconds,
        metrics,
    )
    resources = {PATH.encode(): exchange, TUS_PATH.encode(): tus}
    wording = failure_with_200 if settings.always_ok else failure
    server = server_of(clock, limits, connections, metrics, wording)
    site = ExchangeSite(tree(resources, server.refusals), server)
    pipe = Pipe(site)
    agent = Agent.usingEndpointFactory(clock, pipe, pool=HTTPConnectionPool(clock, persistent=False))
    # a node sends only the cookies that it was told to
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    client = HTTPClient(
        agent,
        cookiejar=no_cookies,  # type: ignore[arg-type]  # its types know of treq's own jar only
        data_to_body_producer=lambda body: body,
    )
    return InMemory(folder, clock, settings, store, catalog, parts, site, pipe, client)


def occupied(exchange: InMemory, session: tuple[str, str]) -> Deferred[None]:
    """Write the file ``a`` until the Deferred is fired."""
    over: Deferred[None] = Deferred()

    async def occupy() -> None:
        async with exchange.parts.locks.of_file(session[1], "a", FakeBody()):
            await over

    Deferred.fromCoroutine(occupy())
    return over
