"""Connections: too many of them, and heads that take too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import PATH, InMemory, basic
from line import Line, post
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = f"GET {PATH}?type=catalog&mode=init HTTP/1.1\r\nHost: x\r\n".encode()
TOO_MANY = b"failure\nToo many connections - retry later"
TIMED_OUT = b"failure\nRequest headers timed out"
PROXY = "10.0.0.1"


@pytest.fixture
def limited(make_exchange: Callable[..., InMemory]) -> InMemory:
    """An exchange that takes two connections of one address, and trusts a proxy."""
    return make_exchange(connections_per_address=2, trusted_proxy=["10.0.0.0/8", "unix"], header_timeout=30.0)


def test_one_connection_too_many(limited: InMemory) -> None:
    """It hears why and is closed; those that were there go on, and when one ends there is room again."""
    lines = [Line(limited.site) for _ in range(3)]
    answers = [line.send(HEAD + b"\r\n") for line in lines]

    assert [answer.startswith(b"HTTP/1.1 429 ") for answer in answers] == [False, False, True]
    assert answers[2].endswith(TOO_MANY)
    assert b"Retry-After: 5\r\n" in answers[2]
    assert [line.closed for line in lines] == [False, False, True]
    assert limited.metric("onec_refusals_total", reason="too_many_connections") == 1
    assert not Line(limited.site, "192.168.1.2").send(HEAD + b"\r\n").endswith(TOO_MANY)
    lines[0].lose()
    lines[2].lose()
    assert not Line(limited.site).send(HEAD + b"\r\n").endswith(TOO_MANY)


@pytest.mark.parametrize("hello", [b"\x16\x03\x01\x02\x00\x01", b"\x16"])
def test_tls_on_a_port_without(limited: InMemory, nothing_left_behind: list[dict[str, Any]], hello: bytes) -> None:
    """It is closed at its first byte, not when its time is over, and the log says what to do."""
    line = Line(limited.site)

    assert line.send(hello).startswith(b"HTTP/1.1 400 ")
    assert line.closed
    assert [event["peer"] for event in nothing_left_behind if "http://" in event.get("words", "")] == ["192.168.1.1"]
    assert limited.metric("onec_refusals_total", reason="tls_not_spoken") == 1


def test_what_looks_like_tls_in_a_body(exchange: InMemory) -> None:
    """Is a body: the first byte of a connection alone counts."""
    line = Line(exchange.site)
    request = post(exchange.checkauth(), "a", b"\x16\x03")

    assert line.send(request[:-2], request[-2:]).endswith(b"\r\n\r\nsuccess")
    assert not line.closed


def test_an_upload_on_one_connection_too_many(limited: InMemory) -> None:
    """It is refused at the headers, and nothing of it is kept."""
    session = limited.checkauth()
    others = [Line(limited.site) for _ in range(2)]
    line = Line(limited.site)
    answer = line.send(post(session, "a", b"x" * 100))

    assert answer.endswith(TOO_MANY)
    assert limited.files() == {}
    assert len(others) == 2


def test_clients_behind_a_proxy(limited: InMemory) -> None:
    """Each has its own number of requests at a time; the proxy may have any number of connections."""
    session = limited.checkauth()

    def begun(client: str) -> Line:
        """Begin an upload that does not end."""
        line = Line(limited.site, PROXY)
        wire = post(session, f"{client}-{len(lines)}", b"x" * 10, f"X-Forwarded-For: 6.6.6.6, {client}".encode())
        line.send(wire[:-1])
        lines.append(line)
        return line

    lines: list[Line] = []
    assert [begun("203.0.113.7").answered.endswith(TOO_MANY) for _ in range(4)] == [False, False, True, True]
    assert begun("203.0.113.8").answered == b""
    lines[0].send(b"x")
    assert lines[0].answered.endswith(b"success")
    assert begun("203.0.113.7").answered == b""
    lines[1].lose()
    assert begun("203.0.113.7").answered == b""
    for line in lines[2:]:
        line.lose()

    assert not limited.site.server.connections._open


@pytest.mark.parametrize(
    ("peer", "client", "secure"), [(PROXY, "203.0.113.7", True), ("192.168.1.1",) * 2 + (False,)]
)
def test_whose_word_is_taken(
    limited: InMemory, nothing_left_behind: list[dict[str, Any]], peer: str, client: str, secure: bool
) -> None:
    """A trusted proxy's: the client is in the log, and its cookie is for TLS; a stranger's is not."""
    line = Line(limited.site, peer)
    answer = line.send(
        f"GET {PATH}?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('shop', 'secret')}\r\n"
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\r\n".encode()
    )

    assert (b"; Secure" in answer) is secure
    assert [event["peer"] for event in nothing_left_behind if "peer" in event] == [client]


def test_the_proxy_protocol(limited: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The address in its header is the client's, in the log and in the count."""
    factory = HAProxyWrappingFactory(limited.site)

    def connected() -> tuple[Any, StringTransport]:
        """Connect through the proxy, and begin."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", PROXY, 1))
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", PROXY, 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(b"PROXY TCP4 203.0.113.7 192.0.2.1 5 80\r\n" + HEAD + b"\r\n")
        return protocol, transport

    lines = [connected() for _ in range(3)]

    assert [transport.value().endswith(TOO_MANY) for _, transport in lines] == [False, False, True]
    assert {event["peer"] for event in nothing_left_behind if "peer" in event} == {"203.0.113.7"}


def test_a_head_that_drips(limited: InMemory) -> None:
    """Its time runs from its first byte on, and its sender hears why it is over."""
    line = Line(limited.site)
    line.send(HEAD)
    for _ in range(29):
        limited.clock.advance(1)
        line.send(b"X: y\r\n")
    assert not line.closed
    limited.clock.advance(1)

    assert line.answered.startswith(b"HTTP/1.1 408 ")
    assert line.answered.endswith(TIMED_OUT)
    assert line.closed
    assert limited.metric("onec_refusals_total", reason="headers_timed_out") == 1
    line.lose()


def test_a_head_that_drips_on_a_connection_in_use(limited: InMemory) -> None:
    """Between requests a connection may rest for a minute; then each head has its time again."""
    line = Line(limited.site)
    for _ in range(3):
        line.send(HEAD + b"\r\n")
        limited.clock.advance(59)
    before = len(line.answered)
    line.send(HEAD[:20])
    limited.clock.advance(29)
    line.send(HEAD[20:])
    assert not line.closed
    limited.clock.advance(1)

    assert line.answered[before:].endswith(TIMED_OUT)
    line.lose()


def test_a_connection_that_nobody_uses(limited: InMemory) -> None:
    """It is closed after a minute, without a word."""
    line = Line(limited.site)
    limited.clock.advance(60)

    assert line.closed
    assert line.answered == b""
    line.lose()


def test_one_too_many_has_to_hurry(limited: InMemory) -> None:
    """A stranger who opens connections and says nothing keeps those above the limit for seconds."""
    lines = [Line(limited.site) for _ in range(3)]
    limited.clock.advance(5)

    assert [line.closed for line in lines] == [False, False, True]
    for line in lines:
        line.lose()


def test_a_body_has_no_head_to_hurry_with(limited: InMemory) -> None:
    """Once the headers are there, only the body's own limits count."""
    session = limited.checkauth()
    wire = post(session, "a", b"x" * 10)
    line = Line(limited.site)
    line.send(wire[:-10])
    for _ in range(10):
        limited.clock.advance(30)
        line.send(b"x")

    assert line.answered.endswith(b"success")
    assert not line.closed


