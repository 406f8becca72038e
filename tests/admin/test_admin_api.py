"""What the pages show and do, for programs."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator
from records import now_of
from shops import NORTH, SOUTH, traded

from onec_twisted.model.journal import RefusalLine
from onec_twisted.model.records import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

DOCUMENT = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text(encoding="utf-8")
API = "/api/v1"


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """Who asks, on this machine."""
    return Administrator(exchange)


def asked(administrator: Administrator, path: str, **headers: str) -> Any:
    """Return what a path answers with 200."""
    reply = administrator.ask(f"{API}/{path}", **headers)
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "application/json"
    return json.loads(reply.body)


def done(administrator: Administrator, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
    """Ask for an action; return the status and what is answered."""
    headers = {"Content_Type": "application/json", **headers}
    reply = administrator.ask(f"{API}/{path}", "POST", body, **headers)
    return reply.status, json.loads(reply.body)


def failed_import(exchange: InMemory) -> None:
    """Let a node send a document that is imported by nobody: there is none of that name."""
    cookie, sessid = exchange.checkauth()
    query = f"type=catalog&mode=file&filename=import0_1.xml&sessid={sessid}"
    exchange.request("POST", query, b"<x/>", Cookie=cookie)
    exchange.request("GET", f"type=catalog&mode=import&filename=import0_1.xml&sessid={sessid}", b"", Cookie=cookie)


def test_an_exchange_in_all_its_forms(administrator: Administrator) -> None:
    """In the list, by its number, in its user's row, and in the totals."""
    failed_import(administrator.exchange)
    listed = asked(administrator, "exchanges?user=shop")
    (line,) = listed["items"]
    whole = asked(administrator, f"exchanges/{line['number']}")

    assert listed["next"] is None
    assert (line["username"], line["files"], line["imports"]) == ("shop", 1, 1)
    assert whole["line"] == line
    assert [file["name"] for file in whole["files"]] == ["import0_1.xml"]
    assert [one["event"] for one in whole["imports"]] == ["import"]
    assert asked(administrator, "users")["items"][0]["recent"] == [line]
    assert asked(administrator, "status")["summary"]["sessions"] == 1
    (session,) = asked(administrator, "sessions")["items"]
    assert (session["sessid"], session["files"]) == (line["sessid"], 1)
    (handoff,) = asked(administrator, "handoffs")["items"]
    assert (handoff["filename"], handoff["username"]) == ("import0_1.xml", "shop")
    assert {(one["shop"], one["user"]) for one in (line, session, handoff)} == {("default", "shop")}
    assert asked(administrator, "shops") == {"items": []}
    assert asked(administrator, "settings") == {"items": {"--importer": "keep"}}
    assert asked(administrator, "minutes") == {"items": []}
    assert asked(administrator, "refusals") == {"items": [], "next": None}


@pytest.fixture
def shops(administrator: Administrator) -> Administrator:
    """Who asks of two shops, where something is on record of one, and of the default one."""
    administrator.shops += [NORTH, SOUTH]
    exchange = administrator.exchange
    traded(exchange, "north:alice", "1" * 32)
    traded(exchange, "north:bob", "2" * 32, state=FAILED, words="no price")
    traded(exchange, "alice", "3" * 32)
    refused = RefusalLine(0, 5.0, 5.0, 1, "", "a", "2" * 32, 401, "no", "No", "GET /")
    now_of(exchange.catalog.journal.note_refusals([refused]))
    return administrator


@pytest.mark.parametrize("path", ["exchanges", "handoffs", "refusals", "users"])
def test_lines_of_a_shop(shops: Administrator, path: str) -> None:
    """Each says whose it is; a user is an account, or is one of the shop's."""
    listed = asked(shops, f"{path}?shop=north")["items"]

    assert listed
    assert {(one["username"], one["shop"], one["user"]) for one in listed} <= {
        ("north:alice", "north", "alice"),
        ("north:bob", "north", "bob"),
    }
    assert asked(shops, f"{path}?shop=south")["items"] == []
    if path != "users":
        of_bob = [one for one in listed if one["user"] == "bob"]
        assert asked(shops, f"{path}?shop=north&user=bob")["items"] == of_bob
        assert asked(shops, f"{path}?user=north:bob")["items"] == of_bob


def test_shops(shops: Administrator) -> None:
    """Each has its totals, and its own settings; the default one is there if anything of it is on record."""
    north, south, default = asked(shops, "shops")["items"]

    assert north["last"]["user"] == "bob"
    assert {**north, "last": None} == {
        "name": "north",
        "quota": 1024,
        "held": 10,
        "sessions": 2,
        "waiting": 0,
        "failed": 1,
        "last": None,
        "settings": {"--history": "90 days"},
    }
    assert (south["name"], south["sessions"], south["last"]) == ("south", 0, None)
    assert (default["name"], default["sessions"], default["last"]["user"]) == ("default", 1, "alice")


