"""Attacks from the site's side: answers and output without end."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from beside import figures, others, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 1.5
"""How long each part is."""

SESSIONS = 8
"""Hand-offs that run at once."""

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "headers": (OK, b"A: b\r\n" * 10_000),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
    "a body in chunks of a byte": (CHUNKED, b"1\r\nx\r\n" * 10_000),
}


@contextmanager
def flood(begins: bytes, block: bytes) -> Iterator[str]:
    """Be a site that answers without end, to everybody who asks; give its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(line: socket.socket) -> None:
        with line, suppress(OSError):
            line.settimeout(1)
            line.recv(65536)
            line.sendall(begins)
            while not ended.is_set():
                line.sendall(block)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def login(port: int) -> tuple[str, str]:
    """Open a session; return its cookie and its sessid."""
    line = HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": "Basic c2hvcDpzZWNyZXQ="}
    line.request("GET", "/1c_exchange.php?type=catalog&mode=checkauth", headers=headers)
    lines = line.getresponse().read().decode().split("\n")
    line.close()
    return f"{lines[1]}={lines[2]}", lines[3]


def asked(port: int, session: tuple[str, str], mode: str, body: bytes = b"") -> socket.socket:
    """Send a request in a session, and return the connection."""
    cookie, sessid = session
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(
        f"POST /1c_exchange.php?type={mode}&{sessid} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return line


def import_at_once(port: int) -> list[socket.socket]:
    """Have a file imported in each of several sessions; return the connections."""
    lines = []
    for _ in range(SESSIONS):
        session = login(port)
        with asked(port, session, "catalog&mode=file&filename=a.xml", b"<?xml?>") as line:
            assert b"success" in line.recv(65536)
        lines.append(asked(port, session, "catalog&mode=import&filename=a.xml"))
    return lines


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_site_that_answers_without_end(daemons: Callable[..., Daemon], kind: str) -> None:
    """Eight imports of it take no memory, and keep nobody waiting."""
    with flood(*ANSWERS[kind]) as url:
        daemon = daemons("--access-log=no", f"--importer={url}")
        with others(daemon.port) as quiet:
            time.sleep(SECONDS)
        before, log = daemon.peak_memory() // 1_000_000, len(daemon.log)
        with others(daemon.port) as beside:
            lines = import_at_once(daemon.port)
            time.sleep(SECONDS)
        after = daemon.peak_memory() // 1_000_000
        logged = len(daemon.log) - log
        for line in lines:
            line.close()

    print(f"{figures(f'a site that answers {kind}', quiet, beside)}; {before}→{after} MB, {logged} bytes of log")
    assert ratio(quiet, beside, percent=50) < 5
    assert after - before < 30
    assert logged < 30_000


def test_orders_in_tiny_chunks(daemons: Callable[..., Daemon]) -> None:
    """Four nodes that are given orders without end, in chunks of a byte, keep nobody waiting."""
    with flood(CHUNKED + b"5\r\n<?xml\r\n", b"1\r\nx\r\n" * 10_000) as url:
        daemon = daemons("--access-log=no", f"--orders={url}")
        with others(daemon.port) as quiet:
            time.sleep(SECONDS)
        before = daemon.peak_memory() // 1_000_000
        read = [0]

        def take(line: socket.socket, until: float) -> None:
            while time.monotonic() < until:
                read[0] += len(line.recv(65536))

        with others(daemon.port) as beside:
            lines = [asked(daemon.port, login(daemon.port), "sale&mode=query") for _ in range(4)]
            until = time.monotonic() + SECONDS
            takers = [threading.Thread(target=take, args=(line, until)) for line in lines]
            for taker in takers:
                taker.start()
            for taker in takers:
                taker.join()
        after = daemon.peak_memory() // 1_000_000
        for line in lines:
            line.close()

    told = figures("four nodes that read orders in chunks of a byte", quiet, beside)
    print(f"{told}; {before}→{after} MB, {read[0] / SECONDS / 1e6:.1f} MB/s")
    assert ratio(quiet, beside, percent=50) < 5
    assert after - before < 30


@pytest.mark.parametrize("command", ["yes >&2", "cat /dev/zero"])
def test_a_program_that_prints_without_end(daemons: Callable[..., Daemon], tmp_path: Path, command: str) -> None:
    """Eight of it take no memory and little log, and keep nobody waiting."""
    program = tmp_path / "import.sh"
    program.write_text(f"#!/bin/sh\n{command}\n")
    program.chmod(0o755)
    daemon = daemons("--access-log=no", f"--importer=exec:{program}", "--import-timeout=4")
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    before, log = daemon.peak_memory() // 1_000_000, len(daemon.log)
    with others(daemon.port) as beside:
        lines = import_at_once(daemon.port)
        time.sleep(SECONDS)
    after, logged = daemon.peak_memory() // 1_000_000, len(daemon.log) - log
    for line in lines:
        line.close()

    print(f"{figures(f'eight of: {command}', quiet, beside)}; {before}→{after} MB, {logged} bytes of log")
    assert ratio(quiet, beside, percent=50) < 5
    assert after - before < 30
    assert logged < 3_000_000
