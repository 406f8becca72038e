"""The library against a site that a test writes: what is sent, what is understood, what is tried again."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.web.client import HTTPConnectionPool

from onec_twisted.node import Node, Refusal, Strange, Unreachable, dialogue, http_client
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shop import Shop

    from onec_twisted.node.dialogue import Sent

LOGIN = {"text": "success\nonec\nabc\nsessid=1 2\ntimestamp=17"}
INIT = {"text": "zip=no\nfile_limit=10"}
DONE = {"text": "success"}
CUT = {"raw": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsuc"}
ORDERS = '<?xml version="1.0"?>' + "x" * 200_000


@pytest.fixture
def pool() -> Iterator[HTTPConnectionPool]:
    """The connections of a test."""
    from twisted.internet import reactor

    pool = HTTPConnectionPool(reactor)
    yield pool
    pytest_twisted.blockon(pool.closeCachedConnections())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    monkeypatch.setattr(dialogue, "TRY_PAUSE", Backoff(0.0, 0.0))
    monkeypatch.setattr(dialogue, "SHORTEST_PAUSE", 0.0)


@pytest.fixture
def begun(shop: Shop, shop_url: str, pool: HTTPConnectionPool) -> Callable[..., Node]:
    """Make a node that has logged in, and knows the parameters; then come a test's answers."""

    def begin(*answers: dict[str, Any], init: dict[str, Any] = INIT, **settings: Any) -> Node:
        from twisted.internet import reactor

        shop.answers = [LOGIN, init, *answers]
        values: dict[str, Any] = {"timeout": 20.0, "retries": 2, **settings}
        client = http_client(reactor, shop_url, pool=pool)
        return Node(reactor, client, f"{shop_url}/1c", "Иван", "п:а роль", **values)

    return begin


async def logged_in(node: Node) -> Node:
    """Log in and begin."""
    await node.checkauth()
    await node.init()
    return node


async def sent(node: Node, content: bytes, places: list[int] | None = None) -> Sent:
    """Send a file."""
    progress = places.append if places is not None else (lambda _: None)
    return await node.send_file("a b/ж.xml", io.BytesIO(content), progress=progress)


@pytest_twisted.ensureDeferred
async def test_what_a_node_sends(shop: Shop, begun: Callable[..., Node]) -> None:
    """As the platform does: Basic on each request, the cookie from ``init`` on, pieces under one name in order."""
    node = begun(DONE)
    await logged_in(node)
    places: list[int] = []
    result = await sent(node, b"0123456789abcdefghijXYZ", places)
    first, second, *pieces = shop.seen

    assert [(one.method, one.uri) for one in (first, second)] == [
        ("GET", "/1c?type=catalog&mode=checkauth"),
        ("GET", "/1c?type=catalog&mode=init&sessid=1%202"),
    ]
    assert "cookie" not in first.headers
    assert second.headers["cookie"] == "onec=abc"
    assert {one.headers["authorization"] for one in shop.seen} == {
        "Basic " + b64encode("Иван:п:а роль".encode()).decode()
    }
    assert [one.body for one in pieces] == ["0123456789", "abcdefghij", "XYZ"]
    assert {one.uri for one in pieces} == {"/1c?type=catalog&mode=file&filename=a%20b/%D0%B6.xml&sessid=1%202"}
    assert all("upload-offset" not in one.headers and "accept-encoding" not in one.headers for one in pieces)
    assert (result.size, result.bytes_sent, result.pieces, places[-1]) == (23, 23, 3, 23)
    assert node.sessid == "1 2"


@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2)])
@pytest_twisted.ensureDeferred
async def test_sizes(shop: Shop, begun: Callable[..., Node], size: int, pieces: int) -> None:
    """An empty file is one empty piece; a full piece has none behind it."""
    node = await logged_in(begun(DONE))

    assert (await sent(node, b"x" * size)).pieces == pieces == len(shop.seen) - 2