def test_connections_are_counted(limited: InMemory) -> None:
    """All that are open, whoever has them."""
    lines = [Line(limited.site), Line(limited.site, PROXY)]
    assert limited.site.server.connections.total == 2
    for line in lines:
        line.lose()

    assert limited.site.server.connections.total == 0
    assert not limited.site.server.connections._open


@pytest.mark.parametrize("rest", [b"nonsense\r\n\r\n", b"Content-Length: x\r\n\r\n"])
def test_a_head_that_is_none_is_refused_once(limited: InMemory, rest: bytes) -> None:
    """Its time does not run on, and no timer is left."""
    line = Line(limited.site)
    answer = line.send(HEAD + rest)
    assert answer.startswith(b"HTTP/1.1 400 ")
    limited.clock.advance(4)
    line.lose()
    limited.clock.advance(60)

    assert line.answered == answer
    assert limited.metric("onec_refusals_total", reason="headers_timed_out") == 0
    assert limited.clock.getDelayedCalls() == []


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n", b"\r\n"])
def test_half_a_request_line_in_one_read(limited: InMemory, before: bytes) -> None:
    """Behind a whole request, or an empty line: it hears why it is closed, as ever."""
    line = Line(limited.site)
    line.send(before + b"GET /1c_ex")
    limited.clock.advance(30)

    assert line.answered.endswith(TIMED_OUT)
    line.lose()


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"GET /1c_ex"])
def test_who_has_been_answered_makes_room(limited: InMemory, behind: bytes) -> None:
    """Also with an empty line, or half of one, behind the request: else strangers hold all descriptors so."""
    line = Line(limited.site)
    line.send(HEAD + b"\r\n" + behind)
    newcomer = Line(limited.site)
    newcomers = limited.site.server.newcomers
    assert list(newcomers._resting) == [line.protocol, newcomer.protocol]
    for one in (line, newcomer):
        one.lose()
    assert not newcomers._resting


