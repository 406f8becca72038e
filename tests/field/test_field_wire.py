"""HTTP to the letter, and what a sender may cost: faults from the field."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator
from certificates import make_certificate
from in_memory import PATH, InMemory, basic, occupied
from line import Line, post
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, DefaultOpenSSLContextFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect

from onec_twisted.admin.door import MOST_CONNECTIONS
from onec_twisted.daemon.listening import LISTEN_BACKLOG, ListeningReactor
from onec_twisted.daemon.logs import json_line, text_line
from onec_twisted.http.allowance import ALLOWANCE_PERIOD, MOST_IN_PERIOD
from onec_twisted.http.body import DRAIN_PAUSE, DRAIN_TIME
from onec_twisted.http.channel import MOST_AHEAD, REQUEST_COST
from onec_twisted.http.head import without_secrets
from onec_twisted.http.sockets import LEAST_READ, MANY_RECORDS, RecordReads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onec_twisted.http.request import ExchangeRequest

HEAD = f"GET {PATH}?type=catalog&mode=init HTTP/1.1\r\nHost: x\r\n".encode()
MALFORMED = b"\r\n\r\nfailure\nMalformed request"
TIMED_OUT = b"\r\n\r\nfailure\nRequest headers timed out"


def calls_of_body(line: Line) -> list[int]:
    """Return the sizes in which a line's body comes from now on."""
    request: ExchangeRequest = line.protocol.request
    sizes: list[int] = []
    received = request.body.data_received

    def data_received(data: bytes) -> None:
        sizes.append(len(data))
        received(data)

    request.body.data_received = data_received  # type: ignore[method-assign]
    return sizes


def begun(exchange: InMemory, session: tuple[str, str], name: str = "a", chunks: int = 1) -> Line:
    """Begin a piece in chunks."""
    line = Line(exchange.site)
    head = post(session, name, b"x", chunks=chunks).partition(b"\r\n\r\n")[0]
    line.send(head + b"\r\n\r\n")
    return line


def test_tiny_chunks_are_decoded_a_few_at_a_time(make_exchange: Callable[..., InMemory]) -> None:
    """One call for many, so many in one turn of the reactor, and the sender is held back until all are decoded."""
    exchange = make_exchange(body_limit=100_000, session_quota=100_000)
    line = begun(exchange, exchange.checkauth())
    sizes = calls_of_body(line)
    line.send(b"1\r\nx\r\n" * 10_000)

    assert sizes == [MOST_IN_PERIOD]
    assert str(line.transport.producerState) == "paused"
    exchange.clock.advance(ALLOWANCE_PERIOD)
    assert sum(sizes) == 2 * MOST_IN_PERIOD
    exchange.clock.advance(ALLOWANCE_PERIOD)
    assert sum(sizes) == 10_000
    assert len(sizes) < 10
    assert str(line.transport.producerState) == "producing"
    line.send(b"0\r\n\r\n")
    assert line.answered.endswith(b"success")
    assert [len(content) for content in exchange.files().values()] == [10_000]


def test_senders_of_tiny_chunks_share_a_turn(make_exchange: Callable[..., InMemory]) -> None:
    """All together cost a turn of the reactor what one does, and each gets on."""
    exchange = make_exchange(body_limit=100_000, session_quota=1_000_000)
    session = exchange.checkauth()
    lines = [begun(exchange, session, str(number)) for number in range(8)]
    bodies = [line.protocol.request.body for line in lines]
    for line in lines:
        line.send(b"1\r\nx\r\n" * 5000)
    assert sum(body.received for body in bodies) < MOST_IN_PERIOD * 1.2
    exchange.clock.advance(ALLOWANCE_PERIOD)
    assert sum(body.received for body in bodies) < MOST_IN_PERIOD * 2.5
    for _ in range(20):
        exchange.clock.advance(ALLOWANCE_PERIOD)

    assert [body.received for body in bodies] == [5000] * 8
    for line in lines:
        line.send(b"0\r\n\r\n")
        assert line.answered.endswith(b"success")


