"""Attacks by the letter of HTTP: tiny chunks, and heads that do not end."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from beside import figures, others, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 1.5
"""How long each part is."""

TINY = b"1\r\nx\r\n" * 40_000
REFUSED = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def login(port: int) -> tuple[str, str]:
    """Open a session; return its cookie and its sessid."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(
            b"GET /1c_exchange.php?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Basic c2hvcDpzZWNyZXQ=\r\n\r\n"
        )
        answer = b""
        while data := line.recv(65536):
            answer += data
    lines = answer.split(b"\r\n\r\n")[1].decode().split("\n")
    return f"{lines[1]}={lines[2]}", lines[3]


def send_chunks(port: int, session: tuple[str, str], name: str, until: float) -> None:
    """Send pieces in chunks of a byte, one after another, until a moment of the monotonic clock."""
    cookie, sessid = session
    head = (
        f"POST /1c_exchange.php?type=catalog&mode=file&filename={name}&{sessid} HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(10)
        line.sendall(head)
        while time.monotonic() < until:
            line.sendall(TINY)


def test_tiny_chunks(daemons: Callable[..., Daemon]) -> None:
    """Four senders of 1-byte chunks do not keep others waiting."""
    daemon = daemons()
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    session = login(daemon.port)
    with others(daemon.port) as beside:
        until = time.monotonic() + SECONDS
        senders = [
            threading.Thread(target=send_chunks, args=(daemon.port, session, f"{number}.xml", until))
            for number in range(4)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    print(figures("tiny chunks of four senders", quiet, beside))
    assert not beside.failed
    assert ratio(quiet, beside, 50) < 10


def flood(port: int, data: bytes, until: float) -> None:
    """Send the same over and over again, and read what comes, until a moment of the monotonic clock."""
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
            line.settimeout(0.02)
            while time.monotonic() < until:
                line.sendall(data)
                with suppress(TimeoutError):
                    while line.recv(1 << 20) and time.monotonic() < until:
                        pass


FLOODS = {
    "requests by the thousand in one packet": b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
    "refused bodies of tiny chunks": REFUSED + TINY,
    "targets of 15 KB": b"GET /1c_exchange.php?" + b"x" * 15_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_floods(daemons: Callable[..., Daemon]) -> None:
    """Four connections that send what is refused, as fast as they can, do not keep others waiting."""
    daemon = daemons()
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    for name, data in FLOODS.items():
        with others(daemon.port) as beside:
            logged, until = len(daemon.log), time.monotonic() + SECONDS
            senders = [threading.Thread(target=flood, args=(daemon.port, data, until)) for _ in range(4)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        rate = (len(daemon.log) - logged) / SECONDS / 1e6
        print(figures(name, quiet, beside) + f"; {rate:.2f} MB/s of log")
        assert not beside.failed, name
        assert ratio(quiet, beside, 50) < 10, name
        assert rate < 3, name


def test_half_heads_on_both_ports(daemons: Callable[..., Daemon]) -> None:
    """A thousand half heads to each port, and /health answers beside them."""
    daemon = daemons("--admin=tcp:0:interface=127.0.0.1", "--header-timeout=2")
    lines = []
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    with others(daemon.port) as beside:
        for port in (daemon.port, daemon.admin_port):
            for number in range(400):
                lines.append(socket.create_connection(("127.0.0.1", port)))
                with suppress(OSError):  # it has made room for others already
                    lines[-1].sendall(b"GET /half" if number % 2 else b"GET / HTTP/1.1\r\nHost: x\r\n")
        asked = time.monotonic()
        with urlopen(f"http://127.0.0.1:{daemon.admin_port}/health", timeout=10) as answer:
            assert answer.status == 200
        waited = time.monotonic() - asked
        daemon.wait_for("Request headers timed out", 400)
    for line in lines:
        line.close()

    print(figures("half heads", quiet, beside) + f"; /health {waited * 1000:.0f} ms")
    assert not beside.failed
    assert waited < 2
    assert ratio(quiet, beside, 50) < 10