def test_half_a_head_behind_a_whole_request(limited: InMemory) -> None:
    """Its time runs from then on."""
    line = Line(limited.site)
    line.send(HEAD + b"\r\n" + HEAD)
    before = len(line.answered)
    limited.clock.advance(30)

    assert line.answered[before:].endswith(TIMED_OUT)
    line.lose()


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xd0\xba, 203.0.113.9", b"203.0.113.9\xff"])
def test_a_forwarded_address_that_is_no_text(limited: InMemory, value: bytes) -> None:
    """A proxy passes a stranger's bytes on: the request is answered."""
    line = Line(limited.site, PROXY)

    assert line.send(HEAD + b"X-Forwarded-For: " + value + b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")
    line.lose()


@pytest.mark.parametrize("forwarded_for", [b"", b"X-Forwarded-For: 10.0.0.1\r\n"])
def test_tls_at_a_proxy_that_asks_for_itself(limited: InMemory, forwarded_for: bytes) -> None:
    """Or that does not say for whom: the cookie is for TLS all the same."""
    line = Line(limited.site, PROXY)
    answer = line.send(
        f"GET {PATH}?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('shop', 'secret')}\r\n"
        "X-Forwarded-Proto: https\r\n".encode()
        + forwarded_for
        + b"\r\n"
    )

    assert b"; Secure" in answer
    line.lose()


def test_ipv4_on_a_socket_for_both(limited: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is the same address, for the log and for the count."""
    lines = [Line(limited.site, address) for address in ("192.168.1.1", "::ffff:192.168.1.1", "::ffff:192.168.1.1")]
    answers = [line.send(HEAD + b"\r\n") for line in lines]

    assert [answer.endswith(TOO_MANY) for answer in answers] == [False, False, True]
    assert {event["peer"] for event in nothing_left_behind if "peer" in event} == {"192.168.1.1"}
    for line in lines:
        line.lose()


def test_broken_chunks_while_a_body_is_held_back(limited: InMemory) -> None:
    """The connection is closed, and nothing is let go on."""
    line = Line(limited.site)
    line.send(post(("x=y", "z"), "a", b"x" * 100, chunks=10)[:-40])
    line.send(b"nonsense\r\n")
    limited.clock.advance(1)

    assert line.closed
    line.lose()


@pytest.mark.parametrize("behind", [b"", HEAD + b"\r\n"])
def test_a_body_in_one_read_with_its_head(limited: InMemory, behind: bytes) -> None:
    """Its resource has all of it from the start, and what follows is another request."""
    session = limited.checkauth()
    line = Line(limited.site)
    timers = len(limited.clock.getDelayedCalls())
    answered = line.send(post(session, "a", b"abc") + behind)

    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.count(b"HTTP/1.1 403 ") == bool(behind)
    assert b"Connection: close" not in answered
    assert limited.files() == {f"{session[1]}/a": b"abc"}
    assert len(limited.clock.getDelayedCalls()) <= timers + 2  # of the connection, and of the answer's proof
    line.lose()


def test_a_refused_body_in_one_read_with_its_head(limited: InMemory) -> None:
    """It is thrown away, and the connection closed: the answer comes before its end is known."""
    session = limited.checkauth()
    line = Line(limited.site)
    answered = line.send(post(("x=y", session[1]), "a", b"abc"))

    assert answered.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close\r\n" in answered
    assert line.closed
    line.lose()