def test_chunks_of_a_usual_size_do_not_wait_behind_tiny_ones(make_exchange: Callable[..., InMemory]) -> None:
    """A read of them costs less than it takes to read."""
    exchange = make_exchange(body_limit=1_000_000, session_quota=10_000_000)
    exchange.store.free_bytes = 10_000_000
    session = exchange.checkauth()
    tiny, usual = begun(exchange, session, "tiny"), begun(exchange, session, "usual")
    tiny.send(b"1\r\nx\r\n" * 10_000)
    usual.send((b"2000\r\n" + b"x" * 8192 + b"\r\n") * 30 + b"0\r\n\r\n")

    assert usual.answered.endswith(b"success")
    tiny.lose()
    exchange.clock.advance(ALLOWANCE_PERIOD)
    exchange.clock.advance(ALLOWANCE_PERIOD)


def test_a_refused_body_of_tiny_chunks_is_thrown_away_a_few_at_a_time(make_exchange: Callable[..., InMemory]) -> None:
    """What nobody wants costs no more than what somebody does, and nothing once the connection is to end."""
    exchange = make_exchange()
    session = exchange.checkauth()
    line = begun(exchange, ("x=y", session[1]))
    sizes = calls_of_body(line)
    assert line.answered.startswith(b"HTTP/1.1 403 ")
    line.send(b"1\r\nx\r\n" * 10_000)
    assert sum(sizes) == MOST_IN_PERIOD
    exchange.clock.pump([DRAIN_PAUSE, DRAIN_TIME])
    assert line.closed
    seen = len(sizes)
    exchange.clock.advance(ALLOWANCE_PERIOD)

    assert len(sizes) == seen
    line.lose()


