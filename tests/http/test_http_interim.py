"""Interim answers: who gets them, and where they stand. ``test_http_sockets`` has those on real connections."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from announcing import LOCATION, Announcing, heard_in, upload
from in_memory import server_of
from line import Line

from onec_twisted.http.connections import Connections, TrustedProxies
from onec_twisted.http.interim import InterimResponses
from onec_twisted.http.site import ExchangeSite

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import Clock

BODY = b"0123456789"
DIGEST = hashlib.sha256(BODY).hexdigest().encode()
PROXY = "10.0.0.1"
EXPECT = b"Expect: 100-continue"


@pytest.fixture
def announcing() -> Announcing:
    """A resource that sends interim answers to everybody."""
    return Announcing(InterimResponses.ALWAYS)


@pytest.fixture
def connect(clock: Clock, announcing: Announcing) -> Callable[..., Line]:
    """Connect to it."""
    site = ExchangeSite(announcing, server_of(clock, connections=Connections(0, TrustedProxies.of([PROXY]))))

    def connect(address: str = "192.168.1.1") -> Line:
        return Line(site, address)

    return connect


def offsets(line: Line) -> list[tuple[int, bytes | None]]:
    """Return the answers on a line: the status of each, and the offset that it reports."""
    return [(status, headers.get(b"upload-offset")) for status, headers, _ in heard_in(line.answered)]


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("direct", ["client"]), ("always", ["client", "behind a proxy", "behind a trusted one"]), ("never", [])],
)
def test_who_gets_them(connect: Callable[..., Line], announcing: Announcing, policy: str, wanted: list[str]) -> None:
    """A client, somebody behind a proxy that its header shows, and somebody behind a proxy that is trusted."""
    announcing.policy = InterimResponses(policy)
    got = []
    for whom, address, headers in (
        ("client", "192.168.1.1", ()),
        ("behind a proxy", "192.168.1.1", (b"Via: 1.1 x",)),
        ("behind a trusted one", PROXY, ()),
    ):
        line = connect(address)
        line.send(upload(BODY, *headers))
        heard = heard_in(line.answered)
        assert heard[-1][2] == DIGEST
        got += [whom] if heard[0][0] == 104 else []
        line.lose()

    assert got == wanted


def test_they_come_before_the_body_and_while_it_comes(connect: Callable[..., Line]) -> None:
    """Each as it is sent; the final answer stands behind them, and the next request gets its own."""
    line = connect()
    wire = upload(BODY)
    assert line.send(wire[:-10]) == (
        b"HTTP/1.1 104 Upload Resumption Supported\r\n"
        b"Location: http://shop.example/files/1\r\nUpload-Draft-Interop-Version: 9\r\n\r\n"
    )
    line.send(wire[-10:-6])
    assert offsets(line) == [(104, None), (104, b"4")]
    line.send(wire[-6:-1], wire[-1:] + upload(b""))

    assert offsets(line) == [
        *[(104, None), (104, b"4"), (104, b"9"), (104, b"10"), (200, None)],
        *[(104, None), (200, None)],
    ]
    assert heard_in(line.answered)[4][2] == DIGEST
    assert not line.closed
    line.lose()


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_body_in_chunks(connect: Callable[..., Line], pieces: int) -> None:
    """Gets them as well."""
    line = connect()
    head = upload(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    line.send(head, *[b"2\r\nab\r\n"] * pieces, b"0\r\n\r\n")

    expected = [(104, None), *((104, b"%d" % (2 * number + 2)) for number in range(pieces)), (200, None)]
    assert offsets(line) == expected
    line.lose()


def test_a_body_is_still_asked_for(connect: Callable[..., Line]) -> None:
    """A client that waits for 100 gets it, once, behind the 104."""
    line = connect()
    wire = upload(BODY, EXPECT)
    line.send(wire[:-10])
    assert [status for status, *_ in heard_in(line.answered)] == [104, 100]
    line.send(wire[-10:])

    assert [status for status, *_ in heard_in(line.answered)] == [104, 100, 104, 200]
    line.lose()


def test_http_1_0_gets_none(connect: Callable[..., Line], announcing: Announcing) -> None:
    """It would take the first for the final answer (RFC 9110 section 15.2)."""
    line = connect()
    line.send(upload(BODY, EXPECT, version=b"HTTP/1.0"))

    assert [(status, body) for status, _, body in heard_in(line.answered)] == [(200, DIGEST)]
    assert announcing.told == [[]]
    line.lose()


def test_none_comes_after_the_final_one(connect: Callable[..., Line], announcing: Announcing) -> None:
    """Nothing is written, and the caller hears of it."""
    line = connect()
    answered = line.send(upload(BODY))

    assert not announcing.requests[0].interim(104, (LOCATION,))
    assert line.answered == answered
    line.lose()


def test_nobody_is_left(connect: Callable[..., Line], announcing: Announcing) -> None:
    """Nothing is written to a connection that is lost."""
    line = connect()
    answered = line.send(upload(BODY)[:-1])
    line.lose()

    assert not announcing.requests[0].interim(104, (LOCATION,))
    assert line.answered == answered


def test_a_broken_request_gets_its_answer(connect: Callable[..., Line], announcing: Announcing) -> None:
    """The refusal stands behind the interim answers, and is the last that is written."""
    line = connect()
    head = upload(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    answered = line.send(head, b"2\r\nab\r\n", b"nonsense\r\n")

    assert [status for status, *_ in heard_in(answered)] == [104, 104, 400]
    assert not announcing.requests[0].interim(104, (LOCATION,))
    assert line.answered == answered
    assert line.closed
    line.lose()


def test_no_value_can_begin_a_header(connect: Callable[..., Line], announcing: Announcing) -> None:
    """Nor an answer: CR and LF become spaces."""
    line = connect()
    line.send(upload(BODY)[:-1])
    before = len(line.answered)
    assert announcing.requests[0].interim(104, ((b"A", b"1\r\nB: 2\n\r\nHTTP/1.1 200 OK"), (b"C\r\nD", b"3")))

    assert line.answered[before:].split(b"\r\n") == [
        *(b"HTTP/1.1 104 Upload Resumption Supported", b"A: 1  B: 2   HTTP/1.1 200 OK", b"C  D: 3", b"", b"")
    ]
    line.lose()


def test_a_client_that_does_not_read_gets_no_more(connect: Callable[..., Line], announcing: Announcing) -> None:
    """Its body is not read either; both go on when it has read what was sent."""
    line = connect()
    line.send(upload(BODY)[:-2])
    (request,) = announcing.requests
    answered = line.answered
    line.protocol.pauseProducing()  # as the transport does
    assert str(line.transport.producerState) == "paused"
    assert not request.interim(104, (LOCATION,))
    assert line.answered == answered
    line.protocol.resumeProducing()
    assert str(line.transport.producerState) == "producing"

    assert request.interim(104, (LOCATION,))
    line.lose()
