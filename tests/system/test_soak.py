"""Two hundred nodes and their faults, for as long as ``ONEC_SOAK`` says in seconds; ``tox -e soak`` says ten minutes.

Then nothing has grown that should not have, and the counters add up.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from attrs import define, field
from daemon import PATIENCE, Daemon, start
from faulty_node import request, reset
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Callable

DURATION = float(os.environ.get("ONEC_SOAK", "0"))
"""Seconds that nodes come and go."""

NODES = 200
KB = 1024
MB = 1024 * KB
LONG = 300.0
"""Seconds from which on a run tells something about memory: before, buffers and caches fill."""

pytestmark = pytest.mark.skipif(not DURATION, reason="tox -e soak, or ONEC_SOAK=SECONDS, runs it")


@define(eq=False)
class Tally:
    """What all nodes know: bytes that were acknowledged, and bytes whose answer nobody heard."""

    met: Counter[str] = field(factory=Counter)
    acknowledged: int = 0
    unheard: int = 0
    wrong: list[str] = field(factory=list)
    _lock: Any = field(factory=threading.Lock)

    def note(self, fault: str, acknowledged: int = 0, unheard: int = 0) -> None:
        """Add what one request has brought."""
        with self._lock:
            self.met[fault] += 1
            self.acknowledged += acknowledged
            self.unheard += unheard


@define(eq=False)
class Node:
    """A node that exports again and again, and is unlucky often."""

    daemon: Daemon
    tally: Tally
    chance: random.Random
    over: threading.Event
    node: Trade = field(init=False)
    sent: bytearray = field(factory=bytearray)
    certain: bool = True

    def run(self) -> None:
        """Export until it is over."""
        while not self.over.wait(self.chance.random()):
            try:
                self.export()
            except (OSError, HTTPException, ExchangeFailed) as error:
                self.tally.wrong.append(f"{type(error).__name__}: {error}")
            finally:
                self.node.close()

    def export(self) -> None:
        """Send one file in pieces, have it imported, and see that it is whole."""
        self.node = Trade("127.0.0.1", self.daemon.port)
        self.node.checkauth()
        self.node.init()
        self.sent, self.certain = bytearray(), True
        for _ in range(self.chance.randrange(1, 6)):
            (fault,) = self.chance.choices(
                [self.well, self.cut, self.unheard, self.refused, self.stranger, self.dripping], [10, 2, 1, 1, 1, 1]
            )
            fault(self.chance.randbytes(self.chance.choice([50, KB, 20 * KB, 200 * KB, MB])))
            if self.over.wait(self.chance.random() / 2):
                return
        if not self.sent:
            return
        self.node.import_file("a.xml")
        stored = (self.daemon.temp / self.node.sessid / "a.xml").read_bytes()
        if self.certain and stored != bytes(self.sent):
            self.tally.wrong.append(f"{self.node.sessid}: {len(stored)} bytes stored, {len(self.sent)} sent")

    def well(self, body: bytes) -> None:
        """Send a piece."""
        self.node.send_file("a.xml", body)
        self.sent += body
        self.tally.note("well", acknowledged=len(body))

    def line(self) -> socket.socket:
        """Open a connection of its own."""
        return socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE)

    def cut(self, body: bytes) -> None:
        """Reset the connection in the middle of a piece."""
        line = self.line()
        wire = request(self.node, "a.xml", body)
        line.sendall(wire[: self.chance.randrange(len(wire) - 1)])
        reset(line)
        self.tally.note("cut")

    def unheard(self, body: bytes) -> None:
        """Send a whole piece, and go before the answer."""
        line = self.line()
        line.sendall(request(self.node, "a.xml", body))
        line.close()
        self.certain = False
        self.tally.note("unheard", unheard=len(body))

    def refused(self, body: bytes) -> None:
        """Send a name that cannot be."""
        line = self.line()
        with contextlib.suppress(OSError):
            line.sendall(request(self.node, "../a.xml", body))
            line.recv(KB)
        line.close()
        self.tally.note("refused")

    def stranger(self, body: bytes) -> None:
        """Send a piece with a wrong cookie, or half a head."""
        line = self.line()
        wire = request(self.node, "a.xml", body).replace(b"Cookie: onec", b"Cookie: none")
        with contextlib.suppress(OSError):
            line.sendall(wire if self.chance.random() < 0.5 else wire[:40])
            line.settimeout(1)
            line.recv(KB)
        line.close()
        self.tally.note("stranger")

    def dripping(self, body: bytes) -> None:
        """Send a piece slowly."""
        line = self.line()
        wire = request(self.node, "a.xml", body[:KB])
        for start_at in range(0, len(wire), 200):
            line.sendall(wire[start_at : start_at + 200])
            time.sleep(0.02)
        if b"success" in line.recv(KB):
            self.sent += body[:KB]
            self.tally.note("dripping", acknowledged=min(KB, len(body)))
        line.close()


@define(eq=False)
class Watch:
    """What the process takes, and what it counts."""

    daemon: Daemon
    address: str
    memory: list[int] = field(factory=list)

    def look(self) -> None:
        """Note its memory, in bytes."""
        status = Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        self.memory.append(int(found[1]) * KB)

    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(list(Path(f"/proc/{self.daemon.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(list(Path(f"/proc/{self.daemon.process.pid}/task").iterdir()))

    def counted(self) -> dict[str, float]:
        """Return its metrics."""
        with urlopen(f"{self.address}/metrics", timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Memory is flat, no descriptor is left open, and every byte that came was stored or discarded."""
    seed = int(os.environ.get("ONEC_CHAOS_SEED", random.randrange(10**6)))
    daemon = start(
        tmp_path / "run", "--admin=tcp:0:interface=127.0.0.1", "--access-log=no", "--keep=15", "--settle=20"
    )
    watch = Watch(daemon, f"http://127.0.0.1:{daemon.admin_port}")
    first = Trade("127.0.0.1", daemon.port)
    first.checkauth()
    first.send_file("a", b"x")
    first.close()
    wait_until(lambda: watch.counted()["onec_connections"] == 0)
    descriptors = watch.descriptors()
    tally, over = Tally(), threading.Event()
    nodes = [Node(daemon, tally, random.Random(seed + number), over) for number in range(NODES)]
    threads = [threading.Thread(target=node.run, daemon=True) for node in nodes]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    while time.monotonic() - begun < DURATION:
        time.sleep(min(5.0, DURATION / 10))
        watch.look()
        assert daemon.process.poll() is None, daemon.log[-2000:]
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    wait_until(lambda: watch.counted()["onec_connections"] == watch.counted()["onec_uploads_in_progress"] == 0)
    wait_until(lambda: watch.counted()['onec_handoffs{state="waiting"}'] == 0)
    told, left, workers = watch.counted(), watch.descriptors(), watch.threads()
    log = daemon.log
    daemon.stop()
    quarter = max(1, len(watch.memory) // 4)
    early, late = (statistics.median(part) for part in (watch.memory[quarter : 2 * quarter], watch.memory[-quarter:]))
    with capsys.disabled():
        sys.stdout.write(
            f"\nsoak, seed {seed}: {DURATION:.0f} s, {NODES} nodes, {dict(tally.met)}; {tally.acknowledged} bytes"
            f" acknowledged, {tally.unheard} unheard; {told['onec_received_bytes_total']:.0f} received,"
            f" {told['onec_accepted_bytes_total']:.0f} accepted, {told['onec_discarded_bytes_total']:.0f} discarded;"
            f" memory {early / MB:.1f} MB, later {late / MB:.1f} MB; descriptors {descriptors}, later {left};"
            f" {told['onec_sessions']:.0f} sessions left\n"
        )

    assert not tally.wrong, tally.wrong[:10]
    assert not any(thread.is_alive() for thread in threads)
    assert told["onec_received_bytes_total"] == (
        told["onec_accepted_bytes_total"] + told["onec_discarded_bytes_total"]
    )
    assert tally.acknowledged < told["onec_accepted_bytes_total"] <= tally.acknowledged + tally.unheard + 1
    assert told['onec_pieces_total{outcome="failed"}'] == told['onec_handoffs{state="failed"}'] == 0
    tracebacks = [line for line in log.splitlines() if "Traceback" in line]
    assert not tracebacks, tracebacks[:3]
    assert left <= descriptors + 2 * workers  # each worker may keep a pipe
    if DURATION >= LONG:
        assert late < early * 1.1 + 4 * MB