@pytest_twisted.ensureDeferred
async def test_a_site_without_a_limit_gets_files_whole(shop: Shop, begun: Callable[..., Node]) -> None:
    """As 1C does."""
    node = begun(DONE, init={"text": "zip=no"})
    await logged_in(node)

    assert (await sent(node, b"x" * 1000)).pieces == 1


@pytest_twisted.ensureDeferred
async def test_a_broken_piece_goes_on_where_the_site_is(shop: Shop, begun: Callable[..., Node]) -> None:
    """Its success was lost: what it has is not sent again, and from then on each piece tells its place."""
    node = begun(CUT, {"headers": {"Upload-Offset": "10"}}, DONE)
    await logged_in(node)
    result = await sent(node, b"0123456789abc")

    assert [(one.method, one.body, one.headers.get("upload-offset")) for one in shop.seen[2:]] == [
        ("POST", "0123456789", None),
        ("HEAD", "", None),
        ("POST", "abc", "10"),
    ]
    assert (result.bytes_sent, result.size) == (13, 13)


@pytest_twisted.ensureDeferred
async def test_a_broken_piece_is_repeated_where_nothing_came(shop: Shop, begun: Callable[..., Node]) -> None:
    """With its place, so that a repeat is harmless."""
    node = begun(CUT, {"headers": {"Upload-Offset": "0"}}, DONE)
    await logged_in(node)
    result = await sent(node, b"0123456789abc")

    assert [one.headers.get("upload-offset") for one in shop.seen[4:]] == ["0", "10"]
    assert (result.bytes_sent, result.size, result.pieces) == (23, 13, 2)


@pytest_twisted.ensureDeferred
async def test_a_site_behind_a_proxy_that_is_busy(shop: Shop, begun: Callable[..., Node]) -> None:
    """Its HEAD is asked again, however often: what it has is not doubled."""
    node = begun(CUT, {"status": 502}, {"status": 503}, {"headers": {"Upload-Offset": "10"}}, DONE, retries=3)
    await logged_in(node)
    await sent(node, b"0123456789abc")

    assert [one.method for one in shop.seen[2:]] == ["POST", "HEAD", "HEAD", "HEAD", "POST"]
    assert shop.seen[-1].body == "abc"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest_twisted.ensureDeferred
async def test_a_busy_site_is_asked_again(shop: Shop, begun: Callable[..., Node], status: int) -> None:
    """For a piece and for an import; the length that it tells is believed."""
    busy = {"status": status, "text": "failure\nFile busy - retry later", "headers": {"Retry-After": "0"}}
    node = begun(busy, {"headers": {"Upload-Offset": "0"}}, DONE, busy, DONE)
    await logged_in(node)
    await sent(node, b"0123")
    state = await node.import_file("a")

    assert state.done
    assert [one.method for one in shop.seen[2:]] == ["POST", "HEAD", "POST", "GET", "GET"]


@pytest_twisted.ensureDeferred
async def test_a_site_that_tells_its_offsets_with_each_piece(shop: Shop, begun: Callable[..., Node]) -> None:
    """Is told where each belongs from then on; one that has more by now than it said is followed."""
    node = begun(
        {"text": "success", "headers": {"Upload-Offset": "10"}},
        CUT,
        {"headers": {"Upload-Offset": "10"}},
        {"status": 409, "text": "failure\nExpected offset 20", "headers": {"Upload-Offset": "20"}},
        {"text": "success", "headers": {"Upload-Offset": "23"}},
    )
    await logged_in(node)
    await sent(node, b"0123456789abcdefghijXYZ")

    assert [(one.method, one.body, one.headers.get("upload-offset")) for one in shop.seen[2:]] == [
        ("POST", "0123456789", None),
        ("POST", "abcdefghij", "10"),
        ("HEAD", "", None),
        ("POST", "abcdefghij", "10"),
        ("POST", "XYZ", "20"),
    ]


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_sealed(begun: Callable[..., Node]) -> None:
    """Is a refusal, not another try."""
    told = {"headers": {"Upload-Offset": "10"}}
    refused = {"status": 409, "text": "failure\nFile was handed off already", **told}
    node = await logged_in(begun({"text": "success", **told}, refused))
    with pytest.raises(Refusal, match="handed off already"):
        await sent(node, b"0123456789abc")


