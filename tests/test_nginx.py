"""The sample configuration of nginx, with a real nginx in front of the real daemon."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define
from daemon import PATIENCE, Daemon, start
from trade import ExchangeFailed, Trade, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parent.parent / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MB = 2**20

pytestmark = pytest.mark.skipif(NGINX is None and "CI" not in os.environ, reason="nginx is not installed")


@define
class Front:
    """nginx on a port of its own, and the daemon behind it."""

    port: int
    daemon: Daemon


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """The sample, with nothing changed but the ports and the path of the media."""
    assert NGINX is not None, "CI must have nginx"
    daemon = start(tmp_path / "run", "--file-limit=4M")
    port = free_port()
    site = SAMPLE.read_text(encoding="utf-8")
    for shown, used in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:8080;": f"127.0.0.1:{daemon.port};",
        "/srv/shop/media/": f"{tmp_path}/run/media/",
    }.items():
        assert site.count(shown) == 1
        site = site.replace(shown, used)
    (tmp_path / "site.conf").write_text(site, encoding="utf-8")
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; {user} pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;"
        f"events {{}} http {{ access_log off; {temporary} include {tmp_path}/site.conf; }}",
        encoding="utf-8",
    )
    process = subprocess.Popen([NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")])
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None, (tmp_path / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    yield Front(port, daemon)
    process.terminate()
    process.wait(PATIENCE)
    daemon.kill()


def get(port: int, path: str) -> tuple[int, bytes]:
    """Fetch a path."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    line.request("GET", path)
    response = line.getresponse()
    answer = response.status, response.read()
    line.close()
    return answer


def test_an_upload_goes_through_and_is_never_served(front: Front, tmp_path: Path) -> None:
    """The whole dialogue works; media are served, what nodes upload and the database are 404."""
    node = Trade("127.0.0.1", front.port)
    node.checkauth()
    node.init()
    assert node.file_limit == 4 * MB
    body = packed({"import0_1.xml": b"<?xml", "picture.jpg": random.Random(3).randbytes(10 * MB)})
    (tmp_path / "import.zip").write_bytes(body)
    with (tmp_path / "import.zip").open("rb") as file:
        node.send_split("import.zip", file, len(body))
    node.import_file("import0_1.xml")
    node.close()
    (front.daemon.folder / "media" / "logo.txt").write_bytes(b"logo")

    assert (front.daemon.temp / node.sessid / "import.zip").read_bytes() == body
    assert get(front.port, "/media/logo.txt") == (200, b"logo")
    for path in (
        "/media/1c_temp",
        "/media/1c_temp/",
        f"/media/1c_temp/{node.sessid}/import.zip",
        f"/media/./1c_temp/{node.sessid}/import.zip",
        f"/media//1c_temp/{node.sessid}/import.zip",
        f"/media/%31c_temp/{node.sessid}/import.zip",
        "/media/1c_temp/exchange.sqlite3",
    ):
        assert get(front.port, path)[0] == 404, path


def test_bodies_are_not_gathered_on_the_way(front: Front) -> None:
    """Half a body has reached the daemon's disk before the other half is sent."""
    node = Trade("127.0.0.1", front.port)
    node.checkauth()
    node.send_file("a", b"")
    file = front.daemon.temp / node.sessid / "a"
    line = socket.create_connection(("127.0.0.1", front.port), PATIENCE)
    line.sendall(
        f"POST /1c_exchange.php?type=catalog&mode=file&filename=a&sessid={node.sessid} HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: {node.cookie}\r\nContent-Length: {4 * MB}\r\n\r\n".encode()
        + b"x" * (2 * MB)
    )
    deadline = time.monotonic() + PATIENCE
    while file.stat().st_size < MB:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    line.close()
    front.daemon.wait_for("piece of a dropped")
    node.send_file("a", b"after")

    assert file.read_bytes() == b"after"
    node.close()


def test_a_refusal_comes_through(front: Front) -> None:
    """The node reads the daemon's own words."""
    node = Trade("127.0.0.1", front.port)
    node.checkauth()
    with pytest.raises(ExchangeFailed, match="HTTP 413: failure\nFile too large"):
        node.send_file("a", b"x" * (5 * MB))
    node.close()
