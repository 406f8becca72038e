"""The node's side and the daemon's in one process: whole exchanges, reports of a check and a load, orders."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.web.client import HTTPConnectionPool

from onec_twisted.delivery.client import SiteClient
from onec_twisted.exchange.orders import Orders
from onec_twisted.node import Node, Refusal, Unreachable, http_client
from onec_twisted.node.check import check, table
from onec_twisted.node.load import load
from onec_twisted.node.push import Bar, Json, Lines, Quiet, push
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from in_memory import InMemory
    from shop import Shop


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter()


@pytest.fixture
def nodes(
    make_exchange: Callable[..., InMemory], importer: FakeImporter
) -> Iterator[Callable[..., tuple[InMemory, Callable[..., Node]]]]:
    """Let an exchange listen; return it, and what makes nodes for it."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    pool = HTTPConnectionPool(reactor)
    ports: list[Any] = []
    ticking: list[LoopingCall] = []

    def begin(**settings: Any) -> tuple[InMemory, Callable[..., Node]]:
        exchange = make_exchange(importer=importer, **settings)
        ticking.append(LoopingCall(exchange.clock.advance, 0.05))
        ticking[-1].start(0.01)
        ports.append(reactor.listenTCP(0, exchange.site, interface="127.0.0.1"))
        url = f"http://127.0.0.1:{ports[-1].getHost().port}/1c_exchange.php"

        def make(stranger: str | None = None) -> Node:
            client = http_client(reactor, url, pool=pool)
            return Node(reactor, client, url, stranger or "shop", "x" if stranger else "secret", retries=0)

        return exchange, make

    yield begin
    pytest_twisted.blockon(pool.closeCachedConnections())
    for one in ticking:
        one.stop()
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export directory."""
    folder = tmp_path / "export"
    (folder / "import_files").mkdir(parents=True)
    (folder / "import0_1.xml").write_text("<?xml?>" + "x" * 2500)
    (folder / "offers0_1.xml").write_text("<?xml?>")
    (folder / "import_files" / "x.jpg").write_bytes(b"jpeg")
    return folder


def settle(exchange: InMemory) -> None:
    """Let what the daemon puts off happen: proofs of delivery."""
    for _ in range(5):
        exchange.clock.advance(1)


@pytest.mark.parametrize("zipped", [True, False])
@pytest_twisted.ensureDeferred
async def test_an_exchange(nodes: Callable[..., Any], folder: Path, importer: FakeImporter, zipped: bool) -> None:
    """Each step is an event; the importer is told of each document, and of the end."""
    exchange, make = nodes(zip=zipped)
    out = io.StringIO()
    remarks = await push(make(), [folder], "catalog", Json(out), completes=True)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    settle(exchange)

    assert remarks == []
    assert [one["event"] for one in events if one["event"] != "note"] == (
        ["begin", "sent"] * (1 if zipped else 3) + ["imported"] * 2
    )
    assert [told.filename for told in importer.delivered if told.event == "import"] == [
        "import0_1.xml",
        "offers0_1.xml",
    ]
    assert importer.delivered[-1].event == "complete"


@pytest_twisted.ensureDeferred
async def test_lines_and_a_bar(nodes: Callable[..., Any], folder: Path) -> None:
    """The same for people; and nothing at all."""
    exchange, make = nodes(zip=False)
    shown = []
    for display in (Lines(io.StringIO()), Bar(io.StringIO()), Quiet()):
        await push(make(), [folder / "import0_1.xml"], "catalog", display)
        shown.append(getattr(display, "out", io.StringIO()).getvalue())
    settle(exchange)

    assert shown[0] == "import0_1.xml: 2,507 bytes\nimport0_1.xml: imported\n"
    assert "import0_1.xml:   0%|" in shown[1]
    assert "import0_1.xml: imported" in shown[1]
    assert shown[2] == ""


@pytest.mark.parametrize("display", [Lines, Bar, Json])
@pytest_twisted.ensureDeferred
async def test_an_exchange_that_breaks_off(
    nodes: Callable[..., Any], folder: Path, importer: FakeImporter, display: Any
) -> None:
    """What was sent is thrown away: no half of it is ever imported."""
    exchange, make = nodes(zip=False, session_quota=1500)
    out = io.StringIO()
    with pytest.raises(Refusal, match="Insufficient storage"):
        await push(make(), [folder], "catalog", display(out))
    settle(exchange)

    assert "What was sent is removed from the site." in out.getvalue()
    assert exchange.files() == {}
    assert importer.delivered == []


@pytest_twisted.ensureDeferred
async def test_a_site_that_has_gone(shop: Shop, shop_url: str, folder: Path) -> None:
    """Cannot throw anything away, and that is said."""
    from twisted.internet import reactor

    answers = ["success\na\nb\nsessid=1\ntimestamp=1", "zip=no\nfile_limit=10", "success"]
    shop.answers = [*({"text": text} for text in answers), {"raw": "gone"}]
    pool = HTTPConnectionPool(reactor)
    node = Node(reactor, http_client(reactor, shop_url, pool=pool), shop_url, "shop", "secret", retries=0)
    out = io.StringIO()
    with pytest.raises(Unreachable):
        await push(node, [folder], "catalog", Lines(out))
    await pool.closeCachedConnections()

    assert out.getvalue() == "What was sent stays on the site, which may import it later.\n"


@pytest_twisted.ensureDeferred
async def test_a_check_of_our_daemon(nodes: Callable[..., Any]) -> None:
    """Has nothing to say."""
    exchange, make = nodes()
    findings = await check(make)
    settle(exchange)

    assert [finding.step for finding in findings if finding.remark is not None] == []
    assert table(findings)[0].endswith("accepts it")
    assert len(findings) == 9


@pytest.mark.parametrize(
    ("answer", "step", "words"),
    [
        ({"raw": "nonsense"}, "connection", "cannot be asked"),
        ({"text": "<html>"}, "stranger", "a page of HTML"),
        ({"text": "success\na\nb\nsessid=1\ntimestamp=1"}, "stranger", "anybody can log in"),
        ({"text": "failure\nno"}, "checkauth", "no"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_check_of_others(shop: Shop, shop_url: str, answer: dict[str, Any], step: str, words: str) -> None:
    """Goes as far as it can."""
    from twisted.internet import reactor

    shop.answers = [answer]
    pool = HTTPConnectionPool(reactor)

    def make(stranger: str | None) -> Node:
        client = http_client(reactor, shop_url, pool=pool)
        return Node(reactor, client, shop_url, stranger or "shop", "secret", retries=0)

    findings = await check(make)
    await pool.closeCachedConnections()
    found = next(finding for finding in findings if finding.step == step)

    assert found.remark is not None
    assert words in found.remark.words


@pytest_twisted.ensureDeferred
async def test_a_load(nodes: Callable[..., Any], importer: FakeImporter) -> None:
    """Each piece is counted, and nothing is left; a node that fails is counted, too."""
    from twisted.internet import reactor

    exchange, make = nodes()
    report = await load(make, reactor, nodes=3, size=500, pieces=4)
    broken = await load(make, reactor, nodes=2, size=6000, pieces=4)
    settle(exchange)

    assert (len(report.latencies), report.bytes_sent, report.failures) == (12, 6000, ())
    assert (broken.latencies, broken.failures) == ((), ("File too large",) * 2)
    assert exchange.files() == {}
    assert importer.delivered == []


@pytest.mark.parametrize("chunked", [True, False])
@pytest_twisted.ensureDeferred
async def test_orders_through_the_daemon(nodes: Callable[..., Any], shop: Shop, shop_url: str, chunked: bool) -> None:
    """From the shop to the node, as they come; one that breaks off is broken off for the node."""
    from twisted.internet import reactor

    exchange, make = nodes(orders=Orders(shop_url, SiteClient(reactor)))
    text = "<?xml?>" + "x" * 500_000
    node = make()
    await node.checkauth("sale")
    shop.answers = [{"text": text, "chunked": chunked}]
    parts: list[bytes] = []
    assert await node.query_orders(parts.append) == len(text)
    await node.confirm_orders()
    shop.answers = [{"text": text, "breaks": 200_000}]
    with pytest.raises(Unreachable):
        await node.query_orders(lambda _: None)
    settle(exchange)

    assert b"".join(parts).decode() == text
    assert [seen.method for seen in shop.seen] == ["GET", "POST", "GET"]
