"""The half of a channel that sends, as Twisted's own ``Request`` uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from in_memory import server_of
from line import Line
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface.verify import verifyObject

from onec_twisted.http.sending import Sending, show_headers
from onec_twisted.http.site import GuardedSite

if TYPE_CHECKING:
    from twisted.internet.task import Clock


class Stock(Request):
    """Twisted's own request; its head's time-out goes on until it is complete."""

    def gotLength(self, length: int | None) -> None:
        """Take the headers."""
        channel: Any = self.channel
        show_headers(self, channel.head)
        super().gotLength(length)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note that all of it has come."""
        channel: Any = self.channel
        channel.head_ended()
        super().requestReceived(command, path, version)

    def give_up(self) -> None:
        """Expect no more."""


class Telling(Resource):
    """Tells what was asked."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        """Return method, path, arguments, cookies and body."""
        request.setHeader(b"x-told", b"yes")
        told = (request.method, request.path, request.args, request.received_cookies, request.content.read())
        return repr(told).encode()


@define(eq=False)
class Stream:
    """What produces an answer, and what it is told."""

    told: list[str] = field(factory=list)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Streaming(Resource):
    """Answers with a stream that a test writes."""

    isLeaf = True

    def __init__(self, stream: Stream) -> None:
        """Answer with it."""
        super().__init__()
        self.stream = stream

    def render(self, request: Any) -> int:
        """Begin to answer."""
        self.request = request
        request.registerProducer(self.stream, True)
        return NOT_DONE_YET


def stock(resource: Resource, clock: Clock) -> Line:
    """Return a connection to a site with Twisted's own requests."""
    return Line(GuardedSite(resource, server_of(clock), requestFactory=Stock))


@pytest.fixture
def streamed(clock: Clock) -> tuple[Line, Streaming]:
    """A connection, and the resource that is answering its request."""
    resource = Streaming(Stream())
    line = stock(resource, clock)
    line.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return line, resource


def test_it_is_what_it_says() -> None:
    """A transport pauses it as a producer."""
    assert verifyObject(IPushProducer, Sending())


def test_requests_of_twisted_itself(clock: Clock) -> None:
    """They see all that Twisted's channel would show them, and are answered on one connection."""
    line = stock(Telling(), clock)
    line.send(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nCookie: d=e; f=g\r\n\r\n")
    assert line.answered.endswith(repr((b"GET", b"/a", {b"b": [b"c"]}, {b"d": b"e", b"f": b"g"}, b"")).encode())
    form = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    line.send(
        form + b"Content-Length: 3\r\n\r\nh=",
        b"i" + form + b"Transfer-Encoding: chunked\r\n\r\n3\r\nj=k\r\n0\r\n\r\n",
    )
    assert line.answered.count(repr((b"POST", b"/a", {b"h": [b"i"]}, {}, b"h=i")).encode()) == 1
    assert line.answered.count(repr((b"POST", b"/a", {b"j": [b"k"]}, {}, b"j=k")).encode()) == 1
    assert line.answered.count(b"X-Told: yes\r\n") == 3
    assert b"Connection: close" not in line.answered
    assert not line.closed
    line.send(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n")

    assert line.answered.count(b"Connection: close\r\n") == 1
    assert line.closed


def test_a_peer_that_does_not_read(streamed: tuple[Line, Streaming]) -> None:
    """Nothing more is produced for it, nor received from it, until it reads again."""
    line, resource = streamed
    channel: Any = line.protocol
    told = resource.stream.told
    channel.pauseProducing()
    assert told == ["pause"]
    resource.request.write(b"all of it")
    resource.request.unregisterProducer()
    resource.request.finish()
    channel.pauseProducing()
    assert str(line.transport.producerState) == "paused"
    channel.resumeProducing()
    assert str(line.transport.producerState) == "producing"
    line.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    channel.pauseProducing()
    channel.resumeProducing()

    assert told == ["pause", "pause", "resume"]
    line.lose()


def test_a_peer_that_has_gone(streamed: tuple[Line, Streaming]) -> None:
    """Its answer is not produced to the end."""
    line, resource = streamed
    line.protocol.stopProducing()
    line.lose()

    assert resource.stream.told == ["stop"]


def test_what_is_in_parts() -> None:
    """Is sent as it is."""
    sending, transport = Sending(), StringTransport()
    sending.makeConnection(transport)
    assert transport.producer is sending
    sending.writeSequence([b"a", b"b"])
    sending.write(b"c")

    assert transport.value() == b"abc"
    assert (sending.getPeer(), sending.getHost()) == (transport.getPeer(), transport.getHost())
    assert not sending.isSecure()
