"""The name of a daemon among several: what begins with it, and what is noticed of a proxy that mixes them up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tus_in_memory import TusInMemory
from twisted.logger import LogLevel

from onec_twisted.auth.shard import WARNING_INTERVAL, Shard, is_shard_name
from onec_twisted.storage.local import SESSID

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

TOKEN = "0123456789abcdef" * 4
SESSID_OF_A = "a-" + TOKEN[:32]
RFC_6265 = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
"""What a cookie's value may be without quotes: section 4.1.1."""


def warnings(events: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Return the warnings about requests for other shards: whose, where, how many."""
    return [
        (event["other"], event["here"], event["requests"])
        for event in events
        if event.get("log_level") is LogLevel.warn and "other" in event
    ]


@pytest.mark.parametrize("name", ["a", "Z", "7", "shop2", "12345678"])
def test_names(name: str) -> None:
    """One to eight letters and digits."""
    assert is_shard_name(name)


@pytest.mark.parametrize("name", ["", "123456789", "a-b", "a b", "a\n", "a_", "ж", "٣", "a.b", "a/b", "%61"])
def test_what_is_no_name(name: str) -> None:
    """Whatever would have to be quoted in a URL or a cookie, or could be mistaken for the rest."""
    assert not is_shard_name(name)


@given(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True), st.sampled_from([16, 32]))
def test_what_is_made(name: str, size: int) -> None:
    """The name, a hyphen and random digits: fit for a URL, a cookie and a folder; never the same twice."""
    shard = Shard(name, float)
    made = shard.new_id(size)

    assert re.fullmatch(rf"{name}-[0-9a-f]{{{2 * size}}}", made)
    assert RFC_6265.fullmatch(made)
    assert size != 16 or SESSID.fullmatch(made)
    assert shard.new_id(size) != made


def test_without_a_name() -> None:
    """As ever: random digits alone."""
    assert re.fullmatch(r"[0-9a-f]{32}", Shard(None, float).new_id(16))


@pytest.mark.parametrize("identifier", [f"a-{TOKEN}", SESSID_OF_A, SESSID_OF_A.encode()])
@pytest.mark.parametrize(("name", "here"), [("b", "shard b"), (None, "a daemon without --shard")])
def test_another_shards_are_noticed(
    identifier: str | bytes, name: str | None, here: str, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Tokens, sessids and uploads; also by a daemon that was given no name."""
    Shard(name, float).note_unknown(identifier)

    assert warnings(nothing_left_behind) == [("a", here, 1)]


@pytest.mark.parametrize(
    "identifier", ["", TOKEN, f"b-{TOKEN}", f"A-{TOKEN[:31]}", "a-", f"a-b-{TOKEN}", b"\xff", f"123456789-{TOKEN}"]
)
def test_others_are_not(identifier: str | bytes, nothing_left_behind: list[dict[str, Any]]) -> None:
    """A session of this daemon that is over, one from before it had a name, and what no daemon has made."""
    Shard("b", float).note_unknown(identifier)

    assert warnings(nothing_left_behind) == []


def test_the_log_is_not_flooded(nothing_left_behind: list[dict[str, Any]]) -> None:
    """One warning a minute, which counts those in between: anybody can make an identifier up."""
    time = [100.0]
    shard = Shard("b", lambda: time[0])
    for _ in range(1000):
        shard.note_unknown(SESSID_OF_A)
    time[0] += WARNING_INTERVAL - 1
    shard.note_unknown(SESSID_OF_A)
    assert warnings(nothing_left_behind) == [("a", "shard b", 1)]

    time[0] += 1
    shard.note_unknown(f"c-{TOKEN}")
    assert warnings(nothing_left_behind) == [("a", "shard b", 1), ("c", "shard b", 1001)]


def test_all_that_a_daemon_hands_out_begins_with_its_name(make_exchange: Callable[..., InMemory]) -> None:
    """Cookies, sessids, uploads and the folders of both."""
    exchange = make_exchange(shard="shop2")
    cookie, sessid = exchange.checkauth()
    location = TusInMemory(exchange).made(3)

    assert re.fullmatch(r"onec_session=shop2-[0-9a-f]{64}", cookie)
    assert re.fullmatch(r"shop2-[0-9a-f]{32}", sessid)
    assert re.fullmatch(r"/files/shop2-[0-9a-f]{32}", location)
    query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
    assert exchange.request("POST", query, b"x", Cookie=cookie).body == b"success"
    assert exchange.files()[f"{sessid}/a"] == b"x"
    assert all(path.startswith("shop2-") for path in exchange.files())


@pytest.mark.parametrize(("before", "after"), [(None, "a"), ("a", "b"), ("a", None)])
def test_sessions_and_uploads_outlive_another_name(
    make_exchange: Callable[..., InMemory],
    nothing_left_behind: list[dict[str, Any]],
    before: str | None,
    after: str | None,
) -> None:
    """The name only begins what is new: what was handed out before works as long as it lives."""
    exchange = make_exchange(shard=before)
    cookie, sessid = exchange.checkauth()
    query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
    exchange.request("POST", query, b"one,", Cookie=cookie)
    upload = TusInMemory(exchange).made(3)
    exchange.catalog.recorder.close()

    again = make_exchange(shard=after)
    assert again.request("POST", query, b"two", Cookie=cookie).body == b"success"
    assert again.files()[f"{sessid}/a"] == b"one,two"
    assert TusInMemory(again).request("HEAD", upload).status == 200
    assert again.checkauth()[1].rpartition("-")[0] == (after or "")
    assert warnings(nothing_left_behind) == []


def test_a_session_of_another_shard(
    make_exchange: Callable[..., InMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """The node gets the answer to any unknown session; the administrator is told once what is wrong."""
    exchange = make_exchange(shard="b")
    for cookie in (f"onec_session=a-{TOKEN}", "onec_session=", ""):
        reply = exchange.request("GET", f"type=catalog&mode=init&sessid={SESSID_OF_A}", Cookie=cookie)
        assert (reply.status, reply.body) == (403, b"failure\nInvalid session")
    assert warnings(nothing_left_behind) == [("a", "shard b", 1)]

    exchange.clock.advance(WARNING_INTERVAL)
    exchange.request("GET", f"type=catalog&mode=init&sessid={SESSID_OF_A}", Cookie="")
    assert warnings(nothing_left_behind)[1:] == [("a", "shard b", 3)]


def test_an_upload_of_another_shard(
    make_exchange: Callable[..., InMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """404 as for any unknown upload, and a warning."""
    exchange = make_exchange(shard="b")

    assert TusInMemory(exchange).request("HEAD", f"/files/{SESSID_OF_A}").status == 404
    assert warnings(nothing_left_behind) == [("a", "shard b", 1)]


def test_a_new_upload_in_a_session_of_another_shard(
    make_exchange: Callable[..., InMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """401 without a password; and a warning."""
    tus = TusInMemory(make_exchange(shard="b"), cookie=f"onec_session=a-{TOKEN}")

    assert tus.request("POST", "/files", b"", Upload_Length="3").status == 401
    assert warnings(nothing_left_behind) == [("a", "shard b", 1)]


def test_a_cookie_that_its_upload_outvotes(
    make_exchange: Callable[..., InMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """A client that has logged in at another shard in the meantime goes on with its upload, and nothing is wrong."""
    exchange = make_exchange(shard="b")
    upload = TusInMemory(exchange).made(3)
    tus = TusInMemory(exchange)

    assert tus.request("HEAD", upload, Cookie=f"onec_session=a-{TOKEN}").status == 200
    assert warnings(nothing_left_behind) == []
