"""The doors of several shops: who is let in where, and what differs behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from in_memory import CONFIG, PASSWORD, PATH, TUS_PATH, InMemory, Reply, basic
from many_shops import checker, shop
from rufh_in_memory import RufhInMemory
from tus_in_memory import TusInMemory, metadata
from twisted.internet.defer import Deferred

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.exchange.resource import Exchange
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.daemon.config import Shop

COMMON = evolve(CONFIG, auth=(checker("anna", "boris", "clara"),))
NORTH = shop("north", ["anna"], COMMON, language="ru", zip=False, file_limit=2000, body_limit=2000)
SOUTH = shop("south", ["dora"], COMMON, auth=True, status_codes="ok", sessid="optional")
EAST = shop("east", ["clara"], COMMON, path=("/east.php",), session_quota=100)
WEST = shop("west", ["anna", "emil"], COMMON, auth=True, path=("/west.php",), tus_path="/west/files")


@pytest.fixture
def trade(make_exchange: Callable[..., InMemory]) -> Callable[..., InMemory]:
    """Make an exchange with shops."""

    def make(*shops: Shop, **changes: object) -> InMemory:
        return make_exchange(auth=COMMON.auth, shops=shops, **changes)

    return make


def ask(exchange: InMemory, path: str, query: str, body: bytes = b"", **headers: str) -> Reply:
    """Send a request to a path."""
    method = "POST" if body else "GET"
    waiting = exchange.send(method, query, body, path=path, **headers)
    return exchange.reply(waiting)


def login(exchange: InMemory, user: str, path: str = PATH, **headers: str) -> Reply:
    """Log in."""
    return ask(exchange, path, "type=catalog&mode=checkauth", b"", Authorization=basic(user, PASSWORD), **headers)


def session(exchange: InMemory, user: str, path: str = PATH) -> tuple[str, str]:
    """Log in; return the cookie and the sessid."""
    lines = login(exchange, user, path).body.decode().split("\n")
    assert lines[:2] == ["success", COOKIE]
    return f"{COOKIE}={lines[2]}", lines[3].removeprefix("sessid=")


def users_of(exchange: InMemory) -> list[str]:
    """Return whose the sessions are."""
    fired: list[list[str]] = []
    Deferred.fromCoroutine(exchange.catalog.sessions.users()).addCallback(fired.append)
    return sorted(fired[0])


def test_each_user_gets_the_account_of_its_shop(trade: Callable[..., InMemory]) -> None:
    """At the shared path by the name, at a shop's own path by the path."""
    exchange = trade(NORTH, SOUTH, EAST, WEST)
    for user, path in (
        ("anna", PATH),
        ("boris", PATH),
        ("dora", PATH),
        ("clara", "/east.php"),
        ("anna", "/west.php"),
        ("emil", "/west.php"),
    ):
        session(exchange, user, path)
    assert users_of(exchange) == ["boris", "east:clara", "north:anna", "south:dora", "west:anna", "west:emil"]


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        ("clara", PATH, 403),
        ("boris", "/east.php", 403),
        ("anna", "/east.php", 403),
        ("dora", "/east.php", 401),
        ("boris", "/west.php", 401),
        ("emil", PATH, 401),
        ("nobody", PATH, 401),
    ],
)
def test_a_path_lets_in_only_its_users(trade: Callable[..., InMemory], user: str, path: str, status: int) -> None:
    """Whoever else has a right password is told to correct the address, whoever has none hears nothing of shops."""
    exchange = trade(NORTH, SOUTH, EAST, WEST)
    reply = login(exchange, user, path)
    assert reply.status == status
    assert ("another shop" in reply.body.decode()) is (status == 403)
    assert users_of(exchange) == []


def test_a_session_opens_nothing_at_the_path_of_another_shop(trade: Callable[..., InMemory]) -> None:
    """Neither way, and it stays what it was."""
    exchange = trade(NORTH, EAST)
    for user, own, other in (("anna", PATH, "/east.php"), ("clara", "/east.php", PATH)):
        cookie, sessid = session(exchange, user, own)
        query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
        refused = ask(exchange, other, query, b"x", Cookie=cookie)
        assert (refused.status, refused.body.decode("utf-8").split("\n")[0]) == (403, "failure")
        assert ask(exchange, own, query, b"x", Cookie=cookie).body == b"success"


