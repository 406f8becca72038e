"""How a site is asked: what is sent, what is read of its answer, where it may lead."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import defer, error

from onec_twisted.delivery.client import SIGNATURE, SiteClient, is_same_host, signature
from onec_twisted.http.client import TEXT_LIMIT, reason_of

if TYPE_CHECKING:
    from shop import Shop

PATIENCE = 20.0


@pytest.fixture
def url(shop_url: str) -> str:
    """Where the shop listens."""
    return shop_url


def client(secret: bytes = b"") -> SiteClient:
    """Return a client with the test's reactor."""
    from twisted.internet import reactor

    return SiteClient(reactor, secret)


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a:80/x", "http://a/y", True),
        ("http://a/x", "https://a/y", True),
        ("https://a/x", "http://a/y", False),
        ("http://a/x", "http://b/y", False),
        ("http://a:8000/x", "http://a:8001/y", False),
        ("http://a/x", "ftp://a/y", False),
    ],
)
def test_where_an_answer_may_lead(here: str, there: str, same: bool) -> None:
    """To the same host, and never out of TLS."""
    assert is_same_host(here, there) is same


def test_the_signature_is_a_plain_hmac() -> None:
    """Anybody can compute it."""
    assert signature(b"key", b"text") == "sha256=" + hmac.new(b"key", b"text", hashlib.sha256).hexdigest()


@pytest_twisted.ensureDeferred
async def test_what_is_sent(shop: Shop, url: str) -> None:
    """The body is signed, or path and query where there is none; no cookie is kept, nothing is compressed twice."""
    shop.answers = [{"headers": {"set-cookie": "a=b"}}]
    for body, message in ((b'{"a": 1}', b'{"a": 1}'), (None, b"/x?y=1")):
        response = await client(b"key").ask("POST" if body else "GET", f"{url}/x?y=1", PATIENCE, body, {"X-Own": "1"})
        assert await client().text_of(response, PATIENCE) == ""
        sent = shop.seen[-1].headers
        assert sent[SIGNATURE.lower()] == signature(b"key", message)
        assert sent["x-own"] == "1"
        assert "cookie" not in sent
    response = await client().ask("GET", f"{url}/x", PATIENCE)
    await client().text_of(response, PATIENCE)

    assert SIGNATURE.lower() not in shop.seen[-1].headers


@pytest_twisted.ensureDeferred
async def test_nothing_is_unpacked(shop: Shop, url: str) -> None:
    """We ask for no compression; a site that compresses all the same is read as it is."""
    shop.answers = [{"text": "\x1f", "headers": {"content-encoding": "gzip"}}]
    response = await client().ask("GET", url, PATIENCE)

    assert await client().text_of(response, PATIENCE) == "\x1f"
    assert "accept-encoding" not in shop.seen[0].headers


@pytest_twisted.ensureDeferred
async def test_a_long_text_is_read_in_part(shop: Shop, url: str) -> None:
    """The rest stays where it is."""
    shop.answers = [{"text": "x" * 10 * TEXT_LIMIT, "chunked": True}]
    response = await client().ask("GET", url, PATIENCE)

    assert await client().text_of(response, PATIENCE) == "x" * TEXT_LIMIT


async def reason_for(shop: Shop, url: str, timeout: float = PATIENCE) -> str:
    """Ask in vain; return why."""
    try:
        response = await client().ask("GET", url, timeout)
        await client().text_of(response, timeout)
    except Exception as failed:
        return reason_of(failed)
    return "none"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"silent": True}, "it did not answer in time"),
        ({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"}, "the connection failed"),
        ({"raw": "nonsense"}, "the connection failed"),
        ({"text": "abc" * 99, "breaks": 9}, "the connection failed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_can_go_wrong(shop: Shop, url: str, answer: dict[str, Any], reason: str) -> None:
    """Each has a word for a person, and none waits for ever."""
    shop.answers = [answer]

    assert (await reason_for(shop, url, 0.3 if "silent" in answer else PATIENCE)).startswith(reason)


@pytest_twisted.ensureDeferred
async def test_a_text_that_does_not_go_on(shop: Shop, url: str) -> None:
    """Its time is limited as well."""
    shop.answers = [{"text": "abc" * 99, "stops": 9}]
    response = await client().ask("GET", url, PATIENCE)
    with pytest.raises(defer.TimeoutError):
        await client().text_of(response, 0.2)


@pytest_twisted.ensureDeferred
async def test_a_site_that_is_down(url: str, shop: Shop) -> None:
    """Or has no name."""
    assert await reason_for(shop, "http://127.0.0.1:1/") == "it refuses connections"
    assert reason_of(error.DNSLookupError()) == "nobody knows its name"


@pytest_twisted.ensureDeferred
async def test_locations(shop: Shop, url: str) -> None:
    """Relative ones are understood; another host is refused."""
    for header, location in (("/jobs/1", f"{url}/jobs/1"), (f"{url}/2", f"{url}/2"), (None, None)):
        shop.answers = [{"headers": {"location": header} if header else {}}]
        response = await client().ask("GET", f"{url}/x", PATIENCE)
        await client().text_of(response, PATIENCE)
        assert client().location_of(response, f"{url}/x") == location
    for elsewhere in ("http://evil.example/", "//evil.example/x", "http://127.0.0.1:1/x"):
        shop.answers = [{"headers": {"location": elsewhere}}]
        response = await client().ask("GET", url, PATIENCE)
        await client().text_of(response, PATIENCE)
        with pytest.raises(ValueError, match="another host"):
            client().location_of(response, url)
