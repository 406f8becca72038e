"""The beginnings of answers: passed on when they are whole, and ended when they do not end."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

from onec_twisted.http.bounds import LONGEST_HEAD, MOST_LINES, READ_SIZE, TINY_READ, BoundedHeads, HeadRefused

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Client(Protocol):
    """Hears what comes."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep it."""
        self.reason = reason.value


@pytest.fixture
def client() -> Client:
    """Who asks."""
    return Client()


@pytest.fixture
def line(client: Client) -> BoundedHeads:
    """A connection to a site, on which a request has been sent."""
    line = BoundedHeads(WrappingFactory(Factory()), client)
    line.makeConnection(StringTransport())
    line.expect()
    return line


def lost(line: BoundedHeads) -> None:
    """End the connection."""
    line.connectionLost(Failure(ConnectionDone()))


def test_little_is_read_in_one_turn(line: BoundedHeads) -> None:
    """A turn has a bounded number of chunks."""
    assert line.transport is not None
    assert getattr(line.transport, "bufferSize", 0) == READ_SIZE


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_head_is_passed_on_when_it_is_whole(line: BoundedHeads, client: Client, size: int) -> None:
    """However it is cut; what follows comes as it comes."""
    answer = CONTINUE * 3 + OK
    for start in range(0, len(answer) - 1, size):
        line.dataReceived(answer[start : min(start + size, len(answer) - 1)])
    assert client.heard == []
    line.dataReceived(b"\nab")
    line.dataReceived(b"\r\n\r\nHTTP")

    assert client.heard == [OK + b"ab", b"\r\n\r\nHTTP"]


def test_the_next_answer_has_a_head_again(line: BoundedHeads, client: Client) -> None:
    """On a connection that serves more than one request."""
    for _ in range(3):
        line.expect()
        line.dataReceived(CONTINUE + OK + b"abc")

    assert client.heard == [OK + b"abc"] * 3


def test_lines_may_end_with_a_lf_alone(line: BoundedHeads, client: Client) -> None:
    """As Twisted takes them."""
    line.dataReceived(b"HTTP/1.0 103 Early\nLink: a\n\nHTTP/1.0 404\nA: b\n\nxyz")

    assert client.heard == [b"HTTP/1.0 404\nA: b\n\nxyz"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * MOST_LINES + b"\r\n", "too long"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * LONGEST_HEAD, "too long"),
        (b"b" * (LONGEST_HEAD + 1), "too long"),
        (CONTINUE * (LONGEST_HEAD // len(CONTINUE) + 1), "too long"),
        (b"HTTP/1.1 100 Continue\r\n" + b"A: b\r\n" * MOST_LINES + b"\r\n", "too long"),
        (b"HTTP/1.1 1_00 Continue\r\n\r\n", "not HTTP"),
        (b"\r\n\r\n", "not HTTP"),
        (b"220 mail.example ESMTP\r\n\r\n", "not HTTP"),
    ],
)
def test_what_does_not_end_is_ended(line: BoundedHeads, client: Client, data: bytes, words: str) -> None:
    """In lines, in one line, in answers before the answer; and what Twisted would take for one of those."""
    for start in range(0, len(data), READ_SIZE):
        line.dataReceived(data[start : start + READ_SIZE])
    line.dataReceived(OK)
    assert getattr(line.transport, "aborting", True)
    assert client.heard == []
    lost(line)

    assert isinstance(client.reason, HeadRefused)
    assert words in str(client.reason)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_tiny_chunks_become_few(line: BoundedHeads, client: Client) -> None:
    """One for what is read at once; Twisted has several calls for each."""
    line.dataReceived(CHUNKED + b"1\r\nx\r\n" * 1000)
    line.dataReceived(b"3;a=b\r\nxyz\r")
    line.dataReceived(b"\n2\r\na")
    line.dataReceived(b"b\r\n0\r\nA: b\r\n")
    line.dataReceived(b"\r\nmore")

    assert client.heard == [
        CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n",
        b"3\r\nxyz\r\n",
        b"1\r\na\r\n",
        b"1\r\nb\r\n",
        b"0\r\n\r\nmore",
    ]


def test_less_is_read_of_tiny_chunks(line: BoundedHeads) -> None:
    """So that others wait less; of large ones as much as before."""
    line.dataReceived(CHUNKED + b"1\r\na\r\n" * 100)
    assert getattr(line.transport, "bufferSize", 0) == TINY_READ
    line.dataReceived(b"400\r\n%s\r\n" % bytes(1024))
    assert getattr(line.transport, "bufferSize", 0) == READ_SIZE


@pytest.mark.parametrize("body", [b"nonsense\r\n", b"1;" + b"a=b;" * 1000, b"0\r\n" + b"A: b\r\n" * 10_000])
def test_malformed_chunks_end_the_connection(line: BoundedHeads, client: Client, body: bytes) -> None:
    """Those that are none, and lines without end."""
    line.dataReceived(CHUNKED)
    line.dataReceived(body)
    lost(line)

    assert client.heard == [CHUNKED]
    assert "its answer is malformed" in str(client.reason)


def test_a_head_that_breaks_off_is_seen(line: BoundedHeads, client: Client) -> None:
    """There was an answer, so what was asked may have been done."""
    line.dataReceived(OK[:10])
    lost(line)

    assert client.heard == [OK[:10]]
    assert isinstance(client.reason, ConnectionDone)
