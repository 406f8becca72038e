"""Interim answers behind a real nginx and a real HAProxy, by the samples."""

from __future__ import annotations

import hashlib
import os
import random
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from announcing import LOCATION, VERSION, Announcing, Heard, hear, upload
from attrs import define, field
from certificates import Certificate, make_certificate
from daemon import PATIENCE
from front import DEPLOY, put_haproxy_before, put_nginx_before
from in_memory import server_of
from processes import free_port
from pytest_twisted import ensureDeferred
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThread

from onec_twisted.http.connections import Connections, TrustedProxies
from onec_twisted.http.interim import InterimResponses
from onec_twisted.http.site import ExchangeSite

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from twisted.internet.task import Clock

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

BODY = random.Random(1).randbytes(3_000_000)
FINAL = (200, hashlib.sha256(BODY).hexdigest().encode())
CLEARED = re.compile(r'^ +proxy_set_header Upload-Draft-Interop-Version "";\n', re.MULTILINE)
NGINX = sorted(path.stem for path in (DEPLOY / "nginx").glob("*.conf"))


@define(eq=False)
class Behind:
    """A resource that sends interim answers, where a proxy looks for daemons; its ports, and that of the proxy."""

    folder: Path
    resource: Announcing
    port: int
    proxied: int
    """The port that speaks the PROXY protocol."""
    unix: str
    proxy: int = field(factory=free_port)
    paper: Certificate | None = None
    running: list[subprocess.Popen[bytes]] = field(factory=list)

    def start_nginx(self, name: str, change: Callable[[str], str] = str) -> None:
        """Start nginx by a sample."""
        self.paper = make_certificate(self.folder) if name == "https" else None
        target = f"unix:{self.unix}" if name == "unix-socket" else f"127.0.0.1:{self.port}"
        self.running.append(put_nginx_before(self.folder, name, target, self.proxy, self.paper, change))

    def start_haproxy(self, name: str) -> None:
        """Start HAProxy by a sample; it finds each daemon healthy."""
        target = self.proxied if name == "cluster/haproxy-tcp.cfg" else self.port
        self.running.append(put_haproxy_before(self.folder, name, target, self.proxy, self.port))

    def connect(self) -> socket.socket:
        """Connect to the proxy, from an address that is not that of the proxy."""
        line = socket.create_connection(("127.0.0.1", self.proxy), PATIENCE, source_address=("127.0.0.9", 0))
        return line if self.paper is None else self.paper.trusted().wrap_socket(line, server_hostname="localhost")

    def upload(self) -> list[Heard]:
        """Upload by the proxy, without waiting for anything but the answer. Blocks."""
        with self.connect() as line:
            line.sendall(upload(BODY))
            return hear(line)

    def upload_to_an_address(self) -> list[list[Heard]]:
        """Upload twice on one connection; each time wait for the address before the body is sent. Blocks."""
        heard = []
        with self.connect() as line:
            for _ in range(2):
                wire = upload(BODY)
                line.sendall(wire[: -len(BODY)])
                received = b""
                while b"\r\n\r\n" not in received:
                    received += line.recv(1)
                assert received.startswith(b"HTTP/1.1 104 "), received
                assert b"ocation: " + LOCATION[1] + b"\r\n" in received, (
                    received
                )  # HAProxy writes names in lower case
                line.sendall(BODY)
                heard.append(hear(line))
        return heard


@pytest.fixture
def behind(tmp_path: Path, clock: Clock) -> Iterator[Behind]:
    """A resource that sends interim answers to everybody who names a version."""
    from twisted.internet import reactor

    listening: Any = reactor
    resource = Announcing(InterimResponses.ALWAYS, 2**18)
    site: Any = ExchangeSite(
        resource, server_of(clock, connections=Connections(0, TrustedProxies.of(["127.0.0.1", "unix"])))
    )
    plain = listening.listenTCP(0, site, interface="127.0.0.1")
    unix = listening.listenUNIX(str(tmp_path / "http.sock"), site)
    endpoint: Any = serverFromString(listening, "haproxy:tcp:0:interface=127.0.0.1")
    proxied: Any = pytest_twisted.blockon(endpoint.listen(site))
    made = Behind(tmp_path, resource, plain.getHost().port, proxied.getHost().port, unix=str(tmp_path / "http.sock"))
    yield made
    for process in made.running:
        process.kill()
        process.wait(PATIENCE)
    for port in (plain, unix, proxied):
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


def versions(behind: Behind) -> list[bytes | None]:
    """Return the versions that uploads have named."""
    return [request.getHeader(VERSION) for request in behind.resource.requests if request.method == b"POST"]


@pytest.mark.parametrize("name", NGINX)
@ensureDeferred
async def test_nginx_asks_for_none(behind: Behind, name: str) -> None:
    """The version that a client names does not arrive: the upload ends with its answer."""
    await deferToThread(behind.start_nginx, name)
    heard = await deferToThread(behind.upload)

    assert [(status, body) for status, _, body in heard] == [FINAL]
    assert versions(behind) == [None]


@pytest.mark.parametrize("name", NGINX)
@ensureDeferred
async def test_nginx_would_ask_for_them(behind: Behind, name: str) -> None:
    """Without its line the version arrives; the default sends none all the same, as there is a proxy."""
    behind.resource.policy = InterimResponses.DIRECT
    await deferToThread(behind.start_nginx, name, lambda site: CLEARED.sub("", site))
    heard = await deferToThread(behind.upload)

    assert [(status, body) for status, _, body in heard] == [FINAL]
    assert versions(behind) == [b"9"]


@pytest.mark.parametrize("name", ["haproxy/shards.cfg", "cluster/haproxy-http.cfg", "cluster/haproxy-tcp.cfg"])
@ensureDeferred
async def test_haproxy_passes_them_on(behind: Behind, name: str) -> None:
    """At once, before a byte of the body has come, and while it comes; the final answer stands behind them."""
    if "tcp" in name:
        behind.resource.policy = InterimResponses.DIRECT  # this way nobody stands between
    await deferToThread(behind.start_haproxy, name)

    for heard in await deferToThread(behind.upload_to_an_address):
        *interim, (status, _, body) = heard
        offsets = [int(headers[b"upload-offset"]) for _, headers, _ in interim]
        assert (status, body) == FINAL
        assert {status for status, *_ in interim} == {104}
        assert offsets == sorted(offsets)
        assert len(offsets) > 1


@pytest.mark.parametrize("name", ["haproxy/shards.cfg", "cluster/haproxy-http.cfg"])
@ensureDeferred
async def test_haproxy_shows_itself(behind: Behind, name: str) -> None:
    """The default sends none by it: nobody knows what else is in between."""
    behind.resource.policy = InterimResponses.DIRECT
    await deferToThread(behind.start_haproxy, name)
    heard = await deferToThread(behind.upload)

    assert [(status, body) for status, _, body in heard] == [FINAL]
    assert versions(behind) == [b"9"]