def test_what_nodes_hear_is_as_their_shop_says(trade: Callable[..., InMemory]) -> None:
    """Pieces, packing, language, statuses and the sessid: each shop's own, behind the same path."""
    exchange = trade(NORTH, SOUTH)
    north, south, default = (session(exchange, user) for user in ("anna", "dora", "boris"))

    def init(one: tuple[str, str]) -> list[bytes]:
        reply = exchange.request("POST", f"type=catalog&mode=init&sessid={one[1]}", Cookie=one[0])
        return reply.body.split(b"\n")[:2]

    assert init(north) == [b"zip=no", b"file_limit=2000"]
    assert init(default) == [b"zip=yes", b"file_limit=1000"]
    missing = "type=catalog&mode=file&sessid="
    assert exchange.request("POST", missing + north[1], b"x", Cookie=north[0]).body.decode().endswith("имени файла")
    assert (
        exchange.request("POST", missing + default[1], b"x", Cookie=default[0]).body == b"failure\nMissing filename"
    )
    refused = exchange.request("POST", "type=catalog&mode=file", b"x", Cookie=south[0])
    assert (refused.status, refused.body) == (200, b"failure\nMissing filename"), "without a sessid, and with 200"
    refused = exchange.request("POST", "type=catalog&mode=file", b"x", Cookie=default[0])
    assert (refused.status, refused.body) == (403, b"failure\nMissing sessid")
    whole = exchange.request(
        "POST", f"type=catalog&mode=file&filename=a&sessid={north[1]}", b"x" * 2001, Cookie=north[0]
    )
    assert whole.status == 413
    whole = exchange.request(
        "POST", f"type=catalog&mode=file&filename=a&sessid={default[1]}", b"x" * 2001, Cookie=default[0]
    )
    assert whole.status == 200


def test_the_quota_of_a_session_is_its_shops(trade: Callable[..., InMemory]) -> None:
    """Estimated before the body, and exact on record."""
    exchange = trade(EAST)
    cookie, sessid = session(exchange, "clara", "/east.php")
    query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
    assert ask(exchange, "/east.php", query, b"x" * 100, Cookie=cookie).status == 200
    assert ask(exchange, "/east.php", query, b"x", Cookie=cookie).status == 507


def test_a_shop_holds_no_more_than_its_quota(trade: Callable[..., InMemory]) -> None:
    """In all sessions of all its users together; other shops have theirs, and room comes back."""
    exchange = trade(
        shop("north", ["anna", "clara"], COMMON, shop_quota=100), shop("south", ["dora"], COMMON, auth=True)
    )
    anna, clara, dora = (session(exchange, user) for user in ("anna", "clara", "dora"))

    def send(one: tuple[str, str], size: int) -> Reply:
        query = f"type=catalog&mode=file&filename=a&sessid={one[1]}"
        return exchange.request("POST", query, b"x" * size, Cookie=one[0])

    assert send(anna, 60).status == 200
    refused = send(clara, 41)
    assert (refused.status, b"shop" in refused.body) == (507, True)
    assert send(clara, 40).status == 200
    assert send(anna, 1).status == 507
    assert send(dora, 1000).status == 200
    exchange.request("POST", f"type=catalog&mode=init&sessid={anna[1]}", Cookie=anna[0])
    exchange.clock.advance(1)
    assert send(clara, 60).status == 200


def test_who_logs_in_again_with_an_old_cookie(trade: Callable[..., InMemory]) -> None:
    """Is who the password says; for anything else the session counts, whatever name comes along."""
    exchange = trade(NORTH, SOUTH)
    cookie, sessid = session(exchange, "dora")
    assert login(exchange, "anna", Cookie=cookie).status == 200
    assert users_of(exchange) == ["north:anna", "south:dora"]
    query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
    assert ask(exchange, PATH, query, b"x", Cookie=cookie, Authorization=basic("anna", "?")).body == b"success"


