"""Orders on their way from the site to a node: passed on as they come, or refused before the node sees any."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_twisted
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface.verify import verifyObject

from onec_twisted.delivery.client import SIGNATURE, SiteClient, signature
from onec_twisted.exchange.orders import NODE_PATIENCE, SITE_PATIENCE, Document, DocumentBroken, Orders
from onec_twisted.http.interfaces import IAnswerStream
from onec_twisted.model.errors import ConfirmationFailed, OrdersUnavailable
from onec_twisted.model.records import Session

if TYPE_CHECKING:
    from shop import Shop

SESSION = Session("a" * 32, "Иван", 1, 0, 0.0)
ORDERS = '<?xml version="1.0"?><КоммерческаяИнформация/>'


class Producer:
    """A connection to a site that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@pytest.fixture
def clock() -> Clock:
    """Time that moves when a test says so."""
    return Clock()


@pytest.fixture
def site() -> Producer:
    """The site's end."""
    return Producer()


@pytest.fixture
def document(clock: Clock, site: Producer) -> Document:
    """A document whose first byte has not come."""
    document = Document(clock, None)
    document.makeConnection(site)
    return document


DONE = Failure(ResponseDone())


class TestDocument:
    def test_it_is_a_stream(self, document: Document) -> None:
        """As a request takes it."""
        assert verifyObject(IAnswerStream, document)
        assert verifyObject(IPushProducer, document)
        document.connectionLost(DONE)

    def test_it_waits_for_its_first_bytes(self, document: Document, site: Producer) -> None:
        """Enough to judge it by; then the site waits."""
        begun: list[bytes] = []
        document.begun.addCallback(begun.append)
        document.dataReceived(b"<?x")
        assert begun == []
        document.dataReceived(b"ml ver")

        assert begun == [b"<?xml"]
        assert site.told == ["pause"]
        document.connectionLost(DONE)

    def test_all_of_it_is_passed_on(self, document: Document, site: Producer) -> None:
        """Nothing is held once somebody takes it."""
        document.dataReceived(b"<?xml ")
        written: list[bytes] = []
        done: list[Any] = []
        document.write_to(written.append).addCallback(done.append)
        document.dataReceived(b"a")
        document.dataReceived(b"b")
        assert done == []
        document.connectionLost(DONE)

        assert written == [b"<?xml ", b"a", b"b"]
        assert done == [None]
        assert site.told == ["pause", "resume"]

    def test_it_may_have_ended_before_it_is_delivered(self, document: Document) -> None:
        """A short one does."""
        document.dataReceived(b"<?xml?>")
        document.connectionLost(DONE)
        written: list[bytes] = []
        done: list[Any] = []
        document.write_to(written.append).addCallback(done.append)

        assert (written, done) == ([b"<?xml?>"], [None])

    def test_one_that_breaks_off_fails(self, document: Document) -> None:
        """Nobody may take it for whole."""
        document.dataReceived(b"<?xml ")
        failures: list[Any] = []
        document.write_to(lambda _: None).addErrback(failures.append)
        document.connectionLost(Failure(ConnectionError()))

        assert failures[0].check(DocumentBroken)

    def test_one_without_a_length_that_comes_to_a_stop_fails(
        self, document: Document, site: Producer, clock: Clock
    ) -> None:
        """The connection ends then as it would at the end of the document; it was we who ended it."""
        document.dataReceived(b"<?xml ")
        failures: list[Any] = []
        document.write_to(lambda _: None).addErrback(failures.append)
        clock.advance(SITE_PATIENCE)
        assert site.told[-1] == "stop"
        document.connectionLost(Failure(PotentialDataLoss()))

        assert failures[0].check(DocumentBroken)

    def test_a_slow_node_slows_the_site_and_costs_it_no_time(
        self, document: Document, site: Producer, clock: Clock
    ) -> None:
        """Each has a limit of its own; a document that nobody takes has one, too."""
        document.dataReceived(b"<?xml ")
        clock.advance(SITE_PATIENCE - 1)
        document.write_to(lambda _: None).addErrback(lambda _: None)
        document.pauseProducing()
        clock.advance(NODE_PATIENCE - 1)
        assert site.told == ["pause", "resume", "pause"]
        document.resumeProducing()
        clock.advance(SITE_PATIENCE - 1)
        document.dataReceived(b"a")
        clock.advance(SITE_PATIENCE - 1)
        assert site.told[3:] == ["resume"]
        clock.advance(1)

        assert site.told[4:] == ["stop"]
        document.connectionLost(Failure(ConnectionError()))


