"""Interim answers on real connections, over TCP and over TLS."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from announcing import LOCATION, Announcing, Heard, hear, upload
from attrs import frozen
from certificates import make_certificate
from in_memory import server_of
from pytest_twisted import ensureDeferred
from twisted.internet.defer import maybeDeferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from onec_twisted.http.interim import InterimResponses
from onec_twisted.http.site import ExchangeSite

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from twisted.internet.task import Clock

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.errors import Refused

BODY = random.Random(1).randbytes(1_000_000)
DIGEST = hashlib.sha256(BODY).hexdigest().encode()
PATIENCE = 20
"""Seconds after which a client gives up."""

LONG = (b"X-Long", b"x" * 1000)
MOST_WAITING = 16 * 2**20
"""Bytes of interim answers that may wait for a client; most of them are the kernel's."""

QUIET = 10
"""Turns without room for another after which a connection is taken to be full."""


class Flooding(Announcing):
    """Sends interim answers as long as there is room, and the final one when a client begins to read."""

    def __init__(self) -> None:
        """Start with a client that does not read."""
        super().__init__(InterimResponses.ALWAYS, 0)
        self.sent = 0
        self.is_full = threading.Event()

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        """Fill the connection."""
        from twisted.internet import reactor

        turns = 0
        while turns < QUIET:
            turns += 1
            while self.sent * len(LONG[1]) < MOST_WAITING and request.interim(104, (LONG,)):
                self.sent += 1
                turns = 0
            await deferLater(reactor, 0.01)
        self.is_full.set()
        return await super().respond(request, refused)


@frozen
class Served:
    """A resource at a real port."""

    site: Any
    port: int
    context: ssl.SSLContext | None

    def connect(self) -> socket.socket:
        """Open a connection."""
        line = socket.socket()
        line.settimeout(PATIENCE)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.connect(("127.0.0.1", self.port))
        return line if self.context is None else self.context.wrap_socket(line, server_hostname="localhost")


@pytest.fixture(params=["tcp", "tls"])
def served(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Served]:
    """A resource that sends interim answers to everybody."""
    from twisted.internet import reactor

    listening: Any = reactor
    site: Any = ExchangeSite(Announcing(InterimResponses.ALWAYS, 2**16), server_of(clock))
    if request.param == "tls":
        paper = make_certificate(tmp_path)
        keys = DefaultOpenSSLContextFactory(str(paper.key), str(paper.chain))
        port = listening.listenSSL(0, site, keys, interface="127.0.0.1")
    else:
        port = listening.listenTCP(0, site, interface="127.0.0.1")
    yield Served(site, port.getHost().port, paper.trusted() if request.param == "tls" else None)
    pytest_twisted.blockon(maybeDeferred(port.stopListening))


def statuses(heard: list[Heard]) -> list[int]:
    """Return the statuses of some answers."""
    return [status for status, *_ in heard]


@ensureDeferred
async def test_the_address_comes_before_a_byte_of_the_body(served: Served) -> None:
    """Others come while the rest is sent; two requests on one connection get what is theirs."""

    def talk() -> list[list[Heard]]:
        heard = []
        wire = upload(BODY)
        with served.connect() as line:
            for _ in range(2):
                line.sendall(wire[: -len(BODY)])
                received = b""
                while b"\r\n\r\n" not in received:
                    received += line.recv(1)
                assert received.startswith(b"HTTP/1.1 104 ")
                assert LOCATION[1] in received
                line.sendall(BODY)
                heard.append(hear(line))
        return heard

    for heard in await deferToThread(talk):
        *interim, (status, _, body) = heard
        offsets = [int(headers[b"upload-offset"]) for _, headers, _ in interim]
        assert (status, body) == (200, DIGEST)
        assert set(statuses(interim)) == {104}
        assert len(offsets) > 1
        assert offsets == sorted(offsets)
        assert offsets[-1] <= len(BODY)
    assert served.site.resource.told == [sorted(told) for told in served.site.resource.told]


@ensureDeferred
async def test_a_body_is_asked_for_behind_the_address(served: Served) -> None:
    """A client that waits for 100 gets both, without sending anything."""

    def talk() -> list[Heard]:
        wire = upload(BODY, b"Expect: 100-continue")
        with served.connect() as line:
            line.sendall(wire[: -len(BODY)])
            received = b""
            while received.count(b"\r\n\r\n") < 2:
                received += line.recv(1)
            assert received.index(b" 104 ") < received.index(b" 100 Continue")
            line.sendall(BODY)
            return hear(line)

    heard = await deferToThread(talk)
    assert set(statuses(heard[:-1])) == {104}
    assert (heard[-1][0], heard[-1][2]) == (200, DIGEST)


@ensureDeferred
async def test_http_1_0_gets_none(served: Served) -> None:
    """Only the final answer, before the connection ends."""

    def talk() -> list[Heard]:
        with served.connect() as line:
            line.sendall(upload(BODY, b"Expect: 100-continue", version=b"HTTP/1.0"))
            return hear(line, 2)

    heard = await deferToThread(talk)
    assert [(status, body) for status, _, body in heard] == [(200, DIGEST)]


@ensureDeferred
async def test_a_client_that_does_not_read(served: Served) -> None:
    """No more is kept for it than a connection has room for; when it reads, it gets all of that and the answer."""
    served.site.resource = flooding = Flooding()

    def talk() -> list[Heard]:
        with served.connect() as line:
            line.sendall(upload(BODY[:1000]))
            assert flooding.is_full.wait(PATIENCE)
            return hear(line)

    heard = await deferToThread(talk)
    assert 1 < flooding.sent * len(LONG[1]) < MOST_WAITING
    *interim, (status, _, body) = heard
    assert statuses(interim) == [104] * flooding.sent
    assert all(headers[b"x-long"] == LONG[1] for _, headers, _ in interim)
    assert (status, body) == (200, hashlib.sha256(BODY[:1000]).hexdigest().encode())
