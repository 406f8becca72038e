"""The sites for nginx, with nothing changed but ports, paths and the certificate: a real nginx, the real daemon."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import socket
import struct
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING

import pytest
from attrs import define
from certificates import Certificate, make_certificate
from daemon import PATIENCE, SCRIPTS, Daemon
from front import (
    DEPLOY,
    Client,
    htpasswd,
    launch,
    listening,
    peak_memory,
    replaced,
    start_nginx,
    wait_until,
)
from processes import free_port
from trade import ExchangeFailed, packed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

MB = 2**20
LIMIT = 32 * MB
LARGE = 300 * MB


@define(eq=False)
class Front:
    """nginx by one of the sites, and the daemon behind it."""

    port: int
    daemon: Daemon
    nginx: subprocess.Popen[bytes]
    folder: Path
    plain_port: int | None = None
    paper: Certificate | None = None

    def node(self, address: str = "127.0.0.1") -> Client:
        """Return a node that reaches the exchange by nginx."""
        context = None if self.paper is None else self.paper.trusted()
        return Client("127.0.0.1", self.port, context=context, address=address)

    def get(self, path: str) -> tuple[int, bytes]:
        """Fetch a path."""
        if self.paper is None:
            line = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        else:
            line = HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.paper.trusted())
        line.request("GET", path)
        with line.getresponse() as response:
            answer = response.status, response.read()
        line.close()
        return answer

    def begin(self, node: Client, name: str, length: int, body: bytes) -> socket.socket:
        """Send the beginning of a piece on a connection of its own, and return the connection."""
        line = self.connect()
        line.sendall(
            f"POST /1c_exchange.php?type=catalog&mode=file&filename={name}&sessid={node.sessid} HTTP/1.1\r\n"
            f"Host: x\r\nCookie: {node.cookie}\r\nContent-Length: {length}\r\n\r\n".encode()
            + body
        )
        return line

    def connect(self) -> socket.socket:
        """Return a new connection."""
        line = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        if self.paper is not None:
            line = self.paper.trusted().wrap_socket(line, server_hostname="127.0.0.1")
        return line

    def workers(self) -> list[int]:
        """Return the processes of nginx that serve."""
        pid = self.nginx.pid
        children = f"/proc/{pid}/task/{pid}/children"
        with open(children, encoding="ascii") as file:
            return [int(child) for child in file.read().split()]


def start_daemon(site: str, folder: Path, endpoint: str) -> Daemon:
    """Start the daemon with the options that the site's comment asks for."""
    match = re.search(r"^#   twistd ((?:.*\\\n)*.*)$", site, re.MULTILINE)
    assert match is not None
    options = shlex.split(match[1].replace("\\\n#", ""))
    changed = {
        "--auth=htpasswd:/etc/onec.htpasswd": f"--auth=htpasswd:{htpasswd(folder / 'htpasswd')}",
        "--media-root=/srv/shop/media": f"--media-root={folder}/run/media",
    }
    assert set(changed) < set(options)
    options = [changed.get(option, option) for option in options if not option.startswith("--listen=")]
    options.insert(1, "--pidfile=")
    more = [f"--listen={endpoint}", "--access-log=yes", f"--file-limit={LIMIT}"]
    return launch(folder / "run", [f"{SCRIPTS}/twistd", *options, *more])


