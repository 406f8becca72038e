"""Attacks by the letter of HTTP: tiny chunks, and heads that do not end."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from beside import figures, others, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 3.0
"""How long each part is."""


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
    many = b"1\r\nx\r\n" * 40_000
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(10)
        line.sendall(head)
        while time.monotonic() < until:
            line.sendall(many)


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
