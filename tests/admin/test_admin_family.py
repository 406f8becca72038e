"""The family of pages, beside an exchange in memory: which page a path names, and what is on it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator
from journal_rows import NIGHT_USERS, night
from line import Line, post
from pages import Document
from shops import NORTH, SOUTH, traded

from onec_twisted.admin.family import FACTS_FRESH_FOR, Family
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.catalog.sqlite import opened
from onec_twisted.model.errors import ImportFailed
from onec_twisted.model.records import FAILED
from onec_twisted.storage.local import Store
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter(patient=True)


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> InMemory:
    """An exchange that hands off to the fake."""
    return make_exchange(importer=importer)


def send(exchange: InMemory, name: str) -> str:
    """Send a file, have it imported, and return the session."""
    cookie, sessid = exchange.checkauth()
    about = f"type=catalog&filename={name}&sessid={sessid}&mode="
    exchange.request("POST", about + "file", b"<?xml", Cookie=cookie)
    exchange.send("GET", about + "import", Cookie=cookie).addErrback(lambda _: None)
    return sessid


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """Who looks."""
    return Administrator(exchange)


def read(administrator: Administrator, path: str, **headers: str) -> Document:
    """Return a page, as somebody sees it who has not looked for a while."""
    administrator.exchange.clock.advance(FACTS_FRESH_FOR)
    reply = administrator.ask(path, **headers)
    assert reply.status == 200, reply
    return Document(reply.body.decode())


@pytest.mark.parametrize(
    ("path", "is_there"),
    [
        ([""], True),
        (["exchanges"], True),
        (["exchanges", "12"], True),
        (["exchanges", "-1"], False),
        (["exchanges", "1", "x"], False),
        (["exchanges", ""], False),
        (["sessions", "12"], False),
        (["shops"], True),
        (["shops", "north"], True),
        (["shops", "default"], True),
        (["shops", ""], False),
        (["shops", "North\r\n"], False),
        (["shops", "north", "x"], False),
        (["x"], False),
        ([], False),
    ],
)
def test_paths(path: list[str], is_there: bool) -> None:
    """Those of the navigation, and one for each exchange and each shop."""
    assert Family.has(path) is is_there


def test_a_failure_turns_all_pages_red(
    administrator: Administrator, exchange: InMemory, importer: FakeImporter
) -> None:
    """And green again, when what failed is dropped."""
    send(exchange, "a.xml")
    assert read(administrator, "/").text.strip().startswith("✓")
    importer.end(ImportFailed("no price for <b>"))

    overview = read(administrator, "/")
    assert overview.text.strip().startswith("✗ Needs attention: 1")
    assert "Failed hand-offs: 1 – no price for <b>" in overview.text
    for path in ("/exchanges", "/exchanges/1", "/handoffs", "/sessions", "/refusals", "/settings"):
        assert read(administrator, path).text.strip().startswith("✗ Needs attention: 1")
    assert administrator.press("/handoffs/all/drop").headers["location"].endswith("dropped_all")
    assert Document(administrator.page()).text.strip().startswith("✓")


def test_health_turns_it_red(
    administrator: Administrator, exchange: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ``/health`` says is on the page, in its language."""
    monkeypatch.setattr(type(exchange.store), "free", lambda _: 10)

    assert "the disk has 10 bytes left" in read(administrator, "/").text
    russian = read(administrator, "/", Accept_Language="ru").text
    assert "на диске осталось 10 байт" in russian
    assert "bytes left" not in russian


def test_an_exchange_from_its_login_to_its_end(
    administrator: Administrator, exchange: InMemory, importer: FakeImporter
) -> None:
    """The list leads to its page, which has what came, what became of it, and what can be done."""
    send(exchange, "a.xml")
    importer.end(ImportFailed("no price"))
    (link,) = [one["href"] for one in read(administrator, "/exchanges").all("a") if "exchanges/" in str(one["href"])]
    document = read(administrator, f"/{link}")

    for said in ("shop", "a.xml", "5 B", "no price", "logged in", "failed"):
        assert said in document.text
    assert [form["action"].split("/")[-1] for form in document.all("form") if form["action"]] == ["retry"]


def test_a_hand_off_that_runs_and_one_that_waits(
    administrator: Administrator, exchange: InMemory, importer: FakeImporter
) -> None:
    """One is delivered, the other waits for it."""
    send(exchange, "a.xml")
    send(exchange, "b.xml")
    text = read(administrator, "/handoffs?state=waiting").text

    assert ENGLISH.states["runs"] in text
    assert "Import waits for" in text
    assert read(administrator, "/handoffs?user=nobody").text.count("a.xml") == 0
    importer.end()
    importer.end()


