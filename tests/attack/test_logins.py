"""Attacks by passwords: 120 connections that guess beside nodes that log in."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import string
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bcrypt
import pytest
from beside import figures, others, ratio
from daemon import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

GUESSING = 120
"""Connections that guess, from the address of the nodes that log in."""

COST = 12
"""Of bcrypt: a check takes a quarter of a second."""

PATIENCE = 30.0


async def checkauth(port: int, user: str, password: str) -> bytes:
    """Log in over a connection of its own, and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        basic = b64encode(f"{user}:{password}".encode()).decode()
        path = "/1c_exchange.php?type=catalog&mode=checkauth"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        return await reader.read()
    finally:
        writer.close()


def seconds_of(port: int, user: str) -> float:
    """Return how long a good login takes; whatever is not let in has taken all patience."""
    began = time.monotonic()
    answer = asyncio.run(asyncio.wait_for(checkauth(port, user, "secret"), PATIENCE))
    return time.monotonic() - began if answer.startswith(b"HTTP/1.1 200") else PATIENCE


def letters() -> str:
    """Return eight letters that nobody knows."""
    return "".join(random.choices(string.ascii_letters, k=8))


@contextmanager
def guessing(port: int, user: Callable[[], str]) -> Iterator[None]:
    """Guess while the block runs, each connection as fast as it is answered."""
    loop = asyncio.new_event_loop()

    async def guess() -> None:
        while True:
            try:
                answer = await checkauth(port, user(), letters())
            except OSError:
                await asyncio.sleep(0.1)
                continue
            if answer.startswith(b"HTTP/1.1 429"):
                await asyncio.sleep(0.05)

    async def crowd() -> None:
        await asyncio.gather(*(guess() for _ in range(GUESSING)))

    task = loop.create_task(crowd())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.gather(task, return_exceptions=True)))
    thread.start()
    try:
        time.sleep(1)
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def test_good_logins_beside_guesses(tmp_path: Path) -> None:
    """From one address: a node that is known waits for nothing, a new one for two checks, and pieces for none."""
    users = ("shop", "one", "two", "three", "four")
    hashes = [f"{user}:{bcrypt.hashpw(b'secret', bcrypt.gensalt(COST)).decode()}\n" for user in users]
    (tmp_path / "htpasswd").write_text("".join(hashes))
    daemon = start(tmp_path / "run", auth=f"--auth=htpasswd:{tmp_path}/htpasswd")
    try:
        first = seconds_of(daemon.port, "shop")
        known = statistics.median(seconds_of(daemon.port, "shop") for _ in range(20))
        new = iter(users[1:])
        print(f"\nalone: first {first * 1000:.0f} ms, known {known * 1000:.1f} ms")
        with others(daemon.port) as quiet:
            time.sleep(2)
        for kind, user in (("at one user", lambda: "shop"), ("at any name", letters)):
            with guessing(daemon.port, user):
                for name in (next(new), next(new)):
                    first_beside = seconds_of(daemon.port, name)
                    print(f"{GUESSING} guess {kind}: first login of {name} {first_beside * 1000:.0f} ms")
                    assert first_beside < 12 * first
                known_beside = [seconds_of(daemon.port, "shop") for _ in range(20)]
                with others(daemon.port) as beside:
                    time.sleep(2)
            print(f"{GUESSING} guess {kind}: known {statistics.median(known_beside) * 1000:.1f} ms")
            print(figures(f"{GUESSING} guess {kind}", quiet, beside))
            assert max(known_beside) < first
            assert beside.failed == 0
            assert ratio(quiet, beside, 90) < 10
    finally:
        daemon.kill()