@pytest_twisted.ensureDeferred
async def test_a_session_that_has_ended(begun: Callable[..., Node]) -> None:
    """There is nothing to go on with."""
    node = await logged_in(begun(CUT, {"status": 403}))
    with pytest.raises(Refusal, match="start a new exchange"):
        await sent(node, b"0123")


@pytest_twisted.ensureDeferred
async def test_a_file_that_changes(shop: Shop, begun: Callable[..., Node], tmp_path: Path) -> None:
    """Is told as what it is: it is not the site's fault."""
    path = tmp_path / "a"
    path.write_bytes(b"0123456789abc")
    node = await logged_in(begun(DONE))

    def change(place: int) -> None:
        if place == 10:
            os.utime(path, (1, 1))

    with pytest.raises(OSError, match="was changed while it was sent"):
        await node.send_file("a", path, progress=change)

    def shrink(place: int) -> None:
        path.write_bytes(b"")

    path.write_bytes(b"x" * 500_000)
    node._parameters = None
    with pytest.raises(OSError, match="became shorter"):
        await node.send_file("a", path, progress=shrink)


@pytest_twisted.ensureDeferred
async def test_what_was_sent_is_abandoned(shop: Shop, begun: Callable[..., Node]) -> None:
    """By ``init``, asked once."""
    node = await logged_in(begun(INIT, CUT))

    assert await node.abandon()
    assert not await node.abandon()
    assert [one.uri.split("&")[1] for one in shop.seen[2:]] == ["mode=init", "mode=init"]


@pytest_twisted.ensureDeferred
async def test_other_sites_get_the_piece_again(shop: Shop, begun: Callable[..., Node]) -> None:
    """They tell no length; nothing better can be done."""
    node = begun(CUT, {"status": 405}, DONE)
    await logged_in(node)
    await sent(node, b"0123456789abc")

    assert [one.body for one in shop.seen[4:]] == ["0123456789", "abc"]
    assert all("upload-offset" not in one.headers for one in shop.seen)


@pytest_twisted.ensureDeferred
async def test_a_site_that_has_more_than_there_is(begun: Callable[..., Node]) -> None:
    """Somebody else wrote to it: a new exchange is the only way."""
    node = await logged_in(begun(CUT, {"headers": {"Upload-Offset": "99"}}))
    with pytest.raises(Strange, match="start a new exchange"):
        await sent(node, b"0123456789abc")


@pytest_twisted.ensureDeferred
async def test_tries_have_an_end(shop: Shop, begun: Callable[..., Node]) -> None:
    """And are told of, without the password."""
    lines: list[str] = []
    node = await logged_in(begun(CUT, report=lines.append))
    with pytest.raises(Unreachable):
        await sent(node, b"x")

    assert len(lines) >= 2
    assert all("роль" not in line and "trying again" in line for line in lines)
    assert "роль" not in repr(node)


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_not_tried_again(shop: Shop, begun: Callable[..., Node]) -> None:
    """The site has said what it thinks."""
    node = await logged_in(begun({"status": 507, "text": "failure\nInsufficient storage"}))
    with pytest.raises(Refusal, match=r"^Insufficient storage$") as raised:
        await sent(node, b"x")

    assert raised.value.status == 507
    assert len(shop.seen) == 3


@pytest_twisted.ensureDeferred
async def test_imports_are_followed(shop: Shop, begun: Callable[..., Node]) -> None:
    """While there is progress, also over a lost answer."""
    words: list[str] = []
    node = await logged_in(
        begun({"text": "progress\n10 %"}, CUT, {"text": "progress\n90 %"}, {"text": "success\n5 goods"})
    )
    state = await node.import_file("import0_1.xml", progress=words.append)

    assert (state.done, state.words, words) == (True, "5 goods", ["10 %", "90 %"])
    assert len({one.uri for one in shop.seen[2:]}) == 1


