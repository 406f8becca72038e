"""The importer ``http:`` against a real site: it is asked, asked again, and believed only when it is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from handed_off import handoff
from one_try import outcome_of
from shop import Shop
from zope.interface.verify import verifyObject

from onec_twisted.delivery.client import SIGNATURE, SiteClient, signature
from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.delivery.webhook import Webhook
from onec_twisted.model.description import Description, describe

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def url(shop_url: str) -> str:
    """Where the shop listens."""
    return f"{shop_url}/1c-import"


@pytest.fixture
def description() -> Description:
    """What is handed off."""
    return describe(handoff(), "/srv/1c_temp/a")


def webhook(url: str, timeout: float = 20.0) -> Webhook:
    """Return the importer."""
    from twisted.internet import reactor

    return Webhook(url, SiteClient(reactor, b"key"), timeout)


async def outcome(url: str, description: Description, timeout: float = 20.0) -> tuple[str, str, list[str]]:
    """Deliver once; return how it ended, in which words, and the progress before."""
    return await outcome_of(webhook(url, timeout), description)


def test_it_is_an_importer() -> None:
    """As the interface has it."""
    assert verifyObject(IImporter, webhook("http://shop.example/"))


@pytest_twisted.ensureDeferred
async def test_what_the_site_is_asked(shop: Shop, url: str, description: Description) -> None:
    """A signed POST of the JSON, whose key is the id."""
    assert await outcome(url, description) == ("done", "", [])
    (seen,) = shop.seen

    assert (seen.method, seen.uri) == ("POST", "/1c-import")
    assert seen.body.encode() == description.as_json()
    assert seen.key == description.id
    assert "x-onec-attempt" not in seen.headers, "there is only one daemon"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers[SIGNATURE.lower()] == signature(b"key", seen.body.encode())


@pytest.mark.parametrize(
    ("answer", "ends", "words"),
    [
        ({"status": 204}, "done", ""),
        ({"status": 201, "text": "made"}, "done", ""),
        ({"status": 201, "headers": {"location": "https://elsewhere.example/1"}}, "done", ""),
        ({"status": 400, "text": "Нет цены", "headers": {"location": "//elsewhere.example"}}, "failed", "Нет цены"),
        ({"status": 422}, "failed", "The site answered 422"),
        (
            {"status": 404, "text": "<html>x", "headers": {"content-type": "text/html"}},
            "failed",
            "The site answered 404 Not Found",
        ),
        ({"status": 400, "text": '{"error": 1}'}, "failed", "The site answered 400 Bad Request"),
        ({"status": 400, "text": "[" * 50_000}, "failed", "[[["),
        ({"status": 422, "text": "[import0_1.xml] no price"}, "failed", "[import0_1.xml] no price"),
        (
            {"status": 422, "text": "[cut off", "headers": {"content-type": "application/problem+json"}},
            "failed",
            "The site answered 422",
        ),
        ({"text": "OK"}, "done", ""),
        ({"text": "{}", "headers": {"content-type": "application/json"}}, "done", ""),
        ({"text": "failure\nНет цены", "headers": {"content-type": "text/html"}}, "failed", "Нет цены"),
        ({"text": "\ufefffailure"}, "failed", "The site answered 200 and failure"),
        ({"text": "<br />\n<b>Fatal"}, "interrupted", "The site answered 200, but with an error page"),
        ({"status": 201, "text": "\nFatal error: x"}, "interrupted", "The site answered 201, but with an error page"),
        ({"status": 500, "text": "boom"}, "interrupted", "boom"),
        ({"status": 503}, "interrupted", "The site answered 503 Service Unavailable"),
        ({"status": 429}, "interrupted", "The site answered 429"),
        ({"status": 408}, "interrupted", "The site answered 408"),
        ({"status": 302, "headers": {"location": "/login"}}, "interrupted", "The site answered 302 Found"),
        (
            {"status": 307, "headers": {"location": "http://evil.example/"}},
            "interrupted",
            "The site cannot be asked: it leads to another host",
        ),
        ({"raw": "nonsense"}, "interrupted", "The site cannot be asked: the connection failed"),
        ({"text": "x" * 99, "breaks": 5}, "interrupted", "The site cannot be asked: the connection failed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_answers(
    shop: Shop, url: str, description: Description, answer: dict[str, Any], ends: str, words: str
) -> None:
    """2xx is success, 4xx failure in the site's words; whatever may pass by is tried again."""
    shop.answers = [answer]
    ended, said, progress = await outcome(url, description)

    assert ended == ends
    assert said.startswith(words)
    assert progress == []
    assert len(shop.seen) == 1


@pytest_twisted.ensureDeferred
async def test_progress_at_the_same_place(shop: Shop, url: str, description: Description) -> None:
    """202 without a Location: the same request again, with the same key."""
    wait = {"Retry-After": "0"}
    shop.answers = [
        {"status": 202, "text": "10 %", "headers": wait},
        {"status": 202, "text": "50 %", "headers": wait},
        {"status": 200},
    ]
    assert await outcome(url, description) == ("done", "", ["10 %", "50 %"])

    assert [(seen.method, seen.key) for seen in shop.seen] == [("POST", description.id)] * 3
    assert len({seen.body for seen in shop.seen}) == 1