def test_tus_is_shared_as_well(trade: Callable[..., InMemory]) -> None:
    """Uploads belong to accounts: nobody finds those of another shop, even with the same name."""
    exchange = trade(NORTH, SOUTH, WEST)
    north, default = TusInMemory(exchange, "anna"), TusInMemory(exchange, "boris")
    created = north.request("POST", TUS_PATH, Upload_Length="2", Upload_Metadata=metadata(filename="a"))
    assert created.status == 201
    path = "/" + created.headers["location"].partition("/files/")[2]
    assert north.request("HEAD", TUS_PATH + path).status == 200
    assert default.request("HEAD", TUS_PATH + path).status == 404
    west = TusInMemory(exchange, "anna")
    assert west.request("HEAD", f"/west/files{path}").status == 404
    created = west.request("POST", "/west/files", Upload_Length="2", Upload_Metadata=metadata(filename="a"))
    assert created.status == 201
    assert created.headers["location"].startswith("http://shop.example/west/files/")
    assert west.request("POST", "/east/files", Upload_Length="2").status == 404
    assert TusInMemory(exchange, "emil").request("POST", TUS_PATH, Upload_Length="2").status == 401


def test_rufh_is_shared_as_well(trade: Callable[..., InMemory]) -> None:
    """An upload belongs to its user's shop: its limits, and nobody else's eyes."""
    exchange = trade(shop("north", ["anna"], COMMON, session_quota=5000), WEST)
    north, default = RufhInMemory(exchange, "anna"), RufhInMemory(exchange, "boris")
    path = north.careful(Content_Disposition="inline; filename=a")
    assert north.look(path).headers["upload-limit"].startswith("max-size=5000, ")
    assert default.look(path).status == 404
    assert north.add(path, 0, b"hello", "?1")[-1].status == 200
    for client in (north, default):
        client.close()


def test_each_shop_has_its_importer(trade: Callable[..., InMemory]) -> None:
    """It hears of its shop, and of the plain name; nothing of another shop ever gets there."""
    importers = {name: FakeImporter() for name in ("default", "north", "south")}
    marked = {"north": evolve(NORTH, config=evolve(NORTH.config, importer="north"))}
    marked["south"] = evolve(SOUTH, config=evolve(SOUTH.config, importer="south"))
    exchange = trade(
        *marked.values(), importer_of=lambda config: importers.get(config.importer, importers["default"])
    )
    for user in ("anna", "dora", "boris"):
        cookie, sessid = session(exchange, user)
        query = f"&filename={user}.xml&sessid={sessid}"
        exchange.request("POST", f"type=catalog&mode=file{query}", b"<a/>", Cookie=cookie)
        assert exchange.request("GET", f"type=catalog&mode=import{query}", Cookie=cookie).body == b"success"
    told = {
        name: [(one.shop, one.user, one.filename) for one in importer.delivered]
        for name, importer in importers.items()
    }
    assert told == {
        "default": [(None, "boris", "boris.xml")],
        "north": [("north", "anna", "anna.xml")],
        "south": [("south", "dora", "dora.xml")],
    }


def test_each_shop_settles_in_its_time(trade: Callable[..., InMemory]) -> None:
    """What one hands off after a minute, another leaves for an hour."""
    importer = FakeImporter()
    exchange = trade(
        shop("north", ["anna"], COMMON, settle=60.0),
        shop("south", ["clara"], COMMON, settle=7200.0),
        importer=importer,
    )
    for user in ("anna", "clara", "boris"):
        cookie, sessid = session(exchange, user)
        exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"x", Cookie=cookie)
    for seconds, users in ((61, ["anna"]), (250, ["anna", "boris"]), (7000, ["anna", "boris", "clara"])):
        exchange.clock.advance(seconds)
        exchange.parts.handoffs.settle_quiet()
        assert [one.user for one in importer.delivered] == users


def test_without_shops_no_door_is_shared(trade: Callable[..., InMemory]) -> None:
    """A request costs no more than it did."""
    root = trade().site.resource
    assert isinstance(root.getStaticEntity(b"1c_exchange.php"), Exchange)
