"""A plain node sends a file while everything breaks; at the end the file is what it sent.

``ONEC_CHAOS=5000`` makes it thousands of faults, as ``tox -e chaos`` does; ``ONEC_CHAOS_SEED`` repeats a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from daemon import PATIENCE, Daemon, start
from faulty_node import answer, connect, go_deaf, logged_in, request, reset

if TYPE_CHECKING:
    from pathlib import Path

    from trade import Trade

FAULTS = int(os.environ.get("ONEC_CHAOS", "100"))
PIECE = 40_000
"""Bytes of a piece at most: it must fit what TCP sends unacknowledged."""

ZEROS = bytes(1000)


@define(eq=False)
class Chaos:
    """A node, its daemon, and what they have met."""

    folder: Path
    chance: random.Random
    daemon: Daemon = field(init=False)
    node: Trade = field(init=False)
    met: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        """Start the daemon, and log in."""
        self.daemon = start(self.folder)
        self.node = logged_in(self.daemon)

    def kill(self) -> None:
        """Kill the daemon, and start it again."""
        self.daemon.kill()
        self.daemon = start(self.folder)

    def cut(self, wire: bytes) -> bool:
        """Reset the connection in the middle of the piece."""
        line = connect(self.daemon)
        line.sendall(wire[: self.chance.randrange(len(wire))])
        reset(line)
        return False

    def deaf(self, wire: bytes) -> bool:
        """Send the piece, never hear of it, and reset the connection."""
        line = connect(self.daemon)
        go_deaf(line)
        line.sendall(wire)
        time.sleep(self.chance.random() * 0.05)
        reset(line)
        return False

    def vanish(self, wire: bytes) -> bool:
        """Send the piece and vanish: neither FIN nor RST is seen before the piece comes again."""
        line = connect(self.daemon)
        go_deaf(line)
        line.sendall(wire)
        time.sleep(self.chance.random() * 0.05)
        later = threading.Timer(3, line.close)
        later.daemon = True
        later.start()
        return False

    def kill_during(self, wire: bytes) -> bool:
        """Kill the daemon at any moment of the piece."""
        line = connect(self.daemon)
        killing = threading.Timer(self.chance.random() * 0.02, self.daemon.process.kill)
        killing.start()
        with contextlib.suppress(OSError):
            line.sendall(wire)
        heard = bool(answer(line))
        killing.join()
        line.close()
        self.kill()
        return heard

    def kill_after(self, wire: bytes) -> bool:
        """Kill the daemon when the proof that the answer was heard is on record."""
        heard = self.nothing(wire)
        if heard:
            self.wait_for_proof()
        self.kill()
        return heard

    def wait_for_proof(self) -> None:
        """Wait until it is on record that the last answer arrived: a kill before that leaves it open."""
        deadline = time.monotonic() + PATIENCE
        with closing(sqlite3.connect(self.daemon.temp / "exchange.sqlite3")) as catalog:
            while catalog.execute("SELECT proven FROM files").fetchone() != (1,):
                assert time.monotonic() < deadline, self.daemon.log
                time.sleep(0.01)

    def nothing(self, wire: bytes) -> bool:
        """Let the piece through."""
        line = connect(self.daemon)
        line.sendall(wire)
        heard = bool(answer(line))
        line.close()
        return heard

    def send(self, body: bytes) -> str:
        """Send a piece until it is heard; return the last fault that it met."""
        while True:
            (fault,) = self.chance.choices(
                [self.nothing, self.cut, self.deaf, self.vanish, self.kill_during, self.kill_after],
                [20, 30, 30, 5, 10, 10],
            )
            heard = fault(request(self.node, "a", body))
            if fault != self.nothing:
                self.met[fault.__name__] += 1
            if heard:
                return fault.__name__


@pytest.mark.skipif(sys.platform != "linux", reason="SIOCOUTQ is Linux's")
def test_chaos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill -9 at any moment, resets at any byte, answers that are never heard: nothing is lost, nothing doubled."""
    seed = int(os.environ.get("ONEC_CHAOS_SEED", random.randrange(10**6)))
    chaos = Chaos(tmp_path / "run", random.Random(seed))
    sent = bytearray()
    body, last = b"", ""
    pieces = 0
    while chaos.met.total() < FAULTS:
        # A kill between the answer and its proof leaves it open whether the answer arrived: no equal piece follows
        zeros = chaos.chance.random() < 0.3 and last != "kill_during"
        if zeros and body == ZEROS:
            chaos.wait_for_proof()  # the faults of the next one may begin with a kill
        body = ZEROS if zeros else chaos.chance.randbytes(chaos.chance.randrange(1, PIECE))
        last = chaos.send(body)
        sent += body
        pieces += 1
    stored = (chaos.daemon.temp / chaos.node.sessid / "a").read_bytes()
    chaos.daemon.kill()
    with capsys.disabled():
        sys.stdout.write(f"\nchaos, seed {seed}: {pieces} pieces, {len(sent)} bytes, faults {dict(chaos.met)}\n")

    assert len(stored) == len(sent), f"seed {seed}"
    assert hashlib.sha256(stored).digest() == hashlib.sha256(sent).digest(), f"seed {seed}"