def test_a_refusal_is_on_the_page(administrator: Administrator, exchange: InMemory) -> None:
    """With its words and its user, and in the numbers of its exchange."""
    cookie, sessid = exchange.checkauth()
    about = f"type=catalog&filename=a.xml&sessid={sessid}&mode="
    exchange.request("POST", about + "file", b"x" * 5001, Cookie=cookie)
    exchange.parts.refused.flush()
    text = read(administrator, "/refusals").text

    assert "413" in text
    assert "a.xml" in text
    assert "Requests refused: shop" in read(administrator, "/").text


def test_what_arrives_right_now(administrator: Administrator, exchange: InMemory) -> None:
    """A piece and how much of it has come."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(session, "c.zip", b"x" * 2000)[:-1000])
    document = read(administrator, "/")
    line.lose()

    (bar,) = document.all("progress")
    assert (bar["value"], bar["max"]) == ("1000", "2000")


@pytest.mark.parametrize("words", [ENGLISH, RUSSIAN])
def test_a_month_of_nights(administrator: Administrator, exchange: InMemory, words: Any) -> None:
    """Every page can be made of it, in either language, is small, and nothing in it is styled or runs in line."""
    with closing(opened(Store(exchange.folder).database)) as connection:
        night(connection.cursor(), exchange.clock.seconds(), 50 * 2**30)
    for path, said in [
        ("/", NIGHT_USERS[0]),
        ("/exchanges", NIGHT_USERS[3]),
        ("/exchanges?state=failed&file=IMPORT0", "DeLonghi"),
        ("/exchanges/1", "v8_1A76_155ae.zip"),
        ("/refusals", "mode=checkauth"),
        ("/settings", "--importer"),
    ]:
        reply = administrator.ask(path, Accept_Language=words.language)
        document = Document(reply.body.decode())
        assert (reply.status, len(reply.body) < 200_000) == (200, True)
        assert said in document.text
        ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
        assert len(set(ids)) == len(ids), path
        assert len(document.all("h1")) == 1
        assert not document.all("style")
        for tag, attributes in document.tags:
            assert not any(name.startswith("on") or name == "style" for name in attributes), tag
            for name in ("src", "href", "action"):
                assert ":" not in (attributes.get(name) or "").partition("?")[0]


@pytest.fixture
def shops(administrator: Administrator) -> Administrator:
    """Who looks at two shops, one of which has failed."""
    administrator.shops += [NORTH, SOUTH]
    traded(administrator.exchange, "north:alice", "1" * 32)
    traded(administrator.exchange, "north:bob", "2" * 32, state=FAILED, words="no price")
    traded(administrator.exchange, "alice", "3" * 32, state=FAILED)
    return administrator


def test_shops_are_on_the_pages(shops: Administrator) -> None:
    """In the navigation, in the verdict, beside users, as filters, and each with a page."""
    overview = read(shops, "/")
    assert "Failed hand-offs (north): 1 – no price" in overview.text
    assert "shops" in [link["href"] for link in overview.all("a")]
    for path in ("/exchanges", "/handoffs"):
        assert read(shops, f"{path}?shop=north").text.count("alice north") == 1
        assert "alice north" not in read(shops, f"{path}?shop=south").text
    for path in ("/exchanges", "/handoffs", "/refusals"):
        assert [field["name"] for field in read(shops, path).all("select")][:2] == ["shop", "user"]
    listed = read(shops, "/shops")
    rows = [row["id"] for row in listed.all("tr") if row.get("id")]
    assert rows == ["shop-north", "shop-default", "shop-south"]
    page = read(shops, "/shops/north")
    assert "Shop north" in page.text
    assert "90 days" in page.text
    assert "no price" in page.text


@pytest.mark.parametrize("path", ["/shops/west", "/shops"])
def test_shops_that_there_are_not(administrator: Administrator, path: str) -> None:
    """There is no page of them, nor of all of them, if there are none."""
    reply = administrator.ask(path)

    assert reply.status == 404
    assert b"shops" not in reply.body.partition(b"<main")[0]


def test_what_failed_of_a_shop_is_dropped(shops: Administrator) -> None:
    """Other shops keep theirs, and the page is the same again."""
    reply = shops.press("/handoffs/all/drop", back="shops/north", shop="north")

    assert reply.headers["location"] == "../../shops/north?notice=dropped_all"
    assert "no price" not in read(shops, "/handoffs").text
    assert "Failed hand-offs (default): 1" in read(shops, "/").text


def test_shops_stay_in_the_navigation_when_the_disk_fails(
    shops: Administrator, exchange: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are known without it."""
    monkeypatch.setattr(type(exchange.catalog.journal), "users", failing)
    monkeypatch.setattr(type(exchange.store), "free", lambda _: 10)
    reply = shops.ask("/exchanges")

    assert reply.status == 503
    assert b'href="shops"' in reply.body


async def failing(*_: object) -> None:
    """Do as a disk that fails."""
    raise OSError
