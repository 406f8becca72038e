"""The real process, as an administrator meets it: its log, its limits, its status page, its certificate."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate, name_of
from daemon import PATIENCE, Daemon, connect_unix, run, start
from trade import ExchangeFailed, Trade

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MB = 2**20


def asked(port: int, path: str) -> tuple[int, bytes]:
    """Return what the status page's site answers."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    line.request("GET", path)
    response = line.getresponse()
    answer = response.status, response.read()
    line.close()
    return answer


def said(daemon: Daemon, request: bytes) -> bytes:
    """Send bytes, and return all that is answered until the connection is closed."""
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(request)
    answer = b""
    while block := line.recv(65536):
        answer += block
    line.close()
    return answer


def test_a_log_for_programs(daemons: Callable[..., Daemon]) -> None:
    """Each line is an object; a refusal has its fields, and no secret is in any of them."""
    daemon = daemons("--log-format=json")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    with pytest.raises(ExchangeFailed):
        node.send_file("..%0A", b"x")
    node.close()
    daemon.stop()
    events = [json.loads(line) for line in daemon.log.splitlines()]
    (refused,) = (event for event in events if event.get("refused"))

    assert all({"time", "level", "logger", "message"} <= set(event) for event in events)
    assert (refused["refused"], refused["status"], refused["peer"]) == ("InvalidFilename", 400, "127.0.0.1")
    assert "filename=..%0A" in refused["query"]
    assert "\n" not in refused["message"]
    assert node.cookie.partition("=")[2] not in daemon.log
    assert "secret" not in daemon.log


@pytest.mark.executed("signals")
def test_a_log_in_a_file(tmp_path: Path) -> None:
    """Lines are added to it; what was in it stays."""
    log = tmp_path / "exchange.log"
    log.write_text("before\n")
    daemon = start(tmp_path / "run", twistd=("-n", "--pidfile=", "--logfile=-"))
    daemon.process.send_signal(signal.SIGUSR1)  # nothing to open anew, and no reason to end
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.close()
    daemon.stop()
    status, _, complaint = run(
        tmp_path, "--auth=memory:a:b", "--listen=tcp:0:interface=127.0.0.1", "--media-root=/proc/none",
        twistd=("-n", "--pidfile=", f"--logfile={log}"),
    )  # fmt: skip

    assert status == 1
    assert "--media-root=/proc/none" in complaint
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert any("starting up" in line for line in lines)
    status, _, complaint = run(tmp_path, "--auth=memory:a:b", twistd=("-n", "--pidfile=", f"--logfile={tmp_path}"))
    assert status == 1
    assert f"--logfile={tmp_path}: cannot be written (Is a directory)" in complaint


