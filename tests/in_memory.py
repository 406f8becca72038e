"""An exchange without sockets or threads, and treq as its client."""

from __future__ import annotations

from base64 import b64encode
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from records import make_catalog
from treq.client import HTTPClient
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.daemon.doors import make_site
from onec_twisted.daemon.membership import membership_of
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.parts import Means, Parts, make_parts
from onec_twisted.delivery.keep import Keep
from onec_twisted.exchange.protocol import failure
from onec_twisted.http.connections import Connections
from onec_twisted.http.refusals import Refusals
from onec_twisted.http.server import Limits, Server
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage.local import Store
from onec_twisted.testing import (
    Bytes,
    FakeBody,
    FaultyStore,
    Pipe,
    check_inline,
    examine_inline,
    inline,
    prepare_inline,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog.catalog import Catalog
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.site import ExchangeSite
    from onec_twisted.model.errors import Refused


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.task import Clock

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.membership import Membership
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.directory import Directory

NOW = 1_800_000_000.0
USER, PASSWORD = "shop", "secret"
PATH = "/1c_exchange.php"
TUS_PATH = "/files"
ORIGIN = b"https://shop.example"
SESSION_QUOTA = 20_000
CHECKER = InMemoryUsernamePasswordDatabaseDontUse(shop=PASSWORD.encode(), other=PASSWORD.encode())


def config_of(*arguments: str) -> Config:
    """Return what a command line makes."""
    options = Options()
    options.parseOptions(["--auth=memory:shop:secret", *arguments])
    return options.config()


CONFIG = evolve(
    config_of(),
    auth=(CHECKER,),
    path=(PATH,),
    tus_path=TUS_PATH,
    cors_origin=(ORIGIN,),
    file_limit=1000,
    body_limit=5000,
    session_quota=SESSION_QUOTA,
    min_free=1000,
    session_ttl=3600.0,
    sessions_per_user=0,
    connections_per_address=0,
    max_uploads=0,
    min_rate=0,
    import_tries=3,
    check_documents=False,  # most tests send a few bytes for a document
    access_log=True,
)
"""What an exchange in memory is told, unless a test says otherwise."""


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
    config: Config
    store: FaultyStore
    catalog: Catalog
    means: Means
    parts: Parts
    membership: Membership
    site: ExchangeSite
    pipe: Pipe
    client: HTTPClient

    def request(self, method: str, query: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request through treq, and return what comes back."""
        waiting = self.send(method, query, body, **headers)
        return self.reply(waiting)

    def send(self, method: str, query: str, body: bytes = b"", path: str = PATH, **headers: str) -> Deferred[Any]:
        """Send a request through treq, and do not wait."""
        waiting = self.client.request(
            method,
            f"http://shop.example{path}?{query}",
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
        value = self.means.metrics.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def pieces(self) -> Pieces:
        """Return what stores pieces as the default shop's door does."""
        parts, config = self.parts, self.config
        return Pieces(parts.ingest, parts.proofs, config.body_limit, config.session_quota, parts.received)

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
    refusals = Refusals(metrics, wording, lambda _: None)
    return Server(clock, limits or Limits(), connections or Connections(), metrics, refusals)


def make_in_memory(
    folder: Path,
    clock: Clock,
    workers: Workers = inline,
    importer: IImporter | None = None,
    orders: Orders | None = None,
    examine: Callable[[int, int], Deferred[Directory]] | None = None,
    prepare: Callable[..., Any] = prepare_inline,
    check: Callable[..., Any] | None = None,
    importer_of: Callable[[Config], IImporter] | None = None,
    **changes: Any,
) -> InMemory:
    """Put an exchange together by ``CONFIG`` and changes to it; these ``workers`` bring pieces to the disk."""
    config = evolve(CONFIG, **changes)
    real = Store(folder)
    real.prepare()
    create_catalog(real.database)
    store = FaultyStore(real, free_bytes=1_000_000)
    metrics = Metrics(clock.seconds)
    means = Means(
        reactor=clock,
        now=clock.seconds,
        seconds=clock.seconds,
        workers=workers,
        errands=workers,
        metrics=metrics,
        store=store,
        free=lambda: inline(store.free),
        catalog=make_catalog(real.database, inline, metrics=metrics),
        importer_of=importer_of or (lambda _: importer or Keep(inline)),
        orders_of=lambda _: orders,
        examine=examine or examine_inline,
        prepare=prepare,
        check=check or check_inline,
        chance=lambda: 1.0,
    )
    parts = make_parts(config, means)
    parts.relay.startService()
    membership = membership_of(config, clock)
    site = make_site(config, membership, means, parts)
    pipe = Pipe(site)
    agent = Agent.usingEndpointFactory(clock, pipe, pool=HTTPConnectionPool(clock, persistent=False))
    # a node sends only the cookies that it was told to
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    client = HTTPClient(
        agent,
        cookiejar=no_cookies,  # type: ignore[arg-type]  # its types know of treq's own jar only
        data_to_body_producer=lambda body: body,
    )
    return InMemory(folder, clock, config, store, means.catalog, means, parts, membership, site, pipe, client)


def occupied(exchange: InMemory, session: tuple[str, str]) -> Deferred[None]:
    """Write the file ``a`` until the Deferred is fired."""
    over: Deferred[None] = Deferred()

    async def occupy() -> None:
        async with exchange.parts.locks.of_file(session[1], "a", FakeBody()):
            await over

    Deferred.fromCoroutine(occupy())
    return over
