"""A piece whose answer never arrived is not doubled; equal pieces that arrived both count. On real sockets."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from faulty_node import answer, connect, go_deaf, logged_in, request, reset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SIOCOUTQ is Linux's")
SAME = b"the same bytes " * 100


@pytest.mark.parametrize("end", ["FIN", "RST", "none"])
def test_an_answer_that_was_read(daemons: Callable[..., Daemon], end: str) -> None:
    """Whatever becomes of the connection: the next equal piece is data."""
    daemon = daemons()
    node = logged_in(daemon)
    lines = []
    for _ in range(4):
        line = connect(daemon)
        line.sendall(request(node, "a", SAME))
        assert answer(line)
        if end == "FIN":
            line.close()
        elif end == "RST":
            reset(line)
        lines.append(line)

    assert (daemon.temp / node.sessid / "a").read_bytes() == SAME * 4
    for line in lines:
        line.close()


@pytest.mark.parametrize("end", ["close", "FIN", "notify", "both"])
def test_an_answer_that_was_read_with_tls(daemons: Callable[..., Daemon], tmp_path: Path, end: str) -> None:
    """Also where its reader is gone at once, as ``curl`` is, or wants the connection to end behind the answer."""
    made = make_certificate(tmp_path)
    daemon = daemons(
        listen=(
            "tcp:0:interface=127.0.0.1",
            f"ssl:0:interface=127.0.0.1:privateKey={made.key}:certKey={made.chain}",
        )
    )
    node = logged_in(daemon)
    piece = request(node, "a", SAME)
    if end == "close":
        piece = piece.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    for _ in range(8):
        plain = socket.create_connection(("127.0.0.1", int(daemon.endpoints[1])), 20)
        line = made.trusted().wrap_socket(plain, server_hostname="localhost")
        line.sendall(piece)
        assert answer(line)
        if end == "close":
            assert line.recv(1) == b""
        elif end == "both":
            line.unwrap()
        elif end == "notify":
            line.setblocking(False)
            with suppress(ssl.SSLError):
                line.unwrap()
        line.close()

    assert (daemon.temp / node.sessid / "a").read_bytes() == SAME * 8


def test_equal_pieces_on_one_connection(daemons: Callable[..., Daemon]) -> None:
    """A file of zeros grows, one answer after another and sent ahead."""
    daemon = daemons()
    node = logged_in(daemon)
    line = connect(daemon)
    for _ in range(20):
        line.sendall(request(node, "a", bytes(1000)))
        assert answer(line)
    line.sendall(request(node, "a", bytes(1000)) * 3)
    read = b""
    while read.count(b"\r\n\r\nsuccess") < 3:
        read += line.recv(65536)
    line.close()

    assert (daemon.temp / node.sessid / "a").read_bytes() == bytes(23_000)


@pytest.mark.parametrize("end", ["RST", "FIN", "vanished", "killed"])
def test_an_answer_that_was_lost(daemons: Callable[..., Daemon], end: str) -> None:
    """The piece comes again on a new connection, and is not doubled; the one after it is data."""
    daemon = daemons()
    node = logged_in(daemon)
    line = connect(daemon)
    go_deaf(line)
    line.sendall(request(node, "a", SAME))
    daemon.wait_for("bytes stored")
    if end == "RST":
        reset(line)
    elif end == "FIN":
        line.close()
    elif end == "killed":
        daemon.kill()
        daemon = daemons()
    again = connect(daemon)
    again.sendall(request(node, "a", SAME))
    assert answer(again)
    assert (daemon.temp / node.sessid / "a").read_bytes() == SAME
    daemon.wait_for("repeat of the last 1500 bytes")
    again.sendall(request(node, "a", SAME))
    assert answer(again)

    assert (daemon.temp / node.sessid / "a").read_bytes() == SAME * 2
    again.close()
    line.close()


def test_a_proof_survives_a_kill(daemons: Callable[..., Daemon]) -> None:
    """Long after the answer was read, with the connection still open."""
    daemon = daemons()
    node = logged_in(daemon)
    line = connect(daemon)
    line.sendall(request(node, "a", SAME))
    assert answer(line)
    time.sleep(0.5)
    daemon.kill()
    daemon = daemons()
    again = connect(daemon)
    again.sendall(request(node, "a", SAME))
    assert answer(again)

    assert (daemon.temp / node.sessid / "a").read_bytes() == SAME * 2
    again.close()
    line.close()
