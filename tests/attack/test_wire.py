"""Attacks by the letter of HTTP: tiny chunks, and heads that do not end."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from beside import Felt, figures, others, ratio
from certificates import make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def begin_records(port: int, session: tuple[str, str], name: str, sizes: list[int]) -> tuple[socket.socket, bytes]:
    """Connect with TLS; return the connection, and a piece's first bytes, in records of these sizes."""
    cookie, sessid = session
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(coming, going)
    line = socket.create_connection(("127.0.0.1", port))
    while True:
        try:
            secure.do_handshake()
            break
        except ssl.SSLWantReadError:
            line.sendall(going.read())
            coming.write(line.recv(65536))
    secure.write(
        f"POST /1c_exchange.php?type=catalog&mode=file&filename={name}&{sessid} HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: {cookie}\r\nContent-Length: 100000000\r\n\r\n".encode()
    )
    for size in sizes:
        secure.write(b"x" * size)
    return line, going.read()


def attacked(port: int, attacks: list[Callable[[], object]]) -> Felt:
    """Return what others feel while attacks run, each in a thread."""
    until = time.monotonic() + SECONDS
    with others(port) as beside:
        threads = [threading.Thread(target=attack) for attack in attacks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(max(0.0, until - time.monotonic()))  # what the kernel holds is still to be read
    return beside


def test_tiny_pieces(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """Four senders of 1-byte chunks, or of TLS records of a byte, do not keep others waiting.

    Nor do large records between those: they make the daemon read more at a time, and let a worker do it.
    """
    certificate = make_certificate(tmp_path)
    secure = f"ssl:0:interface=127.0.0.1:privateKey={certificate.key}:certKey={certificate.chain}"
    daemon = daemons(listen=("tcp:0:interface=127.0.0.1", secure))
    session = login(daemon.port)
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    until = time.monotonic() + SECONDS
    chunks = attacked(
        daemon.port, [partial(send_chunks, daemon.port, session, f"{number}.xml", until) for number in range(4)]
    )
    print(figures("tiny chunks of four senders", quiet, chunks))
    assert not chunks.failed
    assert ratio(quiet, chunks, 50) < 10
    for sizes in ([1] * 100_000, ([16384] * 12 + [1] * 12_000) * 8):
        begun = [begin_records(int(daemon.endpoints[1]), session, f"{n}-{len(sizes)}", sizes) for n in range(4)]
        records = attacked(daemon.port, [partial(line.sendall, data) for line, data in begun])
        print(figures(f"tiny TLS records of four senders, of {max(sizes)} bytes at most", quiet, records))
        for line, _ in begun:
            line.close()
        assert not records.failed
        assert ratio(quiet, records, 50) < 10


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
        logged, until = len(daemon.log), time.monotonic() + SECONDS
        beside = attacked(daemon.port, [partial(flood, daemon.port, data, until)] * 4)
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