@pytest.mark.parametrize("chunks", [0, 2])
def test_small_reads_of_a_body_that_waits_take_little_memory(exchange: InMemory, chunks: int) -> None:
    """What comes two bytes at a time for a busy file is held as bytes, not as objects."""
    session = exchange.checkauth()
    over = occupied(exchange, session)
    line = Line(exchange.site)
    wire = post(session, "a", b"xy" * 2400, chunks=chunks)
    place = wire.index(b"\r\n\r\n") + 4
    line.send(wire[:place])
    step = 2 + 5 * bool(chunks)
    body = line.protocol.request.body
    tracemalloc.start()
    line.send(*[wire[start : start + step] for start in range(place, len(wire), step)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(map(len, body._early)) == 4800
    assert held < 30_000
    over.callback(None)
    assert line.answered.endswith(b"success")


def test_small_reads_behind_a_request_take_little_memory(exchange: InMemory) -> None:
    """What comes byte by byte while a request is being answered is kept as few objects."""
    session = exchange.checkauth()
    over = occupied(exchange, session)
    line = Line(exchange.site)
    line.send(post(session, "a", b"x"))
    tracemalloc.start()
    line.send(*[b"G"] * 5000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 10_000
    assert str(line.transport.producerState) == "producing"
    line.send(b"G" * MOST_AHEAD)
    assert str(line.transport.producerState) == "paused"
    over.callback(None)
    line.lose()


def test_requests_in_one_read_are_answered_a_few_at_a_time(exchange: InMemory) -> None:
    """A thousand small ones behind one another do not keep others waiting, and all of them are answered."""
    line = Line(exchange.site)
    line.send(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n" * 100)

    assert 1 < line.answered.count(b"HTTP/1.1 404") <= MOST_IN_PERIOD // REQUEST_COST + 1
    for _ in range(100 * REQUEST_COST // MOST_IN_PERIOD + 1):
        exchange.clock.advance(ALLOWANCE_PERIOD)
    assert line.answered.count(b"HTTP/1.1 404") == 100
    assert not line.closed


def test_a_connection_that_is_lost_while_its_requests_wait(exchange: InMemory) -> None:
    """Nobody answers them."""
    line = Line(exchange.site)
    line.send(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    answered = line.answered
    line.lose()
    exchange.clock.advance(ALLOWANCE_PERIOD)

    assert line.answered == answered
    assert exchange.clock.getDelayedCalls() == []


@pytest.mark.parametrize("path", [PATH, "/files/", "/elsewhere"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 30\r\n",
        b"HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\nTransfer-Encoding: identity\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;q=1\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n",
        b"HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: identity\r\n",
        b"HTTP/1.0\r\nHost: x\r\nHost: x\r\n",
        b"HTTP/1.1\r\nHost: x\r\nHost: y\r\n",
        b"HTTP/1.1\r\nHost: x\r\nHost: x\r\n",
        b"HTTP/1.1\r\n",
    ],
)
def test_heads_that_leave_open_where_a_request_ends(exchange: InMemory, head: bytes, path: str) -> None:
    """They are 400 and the end of the connection, and what follows is never obeyed as a request."""
    line = Line(exchange.site)
    inner = f"GET {PATH}?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\n".encode()
    inner += f"Authorization: {basic('shop', 'secret')}\r\n\r\n".encode()
    answered = line.send(f"POST {path} ".encode() + head + b"\r\n" + inner, inner, b"0\r\n\r\n" + inner)

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answered.endswith(MALFORMED)
    assert answered.count(b"HTTP/1.") == 1
    assert line.closed
    assert exchange.metric("onec_refusals_total", reason="malformed_request") == 1
    line.lose()


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1\r\nHost:\r\n", b"HTTP/1.0\r\n", b"HTTP/1.0\r\nHost: x\r\n"],
)
def test_heads_that_are_sound(exchange: InMemory, head: bytes) -> None:
    """An empty Host is one, and HTTP/1.0 needs none."""
    answered = Line(exchange.site).send(f"GET {PATH}?type=catalog&mode=init ".encode() + head + b"\r\n")

    assert b" 403 " in answered[:20]


def test_chunked_in_capitals(exchange: InMemory) -> None:
    """The names of codings know no case (RFC 9112 section 7)."""
    session = exchange.checkauth()
    wire = post(session, "a", b"0123456789", chunks=3).replace(b": chunked", b": Chunked")

    assert Line(exchange.site).send(wire).endswith(b"success")


@pytest.mark.parametrize("begun", [b"G", HEAD[:20], HEAD[:-2], HEAD])
def test_half_a_head_hears_why(make_exchange: Callable[..., InMemory], begun: bytes) -> None:
    """408, counted and told the log, wherever it stops, and however it drips."""
    exchange = make_exchange(header_timeout=30.0)
    line = Line(exchange.site)
    exchange.clock.advance(20)
    for place in range(len(begun)):
        line.send(begun[place : place + 1])
        exchange.clock.advance(25 / len(begun))
    assert not line.closed
    exchange.clock.advance(5.01)

    assert line.answered.startswith(b"HTTP/1.1 408 ")
    assert line.answered.endswith(TIMED_OUT)
    assert line.closed
    assert exchange.metric("onec_refusals_total", reason="headers_timed_out") == 1
    line.lose()


def test_half_a_head_on_a_connection_that_was_used(make_exchange: Callable[..., InMemory]) -> None:
    """It hears 408 as well; an empty line behind a body is no head."""
    exchange = make_exchange(header_timeout=30.0)
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(session, "a", b"x") + b"\r\n")
    exchange.clock.advance(59)
    assert not line.closed
    line.send(post(session, "a", b"x"), b"PO")
    exchange.clock.advance(30)
    assert line.answered.endswith(TIMED_OUT)
    assert line.closed
    line.lose()


def test_a_connection_that_says_nothing_is_closed_in_silence(make_exchange: Callable[..., InMemory]) -> None:
    """It has asked for nothing; an empty line is nothing, too."""
    exchange = make_exchange(header_timeout=30.0)
    lines = [Line(exchange.site), Line(exchange.site)]
    lines[1].send(b"\r\n")
    exchange.clock.advance(60)

    assert [(line.answered, line.closed) for line in lines] == [(b"", True)] * 2
    for line in lines:
        line.lose()


@pytest.mark.parametrize(
    ("told", "secure"),
    [
        ([b"https"], True),
        ([b"https, http"], True),
        ([b"HTTPS ,http"], True),
        ([b"https", b"http"], True),
        ([b"http, https"], False),
        ([b"http", b"https"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_the_first_scheme_of_a_chain_of_proxies_counts(
    make_exchange: Callable[..., InMemory], told: list[bytes], secure: bool
) -> None:
    """The first is what the client used; each proxy on the way has added its own."""
    exchange = make_exchange(trusted_proxy=["10.0.0.0/8"])
    line = Line(exchange.site, "10.0.0.1")
    schemes = b"".join(b"X-Forwarded-Proto: %s\r\n" % one for one in told)
    line.send(
        f"GET {PATH}?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\n".encode()
        + schemes
        + f"Authorization: {basic('shop', 'secret')}\r\n\r\n".encode()
    )

    assert (b"; Secure" in line.answered) is secure


@pytest.mark.parametrize(
    "path", ["/1c_exchange.php/", "//1c_exchange.php", "//1c_exchange.php//", "/./1c_exchange.php"]
)
def test_slashes_that_php_sites_take(exchange: InMemory, path: str) -> None:
    """Many of them are one, and the last counts for nothing: people copy addresses with them into nodes."""
    answered = Line(exchange.site).send(f"GET {path}?type=catalog&mode=init HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert answered.endswith(
        b"failure\nNo exchange at this address" if "." in path[:3] else b"failure\nMissing sessid"
    )


def test_slashes_at_uploads(exchange: InMemory) -> None:
    """The other door reads its addresses in the same way."""
    for path in ("/files", "/files/", "//files//"):
        answered = Line(exchange.site).send(f"OPTIONS {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answered.startswith(b"HTTP/1.1 204 "), path


ONCE = [
    (b"Authorization", b"Basic b3RoZXI6c2VjcmV0", b"Basic c2hvcDpzZWNyZXQ="),
    (b"Content-Range", b"bytes 0-0/*", b"bytes 1-1/*"),
    (b"Content-Type", b"application/offset+octet-stream", b"text/plain"),
    (b"Origin", b"https://shop.example", b"https://other.example"),
    (b"Tus-Resumable", b"0.2.2", b"1.0.0"),
    (b"Upload-Checksum", b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", b"md5 Kq5sNclPz7QV2+lfQIuc6R=="),
    (b"Upload-Concat", b"partial", b"final;/files/a"),
    (b"Upload-Defer-Length", b"1", b"0"),
    (b"Upload-Length", b"5", b"6"),
    (b"Upload-Metadata", b"filename YQ==", b"filename Yg=="),
    (b"Upload-Offset", b"4", b"5"),
    (b"X-HTTP-Method-Override", b"PATCH", b"DELETE"),
    (b"Cookie", b"onec_session=a; b=c", b"onec_session=d"),
]


@pytest.mark.parametrize(
    "path", [f"{PATH}?type=catalog&mode=file&filename=a&sessid=x", "/files/", "/files/a", "/else"]
)
@pytest.mark.parametrize(("name", "first", "second"), ONCE, ids=[one[0].decode() for one in ONCE])
def test_lines_that_disagree(exchange: InMemory, path: str, name: bytes, first: bytes, second: bytes) -> None:
    """400, the name of the header, and the end of the connection, on every door: neither of them is obeyed."""
    line = Line(exchange.site)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n".encode()
    line.send(head + b"%s: %s\r\n%s: %s\r\n\r\nx" % (name, first, name.lower(), second))

    assert line.answered.startswith(b"HTTP/1.1 400 ")
    assert b"came twice, with different values" in line.answered
    assert name.lower() in line.answered.lower()
    assert (b"Tus-Resumable" in line.answered.partition(b"\r\n\r\n")[0]) == path.startswith("/files")
    assert line.closed
    assert exchange.metric("onec_refusals_total", reason="contradictory_headers") == 1


def test_lines_that_disagree_store_nothing(exchange: InMemory) -> None:
    """A piece that belongs to two places is appended to neither."""
    session = exchange.checkauth()
    Line(exchange.site).send(post(session, "a", b"1234"))
    for one, other in ((b"4", b"5"), (b"5", b"4")):
        line = Line(exchange.site)
        line.send(post(session, "a", b"x", b"Upload-Offset: " + one, b"Upload-Offset: " + other))
        assert line.answered.startswith(b"HTTP/1.1 400 ")

    assert list(exchange.files().values()) == [b"1234"]


def test_lines_that_agree(exchange: InMemory) -> None:
    """What says the same twice says one thing; and lists may come in parts."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(
        post(
            session,
            "a",
            b"1234",
            b"Upload-Offset: 0",
            b"upload-offset:  0",
            b"Cookie: other=1",
            b"X-Forwarded-For: 10.0.0.1",
            b"X-Forwarded-For: 10.0.0.2",
        )
    )

    assert line.answered.endswith(b"success")


@pytest.mark.parametrize(
    "target",
    [
        "http://shop:S3CRET@host/1c_exchange.php?type=catalog&mode=nothing",
        "http://shop:S3CRET@host/elsewhere",
        "HTTP://shop:S3/CRET?S3CRET@host/elsewhere",
        "https:shop:S3CRET@host/elsewhere",
        "ftp://S3CRET@host",
        "shop:S3CRET@host:443",
        "//shop:S3CRET@host/elsewhere",
        "/go/http://shop:S3CRET@host/",
        "/1c_exchange.php?mode=nothing&url=http://shop:S3CRET@host/",
        "/1c_exchange.php?mode=nothing&url=http%3A%2F%2Fshop%3AS3CRET%40host",
        "/1c_exchange.php?mode=nothing&sessid=S3CRET",
        "/1c_exchange.php?mode=nothing&a=b;sessid=S3CRET",
        "/1c_exchange.php?mode=nothing&%73ESSID=S3CRET",
        "/1c_exchange.php?mode=nothing?sessid=S3CRET",
        "/1c_exchange.php?login=shop&Password=S3CRET",
        "/1c_exchange.php?onec_session=S3CRET",
    ],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_no_secret_of_a_target_is_in_the_log(
    exchange: InMemory, nothing_left_behind: list[dict[str, Any]], target: str, method: str
) -> None:
    """In no form of it, in no line and no field; nor one of an address in another header."""
    exchange.site.startFactory()
    line = Line(exchange.site)
    line.send(
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nReferer: {target}\r\n"
        "User-Agent: a (+http://shop:S3CRET@host/ b)\r\nAuthorization: Basic c2hvcDpTM0NSRVQ=\r\n"
        "Cookie: onec_session=S3CRET\r\nConnection: close\r\n\r\n".encode()
    )
    line.lose()
    exchange.site.stopFactory()
    told = [text_line(event) or "" for event in nothing_left_behind] + [
        json_line(event) or "" for event in nothing_left_behind
    ]

    assert any("HTTP/1.1" in one for one in told)
    assert not [one for one in told if "S3CRET" in one or "c2hvcDpTM0NSRVQ" in one]


def test_a_target_without_secrets_is_told_as_it_came() -> None:
    """People look for it."""
    for target in (
        b"/1c_exchange.php?type=catalog&mode=file&filename=a@b.xml",
        b"/1c_exchange.php?type=catalog&mode=file&filename=//server/a/b@c.xml",
        b"*",
    ):
        assert without_secrets(target) == target


@pytest.mark.parametrize("method", ["GET", "G" * 9000])
def test_a_line_of_the_log_is_short(
    exchange: InMemory, nothing_left_behind: list[dict[str, Any]], method: str
) -> None:
    """Whatever a stranger makes long: method, path, query, headers; as text and as JSON."""
    exchange.site.startFactory()
    long = "x" * (14_000 if method == "GET" else 2000)
    for target in (f"{PATH}?mode={long}", f"{PATH}/{long}", f"/{long}", f"http://{long}/", f"{PATH}?{'%01' * 600}"):
        line = Line(exchange.site)
        line.send(
            f"{method} {target} HTTP/1.1\r\nHost: x\r\n"
            f"Referer: {long[:1000]}\r\nUser-Agent: {long[:1000]}\r\n\r\n".encode()
        )
        line.lose()
    exchange.site.stopFactory()
    told = [len(form(event) or "") for event in nothing_left_behind for form in (text_line, json_line)]

    assert len(told) >= 12
    assert max(told) < 4000


def address_of(number: int) -> str:
    """Return the address of somebody."""
    return f"10.0.{number // 250}.{number % 250 + 1}"


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\nHost:"])
@pytest.mark.parametrize("addresses", [1, 10])
def test_half_heads_do_not_keep_health_away(exchange: InMemory, begun: bytes, addresses: int) -> None:
    """However many connections say nothing, or half of something: the oldest of whoever has most makes room."""
    administrator = Administrator(exchange)
    friend = Line(administrator.site, "10.1.1.1")
    lines = [Line(administrator.site, address_of(number % addresses)) for number in range(3 * MOST_CONNECTIONS)]
    for line in lines:
        if not line.transport.disconnecting:
            line.send(begun)

    assert administrator.ask("/health").status == 200
    assert sum(not line.transport.disconnecting for line in lines) <= MOST_CONNECTIONS
    assert friend.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    for line in (*lines, friend):
        line.lose()
    assert exchange.clock.getDelayedCalls() == []


FORM = b"POST /sessions/x/end HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken="


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", FORM])
def test_the_administrators_port_has_the_time_of_a_head(
    exchange: InMemory, nothing_left_behind: list[dict[str, Any]], begun: bytes
) -> None:
    """For a form as well: what drips in does not prolong it, and half a request hears why."""
    administrator = Administrator(exchange)
    line = Line(administrator.site)
    for place in range(len(begun)):
        line.send(begun[place : place + 1])
        exchange.clock.advance(29 / len(begun))
    assert not line.closed
    exchange.clock.advance(1.01)

    assert line.answered.startswith(b"HTTP/1.1 408 ")
    assert line.answered.endswith(b"\r\n\r\nRequest headers timed out\n")
    assert b"content-security-policy" in line.answered
    assert line.closed
    assert exchange.metric("onec_refusals_total", reason="headers_timed_out") == 1
    assert [event["peer"] for event in nothing_left_behind if event.get("refused") == "HeadersTimedOut"]
    line.lose()


def test_an_administrators_connection_may_rest(exchange: InMemory) -> None:
    """After an answer it has as long as a node's, and is closed in silence."""
    administrator = Administrator(exchange)
    line = Line(administrator.site)
    for _ in range(3):
        answered = line.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        exchange.clock.advance(59)
        assert not line.closed
    exchange.clock.advance(1)

    assert line.closed
    assert line.answered == answered
    line.lose()


def test_the_administrators_port_counts_by_address(exchange: InMemory) -> None:
    """As the main one does, by the same option."""
    administrator = Administrator(exchange)
    administrator.site.server.connections.most = 2
    lines = [Line(administrator.site) for _ in range(3)]
    answers = [line.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")[:13] for line in lines]

    assert answers == [b"HTTP/1.1 200 ", b"HTTP/1.1 200 ", b"HTTP/1.1 429 "]
    assert lines[2].closed
    for line in lines:
        line.lose()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"Host: x\r\nTransfer-Encoding: identity\r\n", b"Malformed request\n"),
        (b"", b"Malformed request\n"),
        (b"Host: x\r\nHost: y\r\n", b"Malformed request\n"),
        (
            b"Host: x\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic YTpj\r\n",
            b"Header Authorization came twice, with different values\n",
        ),
    ],
)
def test_the_administrators_port_goes_by_the_letter(exchange: InMemory, head: bytes, words: bytes) -> None:
    """As the main one does."""
    line = Line(Administrator(exchange).site)
    line.send(b"GET /health HTTP/1.1\r\n" + head + b"\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")

    assert line.answered.startswith(b"HTTP/1.1 400 ")
    assert line.answered.endswith(words)
    assert line.answered.count(b"HTTP/1.1") == 1
    assert line.closed
    line.lose()


@pytest.mark.parametrize("is_admin", [False, True])
@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_the_time_of_a_head_holds_for_the_handshake(
    exchange: InMemory, tmp_path: Path, is_admin: bool, begun: bytes
) -> None:
    """Half of one, dripping or silent, is closed, counted and told the log."""
    site = Administrator(exchange).site if is_admin else exchange.site
    certificate = make_certificate(tmp_path, "server")
    context = DefaultOpenSSLContextFactory(str(certificate.key), str(certificate.chain))
    factory: Any = TLSMemoryBIOFactory(context, False, site, exchange.clock)
    server = factory.buildProtocol(None)
    transport = FakeTransport(server, True)
    server.makeConnection(transport)
    for place in range(len(begun)):
        server.dataReceived(begun[place : place + 1])
        exchange.clock.advance(2)
    exchange.clock.advance(29.9 - 2 * len(begun))
    assert not transport.disconnecting
    exchange.clock.advance(0.11)

    assert transport.disconnecting
    assert exchange.metric("onec_refusals_total", reason="headers_timed_out") == 1
    server.connectionLost(Failure(ConnectionDone()))


def test_after_the_handshake_a_connection_may_rest(exchange: InMemory, tmp_path: Path) -> None:
    """It has said nothing yet: it is closed as one without TLS is."""
    certificate = make_certificate(tmp_path, "server")
    context = DefaultOpenSSLContextFactory(str(certificate.key), str(certificate.chain))
    factory: Any = TLSMemoryBIOFactory(context, False, exchange.site, exchange.clock)
    server, node = factory.buildProtocol(None), Protocol()
    client: Any = TLSMemoryBIOFactory(CertificateOptions(), True, Factory.forProtocol(lambda: node), exchange.clock)
    connection = client.buildProtocol(None)
    pump: Any = connect(server, FakeTransport(server, True), connection, FakeTransport(connection, False))
    pump.flush()
    exchange.clock.advance(59)
    pump.flush()
    assert not server.transport.disconnecting
    exchange.clock.advance(1.1)
    pump.flush()

    assert exchange.metric("onec_refusals_total", reason="headers_timed_out") == 0
    assert exchange.site.server.connections.total == 0


def test_tiny_records_of_tls_are_read_a_few_at_a_time() -> None:
    """A record costs what a chunk does, and more: who sends bytes in records of their own is read little of."""
    transport: Any = StringTransport()
    reads = RecordReads(transport)
    sizes: list[int] = [transport.bufferSize]
    for record in (*[16384] * 5, *[1] * MANY_RECORDS, 1, 16384, *[100, 16384] * 12):
        reads.came(record)
        if transport.bufferSize != sizes[-1]:
            sizes.append(transport.bufferSize)

    assert sizes == [8192, 16384, 32768, 65536, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]


def test_what_is_read_at_a_time_with_tls(exchange: InMemory, tmp_path: Path) -> None:
    """It goes by what comes, in heads and bodies, however long a body says that it is."""
    session = exchange.checkauth()
    certificate = make_certificate(tmp_path, "server")
    context = DefaultOpenSSLContextFactory(str(certificate.key), str(certificate.chain))
    factory: Any = TLSMemoryBIOFactory(context, False, exchange.site, exchange.clock)
    server, node = factory.buildProtocol(None), Protocol()
    client: Any = TLSMemoryBIOFactory(CertificateOptions(), True, Factory.forProtocol(lambda: node), exchange.clock)
    connection = client.buildProtocol(None)
    lower: Any = FakeTransport(server, True)
    pump: Any = connect(server, lower, connection, FakeTransport(connection, False))
    pump.flush()
    wire = post(session, "a", b"").replace(b"Content-Length: 0", b"Content-Length: 4000")
    for place in range(len(wire)):
        connection.write(wire[place : place + 1])
        exchange.clock.advance(0)
        pump.flush()
    assert lower.bufferSize == LEAST_READ
    connection.write(b"x" * 4000)
    exchange.clock.advance(0)
    pump.flush()

    assert exchange.files() == {f"{session[1]}/a": b"x" * 4000}
    connection.loseConnection()
    pump.flush()


@pytest.mark.parametrize("said", ["", ":backlog=7"])
@pytest.mark.parametrize("kind", ["tcp", "unix", "ssl"])
def test_a_burst_of_connections_may_wait_to_be_taken(tmp_path: Path, kind: str, said: str) -> None:
    """More than Twisted's 50, at each kind of endpoint, unless the administrator says how many."""
    certificate = make_certificate(tmp_path)
    description = {
        "tcp": "tcp:0",
        "unix": f"unix:{tmp_path}/socket",
        "ssl": f"ssl:0:privateKey={certificate.key}:certKey={certificate.chain}",
    }[kind] + said
    reactor: Any = MemoryReactorClock()
    listening: Any = ListeningReactor(reactor, description)
    serverFromString(listening, description).listen(Factory())
    asked: list[Any] = [*reactor.tcpServers, *reactor.unixServers, *reactor.sslServers]

    assert len(asked) == 1
    assert (7 if said else LISTEN_BACKLOG) in asked[0]