def test_a_head_that_takes_too_long(daemons: Callable[..., Daemon]) -> None:
    """Its sender reads why; a body may take longer than that."""
    daemon = daemons("--header-timeout=1")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    answer = said(daemon, b"GET /1c_exchange.php?type=catalog&mode=init HTTP/1.1\r\nHost: x\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"failure\nRequest headers timed out")
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(
        f"POST /1c_exchange.php?type=catalog&mode=file&filename=a&sessid={node.sessid} HTTP/1.1\r\n"
        f"Host: x\r\nCookie: {node.cookie}\r\nContent-Length: 4\r\n\r\n".encode()
    )
    for part in (b"a", b"b", b"c", b"d"):
        time.sleep(0.4)
        line.sendall(part)

    assert line.recv(65536).endswith(b"success")
    line.close()
    node.close()


def test_connections_of_one_address(daemons: Callable[..., Daemon]) -> None:
    """One too many hears so, and there is room again when one has gone."""
    daemon = daemons("--connections-per-address=2")
    nodes = [Trade("127.0.0.1", daemon.port) for _ in range(2)]
    for node in nodes:
        node.checkauth()
    with pytest.raises(ExchangeFailed, match="HTTP 429: failure\nToo many connections - retry later"):
        Trade("127.0.0.1", daemon.port).checkauth()
    nodes[0].close()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            again = Trade("127.0.0.1", daemon.port)
            again.checkauth()
            break
        except ExchangeFailed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    nodes[1].init()
    for node in (nodes[1], again):
        node.close()


def test_the_proxy_protocol(daemons: Callable[..., Daemon]) -> None:
    """An endpoint string brings it: a large piece arrives, and the client's address is in the log."""
    daemon = daemons("--access-log=yes", listen=("haproxy:tcp:0:interface=127.0.0.1",))
    node = Trade("127.0.0.1", daemon.port)
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 80\r\n")
    node.connection.sock = line
    node.checkauth()
    body = bytes(range(256)) * (3 * MB // 256)
    node.send_file("a.zip", body)
    node.close()
    daemon.stop()

    assert (daemon.temp / node.sessid / "a.zip").read_bytes() == body
    assert "opened by shop from 203.0.113.7" in daemon.log
    assert '"203.0.113.7" - - [' in daemon.log
    assert '"127.0.0.1" - - [' not in daemon.log


def test_the_status_page(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """On an endpoint of its own, with a lock where it is wanted, and with a warning where strangers can reach it."""
    path = tmp_path / "admin.sock"
    daemon = daemons(f"--admin=unix:{path}", "--admin-auth=memory:root:toor", "--min-free=1000T")
    line = http.client.HTTPConnection("localhost")
    line.sock = connect_unix(path)
    line.request("GET", "/health")
    response = line.getresponse()
    health = json.loads(response.read())
    assert (response.status, health["live"], health["ready"]) == (503, True, False)
    assert "--min-free" in health["reasons"][0]
    line.request("GET", "/")
    response = line.getresponse()
    assert (response.status, response.read()) == (401, b"User name and password are required\n")
    line.close()
    assert "is reachable from other machines" not in daemon.log
    daemon.stop()

    daemon = daemons("--admin=tcp:0")
    assert asked(daemon.admin_port, "/health/ready")[0] == 200
    assert b"onec_sessions 0.0\n" in asked(daemon.admin_port, "/metrics")[1]
    assert "--admin is reachable from other machines" in daemon.log


@pytest.mark.executed("signals")
def test_a_renewed_certificate(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """A signal takes it up; uploads that run go on, and what cannot be loaded changes nothing."""
    make_certificate(tmp_path, "one.example", days=30)
    daemon = daemons(
        "--admin=tcp:0:interface=127.0.0.1",
        listen=(f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/privkey.pem:certKey={tmp_path}/fullchain.pem",),
    )
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def name() -> str:
        """Return the name of the certificate that a new connection sees."""
        with context.wrap_socket(socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)) as line:
            return name_of(line)

    node = Trade("127.0.0.1", daemon.port)
    node.connection = http.client.HTTPSConnection("127.0.0.1", daemon.port, timeout=PATIENCE, context=context)
    node.checkauth()
    node.send_file("a", b"before")
    assert name() == "one.example"
    metrics = asked(daemon.admin_port, "/metrics")[1].decode()
    (expiry,) = (line for line in metrics.splitlines() if line.startswith("onec_certificate_expiry"))
    assert 28 < (float(expiry.split()[-1]) - time.time()) / 86400 < 31
    make_certificate(tmp_path, "two.example")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("renewed certificate loaded")
    assert name() == "two.example"
    (tmp_path / "fullchain.pem").write_bytes(b"nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("the previous one stays in use")

    assert name() == "two.example"
    node.send_file("a", b"after")
    assert (daemon.temp / node.sessid / "a").read_bytes() == b"beforeafter"
    node.close()


def test_a_catalog_of_a_later_version(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """An older daemon refuses it in one line, and leaves it as it is."""
    daemon = daemons()
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.close()
    daemon.stop()
    path = daemon.temp / "exchange.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    status, _, complaint = run(tmp_path / "run", "--auth=memory:a:b", "--listen=tcp:0:interface=127.0.0.1")

    assert status == 1
    assert complaint.strip().splitlines()[-1].startswith(f"onec-exchange: {path} was written by a later version")
    assert len(complaint.strip().splitlines()) == 1
    assert path.read_bytes() == before