def test_actions_for_a_shop(shops: Administrator) -> None:
    """Other shops keep what has failed of theirs."""
    assert done(shops, "handoffs/all/drop", '{"shop": "south"}') == (404, {"outcome": "gone"})
    assert done(shops, "handoffs/all/drop", '{"shop": "north", "user": "alice"}') == (404, {"outcome": "gone"})
    assert done(shops, "handoffs/all/drop", '{"shop": "north", "user": "bob"}') == (200, {"outcome": "dropped_all"})
    assert asked(shops, "handoffs?state=failed")["items"] == []


def test_pages_of_many(administrator: Administrator) -> None:
    """Each names where the next one begins; none is left out."""
    for _ in range(120):
        administrator.exchange.checkauth()
    numbers, path = [], "exchanges"
    while True:
        page = asked(administrator, path)
        numbers += [line["number"] for line in page["items"]]
        if page["next"] is None:
            break
        path = f"exchanges?before={page['next']}"

    assert numbers == list(range(120, 0, -1))


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("", 404, "nothing here"),
        ("nonsense", 404, "nothing here"),
        ("status/1", 404, "nothing here"),
        ("exchanges/7", 404, "gone"),
        ("exchanges/x", 400, "is a number"),
        ("exchanges/99999999999999999999", 400, "is a number"),
        ("exchanges?state=nonsense", 400, "state=nonsense: no such value"),
        ("exchanges?day=yesterday", 400, "day=yesterday"),
        ("exchanges?before=-1", 400, "before=-1"),
        ("exchanges?colour=red", 400, "there is no field colour"),
        ("handoffs?state=x", 400, "state=x"),
        ("refusals?before=x", 400, "before=x"),
        ("users?user=shop", 400, "there is no field user"),
        ("shops/north", 404, "nothing here"),
    ],
)
def test_what_cannot_be_answered(administrator: Administrator, path: str, status: int, words: str) -> None:
    """It is said in words, as JSON."""
    reply = administrator.ask(f"{API}/{path}")

    assert reply.status == status
    assert words in json.loads(reply.body)["error"]


def test_other_methods(administrator: Administrator) -> None:
    """Only GET and POST."""
    assert administrator.ask(f"{API}/status", "DELETE").status == 405
    assert administrator.ask(f"{API}/status", "HEAD").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content_Type": "application/json; charset=utf-8", "Sec_Fetch_Site": "same-origin"}, 404),
    ],
)
def test_pages_of_other_sites_can_do_nothing(
    administrator: Administrator, headers: dict[str, str], status: int
) -> None:
    """A form cannot send JSON, and a script may not without asking."""
    sent = {"Content_Type": "application/json", **headers}
    assert administrator.ask(f"{API}/handoffs/x/retry", "POST", "{}", **sent).status == status


@pytest.mark.parametrize("body", ["[]", "nonsense", '{"user": 1}', "\xff"])
def test_bodies_that_say_nothing(administrator: Administrator, body: str) -> None:
    """They are refused in words."""
    assert done(administrator, "handoffs/all/retry", body)[0] == 400


def test_a_password_is_needed_here_too(exchange: InMemory) -> None:
    """The same as for the pages."""
    administrator = Administrator(exchange, {"root": b"toor"})
    login = "Basic " + b64encode(b"root:toor").decode()

    assert administrator.ask(f"{API}/status").status == 401
    assert asked(administrator, "status", Authorization=login)["good"] is True


def test_actions(make_exchange: Callable[..., InMemory]) -> None:
    """What is there is retried, dropped and ended; what is not is gone."""
    exchange = make_exchange(import_hold=0.0)
    administrator = Administrator(exchange)
    failed_import(exchange)
    (handoff,) = asked(administrator, "handoffs")["items"]
    (session,) = asked(administrator, "sessions")["items"]

    assert done(administrator, f"handoffs/{handoff['id']}/again")[0] in {200, 409}
    assert done(administrator, "handoffs/nothing/retry") == (404, {"outcome": "gone"})
    assert done(administrator, "handoffs/all/retry", '{"user": "shop"}') == (404, {"outcome": "gone"})
    assert done(administrator, "handoffs/x/explode")[0] == 404
    assert done(administrator, "handoffs")[0] == 404
    assert done(administrator, f"sessions/{session['sessid']}/end") == (200, {"outcome": "ended"})
    assert asked(administrator, "sessions") == {"items": []}


def shape(value: Any) -> Any:
    """Return the names in a value, whatever it says."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def test_the_document_shows_what_is_answered(administrator: Administrator) -> None:
    """Each example has the names that the answer has."""
    failed_import(administrator.exchange)
    administrator.shops += [NORTH, SOUTH]
    traded(administrator.exchange, "north:alice", "1" * 32)
    examples = re.findall(r"`GET /api/v1/([a-z0-9/]+)`.*?```json\n(.*?)```", DOCUMENT, re.DOTALL)

    assert {path.partition("/")[0] for path, _ in examples} >= {"status", "exchanges", "handoffs"}
    for path, example in examples:
        told, answered = json.loads(example), asked(administrator, path)
        if path == "shops":
            told["items"][0]["settings"] = dict(NORTH.own)
        if path == "status":
            told["reasons"], told["transfers"] = [], []
        assert shape(told) == shape(answered), path