@pytest.fixture(scope="module", params=["http", "https", "unix-socket"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One of the sites, with nothing changed but the ports, the paths and the certificate."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    site = (DEPLOY / "nginx" / f"{name}.conf").read_text(encoding="utf-8")
    changes = {"/srv/shop/media/;": f"{folder}/run/media/;"}
    if name == "unix-socket":
        daemon = start_daemon(site, folder, f"unix:{folder}/http.sock:mode=660")
        changes["unix:/run/onec-exchange/http.sock;"] = f"unix:{folder}/http.sock;"
    else:
        daemon = start_daemon(site, folder, "tcp:0:interface=127.0.0.1")
        changes["127.0.0.1:8080;"] = f"127.0.0.1:{daemon.port};"
    plain, tls, paper = free_port(), free_port(), None
    changes |= listening(site, {"80": plain, "443 ssl": tls})
    if name == "https":
        paper = make_certificate(folder, "shop.example")
        changes["/etc/letsencrypt/live/shop.example/fullchain.pem"] = str(paper.chain)
        changes["/etc/letsencrypt/live/shop.example/privkey.pem"] = str(paper.key)
    nginx = start_nginx(folder, replaced(site, changes), plain)
    yield Front(tls if paper else plain, daemon, nginx, folder, plain if paper else None, paper)
    nginx.terminate()
    nginx.wait(PATIENCE)
    daemon.kill()


def test_an_exchange_goes_through_and_is_never_served(front: Front) -> None:
    """The whole dialogue works; media are served, what nodes upload and the database are 404."""
    node = front.node()
    node.checkauth()
    node.init()
    assert node.file_limit == LIMIT
    body = packed({"import0_1.xml": b"<a/>", "picture.jpg": random.Random(3).randbytes(MB)})
    node.send_file("import.zip", body)
    node.import_file("import0_1.xml")
    node.close()
    (front.daemon.folder / "media" / "logo.txt").write_bytes(b"logo")

    session = front.daemon.temp / node.sessid
    assert (session / "import.zip").read_bytes() == body
    (unpacked,) = session.glob(".unpacked/*/files/picture.jpg")
    assert front.get("/media/logo.txt") == (200, b"logo")
    for path in (
        "/media/1c_temp",
        "/media/1c_temp/",
        f"/media/1c_temp/{node.sessid}/import.zip",
        f"/media/./1c_temp/{node.sessid}/import.zip",
        f"/media//1c_temp/{node.sessid}/import.zip",
        f"/media/%31c_temp/{node.sessid}/import.zip",
        f"/media/%2e/1c_temp/{node.sessid}/import.zip",
        f"/media/x/../1c_temp/{node.sessid}/import.zip",
        f"/media/1c_temp%2f{node.sessid}/import.zip",
        f"/x/..//media/1c_temp/{node.sessid}/import.zip?logo.txt",
        f"/media/1c_temp/{node.sessid}/{unpacked.relative_to(session)}",
        "/media/1c_temp/exchange.sqlite3",
    ):
        assert front.get(path)[0] == 404, path


def test_a_large_upload_is_nowhere_in_between(front: Front) -> None:
    """300 MB arrive as they were sent; the memory of nginx and of the daemon does not grow by a piece.

    nginx cannot have put them into temporary files: their folder is not there.
    """
    folder = front.folder / "nginx-client_body"
    folder.rmdir()
    node = front.node()
    node.checkauth()
    node.init()
    node.send_file("warm", b"x" * MB)
    processes = [front.daemon.process.pid, *front.workers()]
    before = [peak_memory(process) for process in processes]
    sent, chance = hashlib.sha256(), random.Random(4).randbytes(LIMIT)
    for begin in range(0, LARGE, LIMIT):
        piece = (chance[begin // LIMIT :] + chance)[: min(LIMIT, LARGE - begin)]
        sent.update(piece)
        node.send_file("video.mp4", piece)
    node.close()
    folder.mkdir(0o700)

    arrived = hashlib.sha256()
    with (front.daemon.temp / node.sessid / "video.mp4").open("rb") as file:
        while block := file.read(MB):
            arrived.update(block)
    assert arrived.digest() == sent.digest()
    assert len(processes) > 1
    grown = [peak_memory(process) - size for process, size in zip(processes, before, strict=True)]
    assert max(grown) < 16 * MB, grown


@pytest.mark.parametrize("death", ["closed", "reset"])
def test_a_node_that_dies_leaves_nothing(front: Front, death: str) -> None:
    """Half a body is on the daemon's disk before the other half is sent; when its node dies, it is rolled back."""
    node = front.node()
    node.checkauth()
    node.send_file(death, b"before,")
    file = front.daemon.temp / node.sessid / death
    line = front.begin(node, death, 4 * MB, b"x" * 2 * MB)
    wait_until(lambda: file.stat().st_size > MB)
    if death == "reset":
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()
    wait_until(lambda: file.stat().st_size == len(b"before,"), seconds=5)
    node.send_file(death, b"after")
    node.close()

    assert file.read_bytes() == b"before,after"


def test_tus_goes_through(front: Front) -> None:
    """Uploads are where Location says; what a client has brought when it dies is kept, and it goes on from there."""
    scheme = "https" if front.paper else "http"
    told = {"Tus-Resumable": "1.0.0", "Authorization": "Basic c2hvcDpzZWNyZXQ="}
    chunk = {**told, "Content-Type": "application/offset+octet-stream"}
    body = random.Random(5).randbytes(4 * MB)
    client = front.node().connection

    def ask(method: str, path: str, content: bytes = b"", **headers: str) -> Mapping[str, str]:
        client.request(method, path, content, {**told, **{k.replace("_", "-"): v for k, v in headers.items()}})
        with client.getresponse() as response:
            response.read()
            assert response.status in {200, 201, 204}, response.status
            return dict(response.headers)

    location = ask("POST", "/files/", Upload_Length=str(len(body)), X_Forwarded_Host="evil.example")["Location"]
    assert location.startswith(f"{scheme}://127.0.0.1:{front.port}/files/")
    path = location.partition(str(front.port))[2]
    line = front.connect()
    head = "".join(f"{name}: {value}\r\n" for name, value in chunk.items())
    line.sendall(
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{head}Upload-Offset: 0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body[: 2 * MB]
    )
    wait_until(lambda: sum(file.stat().st_size for file in front.daemon.temp.glob("*/upload")) > MB)
    line.close()
    offset = int(ask("HEAD", path)["Upload-Offset"])
    assert MB < offset <= 2 * MB
    rest = {"Upload_Offset": str(offset), "Content_Type": chunk["Content-Type"]}
    assert ask("PATCH", path, body[offset:], **rest)["Upload-Offset"] == str(len(body))
    client.close()

    (file,) = front.daemon.temp.glob("*/upload")
    assert file.read_bytes() == body


def test_refusals_come_through(front: Front) -> None:
    """The node reads the daemon's own words."""
    node = front.node()
    node.password = "wrong"
    with pytest.raises(ExchangeFailed, match=r"^HTTP 401: failure\n"):
        node.checkauth()
    node.password = "secret"
    node.checkauth()
    node.sessid = "another"
    with pytest.raises(ExchangeFailed, match=r"^HTTP 403: failure\nInvalid session$"):
        node.send_file("a", b"x" * MB)
    node.close()


def test_refusals_come_through_however_much_is_sent(front: Front) -> None:
    """The daemon leaves nginx the time to see its answer: it sends the body on as fast as it is taken."""
    node = front.node()
    node.checkauth()
    for _ in range(5):
        with pytest.raises(ExchangeFailed, match=r"^HTTP 413: failure\nFile too large$"):
            node.send_file("a", b"x" * 2 * LIMIT)
        node.go_on_at(front.port)  # nginx has not read all of the body, and ends the connection
    node.close()


def test_the_daemon_knows_who_asks(front: Front) -> None:
    """Its log has the address of the node, not that of nginx; over TLS the cookie is for TLS alone."""
    node = front.node(address="127.0.0.9")
    node.connection.request(
        "GET",
        "/1c_exchange.php?type=catalog&mode=checkauth",
        headers={
            "Authorization": "Basic c2hvcDpzZWNyZXQ=",
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Proto": "gopher",
        },
    )
    with node.connection.getresponse() as response:
        assert response.read().startswith(b"success")
        cookie = response.headers["Set-Cookie"]
    node.close()

    assert ("secure" in cookie.lower()) == (front.paper is not None)
    front.daemon.wait_for("opened by shop from 127.0.0.9\n")
    front.daemon.wait_for('"127.0.0.9" - - [')
    assert "192.0.2.1" not in front.daemon.log


@pytest.mark.parametrize("front", ["https"], indirect=True)
def test_plain_http_is_no_redirect_for_nodes(front: Front) -> None:
    """Beside TLS a node hears what to do; browsers are sent on."""
    assert front.plain_port is not None
    node = Client("127.0.0.1", front.plain_port)
    with pytest.raises(ExchangeFailed, match=r"^HTTP 403: failure\nThe exchange is at https://"):
        node.checkauth()
    node.connection.request("GET", "/1c_exchange.php")
    with node.connection.getresponse() as response:
        response.read()
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    node.connection.request("GET", "/goods?page=2", headers={"Host": "shop.example"})
    with node.connection.getresponse() as response:
        response.read()
        assert (response.status, response.headers["Location"]) == (301, "https://shop.example/goods?page=2")
    node.close()