def orders(url: str) -> Orders:
    """Return the orders of a shop."""
    from twisted.internet import reactor

    return Orders(url, SiteClient(reactor, b"key"))


async def read(document: Document) -> str:
    """Return all of a document."""
    written: list[bytes] = []
    await document.write_to(written.append)
    return b"".join(written).decode()


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("mode", ["query", "info"])
@pytest_twisted.ensureDeferred
async def test_a_document(shop: Shop, shop_url: str, mode: str, chunked: bool) -> None:
    """Of the site, which is told who asks, and signed for."""
    text = ORDERS + " " * 300_000
    shop.answers = [{"text": text, "chunked": chunked}]
    document = await orders(f"{shop_url}/orders?shop=1").document(mode, SESSION)

    assert await read(document) == text
    assert document.length == (None if chunked else len(text.encode()))
    (seen,) = shop.seen
    assert seen.method == "GET"
    assert parse_qs(urlsplit(seen.uri).query) == {
        "shop": ["1"],
        "type": ["sale"],
        "mode": [mode],
        "user": ["Иван"],
        "sessid": ["a" * 32],
    }
    assert seen.headers[SIGNATURE.lower()] == signature(b"key", seen.uri.encode())


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "\ufeff" + ORDERS},
        {"text": "\n" + ORDERS},
        {"text": "<html>"},
        {"text": "PK"},
        {"text": ""},
        {"status": 500, "text": ORDERS},
        {"status": 302, "headers": {"location": "/login"}},
        {"text": ORDERS, "breaks": 3},
        {"raw": "nonsense"},
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_document(
    shop: Shop, shop_url: str, answer: dict[str, Any], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """The node hears a failure, and the log says why."""
    shop.answers = [answer]
    with pytest.raises(OrdersUnavailable):
        await orders(shop_url).document("query", SESSION)

    assert [event["reason"] for event in nothing_left_behind if event["log_level"].name == "warn"]


@pytest_twisted.ensureDeferred
async def test_a_document_that_breaks_off_later(shop: Shop, shop_url: str) -> None:
    """Is not taken for whole."""
    shop.answers = [{"text": ORDERS * 100, "breaks": 2000}]
    document = await orders(shop_url).document("query", SESSION)
    with pytest.raises(DocumentBroken):
        await read(document)


@pytest_twisted.ensureDeferred
async def test_a_confirmation(shop: Shop, shop_url: str) -> None:
    """A signed POST to the same address."""
    await orders(f"{shop_url}/orders").confirm(SESSION)
    (seen,) = shop.seen

    assert (seen.method, seen.uri) == ("POST", "/orders")
    assert json.loads(seen.body) == {
        "version": 1,
        "event": "success",
        "type": "sale",
        "user": "Иван",
        "sessid": "a" * 32,
    }
    assert seen.headers[SIGNATURE.lower()] == signature(b"key", seen.body.encode())


@pytest.mark.parametrize("answer", [{"status": 500}, {"status": 404}, {"raw": "nonsense"}])
@pytest_twisted.ensureDeferred
async def test_a_confirmation_that_nobody_takes(shop: Shop, shop_url: str, answer: dict[str, Any]) -> None:
    """The node is told, and asks for its orders again."""
    shop.answers = [answer]
    with pytest.raises(ConfirmationFailed):
        await orders(shop_url).confirm(SESSION)