@pytest.mark.parametrize("text", ["failure\nNo price", "<html>" + "x" * 1000 + "\x1b[2J"])
@pytest_twisted.ensureDeferred
async def test_the_log_quotes_what_is_no_success(
    shop: Shop, url: str, description: Description, nothing_left_behind: list[dict[str, Any]], text: str
) -> None:
    """Its beginning, which is short and harmless, and who got it."""
    shop.answers = [{"text": text}]
    assert (await outcome(url, description))[0] != "done"
    (event,) = [event for event in nothing_left_behind if "begins" in event]

    assert event["begins"] == text[:300].replace("\n", "\\n")
    assert (event["log_level"].name, event["user"], event["status"]) == ("warn", description.user, 200)


@pytest_twisted.ensureDeferred
async def test_progress_in_words(shop: Shop, url: str, description: Description) -> None:
    """A 200 that says progress is a 202, with its Location and its pause."""
    there = {"Location": "/jobs/7", "Retry-After": "0"}
    shop.answers = [{"text": "progress\n10 %", "headers": there}, {"text": "Progress", "headers": there}, {}]
    assert await outcome(url, description) == ("done", "", ["10 %", ""])

    assert [(seen.method, seen.uri) for seen in shop.seen[1:]] == [("GET", "/jobs/7")] * 2


@pytest_twisted.ensureDeferred
async def test_progress_at_another_place(shop: Shop, url: str, description: Description) -> None:
    """202 with a Location: it is asked there, by a signed GET."""
    there = {"Location": "/jobs/7", "Retry-After": "0"}
    shop.answers = [
        {"status": 202, "headers": there},
        {"status": 202, "text": "50 %", "headers": {"Retry-After": "0"}},
        {"status": 400, "text": "no"},
    ]
    assert await outcome(url, description) == ("failed", "no", ["", "50 %"])

    assert [(seen.method, seen.uri) for seen in shop.seen] == [
        ("POST", "/1c-import"),
        ("GET", "/jobs/7"),
        ("GET", "/jobs/7"),
    ]
    assert shop.seen[1].headers[SIGNATURE.lower()] == signature(b"key", b"/jobs/7")
    assert shop.seen[1].key == description.id


@pytest_twisted.ensureDeferred
async def test_a_job_that_the_site_has_forgotten(shop: Shop, url: str, description: Description) -> None:
    """It was restarted: the whole is tried again, and is no failure."""
    shop.answers = [{"status": 202, "headers": {"Location": "/jobs/7", "Retry-After": "0"}}, {"status": 404}]

    assert (await outcome(url, description))[0] == "interrupted"


@pytest_twisted.ensureDeferred
async def test_a_redirect_on_the_same_host(shop: Shop, url: str, description: Description) -> None:
    """Is followed with method and body; not for ever."""
    shop.answers = [
        {"status": 307, "headers": {"location": "/new"}},
        {"status": 308, "headers": {"location": "/newer"}},
        {},
    ]
    assert (await outcome(url, description))[0] == "done"
    assert [(seen.method, seen.uri) for seen in shop.seen] == [
        ("POST", "/1c-import"),
        ("POST", "/new"),
        ("POST", "/newer"),
    ]
    shop.answers = [{"status": 307, "headers": {"location": "/new"}}]
    assert (await outcome(url, description))[0] == "interrupted"


@pytest_twisted.ensureDeferred
async def test_a_location_on_another_host(
    shop: Shop, url: str, description: Description, open_shop: Callable[[Shop], str]
) -> None:
    """Nobody is asked there: our signature is not for others."""
    other = Shop()
    shop.answers = [{"status": 202, "headers": {"location": open_shop(other)}}]
    assert (await outcome(url, description))[0] == "interrupted"

    assert other.seen == []


@pytest.mark.parametrize("answer", [{"silent": True}, {"status": 202, "headers": {"Retry-After": "60"}}])
@pytest_twisted.ensureDeferred
async def test_time_is_limited(shop: Shop, url: str, description: Description, answer: dict[str, Any]) -> None:
    """Of an answer that does not come, and of an import that does not end."""
    shop.answers = [answer]
    ended, words, _ = await outcome(url, description, timeout=0.3)

    assert ended == "interrupted"
    assert words in {
        "The site cannot be asked: it did not answer in time",
        "The site has not imported it in 0 s",
    }


@pytest_twisted.ensureDeferred
async def test_a_site_that_is_down(shop: Shop, description: Description) -> None:
    """Is tried again."""
    assert await outcome("http://127.0.0.1:1/", description) == (
        "interrupted",
        "The site cannot be asked: it refuses connections",
        [],
    )
