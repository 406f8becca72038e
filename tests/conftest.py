"""What every test has: a conscience, and an exchange in memory."""

from __future__ import annotations

import gc
import os
import time
from typing import TYPE_CHECKING, Any, cast

import forks
import front
import pytest
import pytest_twisted
from daemon import Daemon, run, start
from in_memory import NOW, InMemory, make_in_memory
from rufh_fronts import front_of
from rufh_in_memory import RufhInMemory
from shop import Shop
from tus_in_memory import TusInMemory
from twisted.internet import ssl
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.web.server import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certificates import Certificate
    from postgres import Server


STARTING = {id(name) for name in (start, run, forks.spawn, forks.finish, front.launch, front_of)}
"""What starts processes of ours: a module that knows one of these does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts the daemon or ``onec-node``: these tests do not run in every environment, see ``tox.ini``."""
    for item in items:
        assert isinstance(item, pytest.Function)
        if "daemons" in item.fixturenames or any(id(value) in STARTING for value in vars(item.module).values()):
            item.add_marker("process")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, with a database ``made`` that has the tables and nothing else: a template for others.

    It is missing without a failure, except where these tests are meant to run.
    """
    is_needed = os.environ.get("ONEC_TEST_CLUSTER") == "1"
    try:
        from postgres import BINARIES, Server

        from onec_twisted.cluster.postgresql import PostgreSQL
        from onec_twisted.cluster.tables import create_tables
    except ModuleNotFoundError:
        if is_needed:
            raise
        pytest.skip("psycopg is not installed: tox -e cluster has it")
    if BINARIES is None:
        (pytest.fail if is_needed else pytest.skip)("PostgreSQL is not installed")
    server = Server()
    server.create()
    server.start()
    server.ask("CREATE DATABASE made")
    made = PostgreSQL(server.url("made"), time.monotonic)
    made.using(create_tables)
    made.close()
    yield server
    server.remove()


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[forks.ForkServer]:
    """Let what forks processes end with the session."""
    yield forks.SERVING
    forks.SERVING.stop()


@pytest.fixture(autouse=True)
def executed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute the processes of a test that says so, fork those of all others."""
    if request.node.get_closest_marker("executed") is not None:
        monkeypatch.setattr(forks.SERVING, "executes", True)


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> None:
    """Leave what was there before a module out of the garbage collections that follow, one for each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[list[dict[str, Any]]]:
    """Fail a test that leaves a logged failure, a Deferred nobody handled, or a delayed call.

    A test that means a failure to be logged takes this fixture and removes the events from the list.
    """
    from twisted.internet import reactor

    before = set(reactor.getDelayedCalls())
    with capturedLogs() as captured:
        events = cast("list[dict[str, Any]]", captured)
        yield events
        gc.collect()
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    left = [call for call in reactor.getDelayedCalls() if call.active() and call not in before]
    assert not failures
    assert not left


@pytest.fixture
def clock() -> Clock:
    """Time that moves when a test says so."""
    clock = Clock()
    clock.advance(NOW)
    return clock


@pytest.fixture
def make_exchange(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., InMemory]]:
    """Make an exchange in memory, with settings as arguments."""
    made: list[InMemory] = []

    def make(**changes: Any) -> InMemory:
        made.append(make_in_memory(tmp_path, clock, **changes))
        return made[-1]

    yield make
    for one in made:
        one.catalog.recorder.close()


@pytest.fixture
def open_shop() -> Iterator[Callable[[Shop], str]]:
    """Let shops listen in the test's reactor; their addresses are returned."""
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(shop: Shop) -> str:
        listening: Any = cast("Any", reactor).listenTCP(0, Site(shop, timeout=None), interface="127.0.0.1")
        ports.append(listening)
        return f"http://127.0.0.1:{ports[-1].getHost().port}"

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


@pytest.fixture
def open_tls_shop() -> Iterator[Callable[[Shop, Certificate], int]]:
    """Let shops listen with certificates; their ports are returned."""
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(shop: Shop, certificate: Certificate) -> int:
        context = ssl.DefaultOpenSSLContextFactory(str(certificate.key), str(certificate.chain))
        listening: Any = cast("Any", reactor).listenSSL(0, Site(shop, timeout=None), context, interface="127.0.0.1")
        ports.append(listening)
        return int(listening.getHost().port)

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


@pytest.fixture
def shop() -> Shop:
    """A web shop."""
    return Shop()


@pytest.fixture
def shop_url(shop: Shop, open_shop: Callable[[Shop], str]) -> str:
    """Where it listens."""
    return open_shop(shop)


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory]) -> InMemory:
    """An exchange in memory with the settings of ``in_memory``."""
    return make_exchange()


@pytest.fixture
def make_tus(make_exchange: Callable[..., InMemory]) -> Iterator[Callable[..., TusInMemory]]:
    """Make a tus client of an exchange in memory, with the exchange's settings as arguments."""
    made: list[TusInMemory] = []

    def make(**changes: Any) -> TusInMemory:
        made.append(TusInMemory(make_exchange(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def tus(make_tus: Callable[..., TusInMemory]) -> TusInMemory:
    """A tus client of an exchange with the settings of ``in_memory``."""
    return make_tus()


@pytest.fixture
def make_rufh(make_exchange: Callable[..., InMemory]) -> Iterator[Callable[..., RufhInMemory]]:
    """Make a client of RUFH of an exchange in memory, with the exchange's settings as arguments."""
    made: list[RufhInMemory] = []

    def make(**changes: Any) -> RufhInMemory:
        made.append(RufhInMemory(make_exchange(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def rufh(make_rufh: Callable[..., RufhInMemory]) -> RufhInMemory:
    """A client of RUFH of an exchange with the settings of ``in_memory``."""
    return make_rufh()


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start real daemons that end with the test, one after another on one media root."""
    started: list[Daemon] = []

    def make(*arguments: str, **keywords: Any) -> Daemon:
        started.append(start(tmp_path / "run", *arguments, **keywords))
        return started[-1]

    yield make
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()
