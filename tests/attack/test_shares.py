"""Attacks on what all share: the database, and sessions that are large."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from base64 import b64encode
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from beside import figures, others, ratio

from onec_twisted.catalog.preparation import create_catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 1.0
"""How long the quiet daemon is watched."""

GREEDY = "Basic " + b64encode(b"greedy:secret").decode()

FILES = 100_000
SESSID, TOKEN = "ab" * 16, "token"


def large_session(folder: Path) -> None:
    """Leave a session of very many files behind, as a daemon does that has ended."""
    temp = folder / "media" / "1c_temp"
    names = [f"import_files/{number % 256:02x}/{number:032x}.jpg" for number in range(FILES)]
    for number in range(256):
        (temp / SESSID / "import_files" / f"{number:02x}").mkdir(parents=True)
    for name in names:
        os.close(os.open(temp / SESSID / name, os.O_CREAT | os.O_WRONLY))
    create_catalog(temp / "exchange.sqlite3")
    token_hash = hashlib.sha256(TOKEN.encode()).hexdigest()
    with closing(sqlite3.connect(temp / "exchange.sqlite3")) as connection, connection:
        connection.execute(
            "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
            " VALUES (?, ?, 'shop', 1, 0, ?, 1)",
            (SESSID, token_hash, time.time()),
        )
        connection.executemany(
            "INSERT INTO files (sessid, name, committed, last_start, proven, damaged, type, sealed, by_node)"
            " VALUES (?, ?, 0, 0, 1, 0, 'catalog', 0, 1)",
            [(SESSID, name) for name in names],
        )


def ask(daemon: Daemon, mode: str, method: str = "GET", body: bytes | None = None) -> tuple[float, bytes]:
    """Ask something in that session; return how many seconds it took, and the answer."""
    line = HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    began = time.monotonic()
    query = f"/1c_exchange.php?type=catalog&sessid={SESSID}&mode={mode}"
    line.request(method, query, body, {"Cookie": f"onec_session={TOKEN}"})
    answer = line.getresponse().read()
    line.close()
    return time.monotonic() - began, answer


def test_a_large_session(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """Neither its first request nor its end takes long, nor do others feel them."""
    large_session(tmp_path / "run")
    daemon = daemons()
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    with others(daemon.port) as beside:
        first, answer = ask(daemon, "file&filename=late.xml", "POST", b"x")
        assert answer == b"success"
        complete, answer = ask(daemon, "complete")
        assert answer == b"success"
        daemon.wait_for("complete delivered")
        emptied, answer = ask(daemon, "init")

    print(figures(f"a session of {FILES} files", quiet, beside))
    print(f"  first request {first:.3f} s, complete {complete:.3f} s, init {emptied:.3f} s")
    assert not beside.failed
    assert first < 1
    assert complete < 3
    assert ratio(quiet, beside) < 30


def test_a_held_database(daemons: Callable[..., Daemon]) -> None:
    """Nobody waits much longer than 3 s for an answer, however many ask, and all is well afterwards."""
    daemon = daemons()
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    with others(daemon.port) as beside:
        time.sleep(0.5)
        with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3", isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            time.sleep(4)
        time.sleep(1)
    with others(daemon.port) as after:
        time.sleep(SECONDS)

    print(figures("another program holds the database for 4 s", quiet, beside))
    worst = max(beside.percentile(kind, 100) for kind in ("checkauth", "head", "piece"))
    print(f"  the longest wait {worst:.2f} s")
    assert beside.failed
    assert worst < 4.5
    assert not after.failed


def test_slow_pieces_of_one_user(daemons: Callable[..., Daemon]) -> None:
    """A thousand that announce 100 MB each, and bring next to nothing, keep nobody else out."""
    daemon = daemons("--connections-per-address=0", "--auth=memory:greedy:secret")
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    line = HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    line.request("GET", "/1c_exchange.php?type=catalog&mode=checkauth", headers={"Authorization": GREEDY})
    told = line.getresponse().read().decode().split("\n")
    line.close()
    slow, taken = [], 0
    with others(daemon.port) as beside:
        for number in range(1000):
            one = socket.create_connection(("127.0.0.1", daemon.port))
            one.sendall(
                f"POST /1c_exchange.php?type=catalog&mode=file&filename=f{number}&{told[3]} HTTP/1.1\r\nHost: x\r\n"
                f"Cookie: {told[1]}={told[2]}\r\nContent-Length: {100 * 1024 * 1024}\r\n\r\nslow".encode()
            )
            slow.append(one)
        time.sleep(SECONDS)
        for one in slow:
            with suppress(BlockingIOError):
                one.setblocking(False)
                one.recv(1)  # the beginning of a refusal
                taken -= 1
            taken += 1
    for one in slow:
        one.close()

    print(figures(f"1,000 slow pieces of one user, who has {taken} places", quiet, beside))
    assert not beside.failed
    assert 100 <= taken <= 500
