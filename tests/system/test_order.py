"""Five users exchange with the real daemon, which is killed again and again: their documents keep their order."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import defaultdict
from contextlib import closing, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from daemon import PATIENCE, Daemon, start
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USERS = tuple("abcde")
AUTH = [f"--auth=memory:{user}:secret" for user in USERS]
EACH = 40
"""Hand-offs of each user."""

KILLS = 5


@define(eq=False)
class Shop:
    """A site that fails at random, and notes what is wrong with the order of what it gets."""

    chance: random.Random
    lock: threading.Lock = field(factory=threading.Lock)
    running: set[str] = field(factory=set)
    imported: dict[str, list[int]] = field(factory=lambda: defaultdict(list))
    wrong: list[str] = field(factory=list)
    tries: int = 0

    def begin(self, user: str, number: int) -> tuple[int, bytes, float]:
        """Return the answer to a delivery, and how long it takes."""
        with self.lock:
            self.tries += 1
            if user in self.running:
                self.wrong.append(f"two of {user} at once")
            if self.imported[user] and number < self.imported[user][-1]:
                self.wrong.append(f"{user}: {number} after {self.imported[user][-1]}")
            self.running.add(user)
            dice = self.chance.random()
            pause = self.chance.random() * 0.05
        if dice < 0.1:
            return 503, b"asleep", pause
        if dice < 0.15:
            return 200, b"failure\nno price", pause
        return 200, b"success", pause

    def end(self, user: str, number: int, *, imported: bool) -> None:
        """Note the end of a delivery, before it is answered."""
        with self.lock:
            self.running.discard(user)
            if imported:
                self.imported[user].append(number)

    def forget_running(self) -> None:
        """Note that nobody waits for an answer any more."""
        with self.lock:
            self.running.clear()


@pytest.fixture
def shop() -> Iterator[tuple[Shop, str]]:
    """The site, and its address."""
    shop = Shop(random.Random(16))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Import the number that the document has."""
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = int(Path(told["folder"], told["filename"]).read_text()[3:-2])
            status, body, pause = shop.begin(told["user"], number)
            time.sleep(pause)
            shop.end(told["user"], number, imported=body == b"success")
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield shop, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    serving.join()
    server.server_close()


def exchange(port: Callable[[], int], user: str, chance: random.Random) -> None:
    """Send one document after another, each in a session of its own, and do not always wait for its import."""
    for number in range(1, EACH + 1):
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline
            node = Trade("127.0.0.1", port(), user)
            try:
                node.checkauth()
                node.init()
                node.send_file("import0_1.xml", f"<a>{number:06}/>".encode())
                query = f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}"
                while node._ask(query).startswith("progress") and chance.random() < 0.5:
                    pass
                break
            except (OSError, HTTPException, ExchangeFailed):
                time.sleep(0.1)  # the daemon was killed: the node begins again, with the same document
            finally:
                node.close()


def states(daemon: Daemon) -> list[str]:
    """Return the states of all hand-offs on record."""
    with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3")) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM handoffs")]


def test_two_hundred_hand_offs_of_five_users(tmp_path: Path, shop: tuple[Shop, str]) -> None:
    """The site gets one of a user at a time, never an older one after a newer one, and in the end all of them."""
    site, address = shop
    chance = random.Random(16)

    def begin(port: int) -> Daemon:
        listen = (f"tcp:{port}:interface=127.0.0.1",)
        options = (f"--importer={address}", "--import-hold=0.05", *AUTH[1:])
        return start(tmp_path / "run", *options, listen=listen, auth=AUTH[0])

    daemon = begin(0)
    port = daemon.port
    nodes = [
        threading.Thread(target=exchange, args=(lambda: port, user, random.Random(user)), daemon=True)
        for user in USERS
    ]
    try:
        for node in nodes:
            node.start()
        for _ in range(KILLS):
            time.sleep(0.5 + chance.random())
            daemon.kill()
            site.forget_running()
            daemon = begin(port)
        for node in nodes:
            node.join(PATIENCE)
        assert not any(node.is_alive() for node in nodes)
        deadline = time.monotonic() + PATIENCE
        while "waiting" in states(daemon):
            assert time.monotonic() < deadline, daemon.log
            time.sleep(0.1)
    finally:
        daemon.kill()

    assert site.wrong == []
    assert len(states(daemon)) >= EACH * len(USERS)
    assert all(site.imported[user] == sorted(site.imported[user]) for user in USERS)
    assert site.tries > len(states(daemon))