@pytest_twisted.ensureDeferred
async def test_the_end_of_an_exchange(shop: Shop, begun: Callable[..., Node]) -> None:
    """``complete``, and ``deactivate`` with the time of the login."""
    node = await logged_in(begun(DONE))
    await node.complete()
    await node.deactivate()

    assert [one.uri for one in shop.seen[2:]] == [
        "/1c?type=catalog&mode=complete&sessid=1%202",
        "/1c?type=catalog&mode=deactivate&timestamp=17&sessid=1%202",
    ]


@pytest.mark.parametrize("chunked", [True, False])
@pytest_twisted.ensureDeferred
async def test_orders(shop: Shop, begun: Callable[..., Node], chunked: bool) -> None:
    """Are passed on as they come, and confirmed."""
    node = await logged_in(begun({"text": ORDERS, "chunked": chunked}, DONE))
    parts: list[bytes] = []

    assert await node.query_orders(parts.append) == len(ORDERS)
    assert b"".join(parts).decode() == ORDERS
    assert (await node.confirm_orders()).done


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"text": "failure\nLater"}, Refusal, "Later"),
        ({"text": "<html>"}, Strange, "a page of HTML"),
        ({"text": "\ufeff<?xml?>"}, Strange, "query"),
        ({"text": "PK", "status": 500}, Strange, "500"),
        ({"text": ORDERS, "breaks": 100_000}, Unreachable, "cannot be asked"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_orders_that_are_none(
    begun: Callable[..., Node], answer: dict[str, Any], kind: type[Exception], words: str
) -> None:
    """Nothing is written of what is no document."""
    node = await logged_in(begun(answer))
    parts: list[bytes] = []
    with pytest.raises(kind, match=words):
        await node.query_orders(parts.append)

    assert parts == [] or "breaks" in answer


@pytest_twisted.ensureDeferred
async def test_a_site_that_falls_silent(shop: Shop, begun: Callable[..., Node]) -> None:
    """Is given up after its time."""
    node = await logged_in(begun({"silent": True}, timeout=0.3, retries=0))
    with pytest.raises(Unreachable, match="did not answer within 0 s"):
        await sent(node, b"x")


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("<?xml?><КоммерческаяИнформация></КоммерческаяИнформация>\n", True),
        ("<?xml?><КоммерческаяИнформация/>", True),
        ("<?xml?><КоммерческаяИнформация><Документ>", False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_documents_that_end_with_their_connection(
    begun: Callable[..., Node], text: str, is_whole: bool
) -> None:
    """May have been cut off: what does not end as a document does is none."""
    node = await logged_in(begun({"raw": f"HTTP/1.0 200 OK\r\n\r\n{text}"}))
    if is_whole:
        assert await node.query_orders(lambda _: None) == len(text.encode())
        return
    with pytest.raises(Unreachable, match="broke off"):
        await node.query_orders(lambda _: None)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ({"text": "zip=no\nfile_limit=10\n"}, "a LF at the end"),
        ({"text": "\ufeffzip=no\nfile_limit=10"}, "byte order mark"),
        ({"text": "zip=no\nfile_limit=10\nsessid=1\nversion=2.10"}, "4 lines"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_habits_of_other_sites(begun: Callable[..., Node], init: dict[str, Any], words: str) -> None:
    """They work here, and it is said who stumbles over them."""
    node = begun(DONE, init=init)
    await node.checkauth()
    parameters = await node.init()

    assert parameters.file_limit == 10
    assert any(words in remark.words for remark in parameters.remarks)
    assert (await sent(node, b"x" * 11)).pieces == 2


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_not_followed(shop: Shop, begun: Callable[..., Node]) -> None:
    """No 1C follows one."""
    node = begun()
    shop.answers = [{"status": 301, "headers": {"location": "https://shop.example/1c"}}]
    with pytest.raises(Strange, match=r"redirects to https://shop\.example/1c; 1C does not follow"):
        await node.checkauth()

    assert len(shop.seen) == 1
