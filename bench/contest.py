"""A run of the benchmark: where it stores, how much it does, what it has measured, and what went wrong."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from bench.content import StoredWrongly
from bench.generator import LoadFailed, running
from bench.peer import Missing, Server, serving
from bench.processes import CannotRun, cpu_seconds
from bench.samples import Sample, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.content import Content, Stored
    from bench.loads import Sent, Uploads
    from bench.peer import Peer

__all__ = ["FULL", "QUICK", "Contest", "Failed", "Scale", "Timed"]

SETTLE = 0.1
"""Seconds after the last answer in which a server may still work: they count as its work."""

LARGE = 1_000_000
"""Bytes of a file that is removed as soon as it was checked."""

FAILURES = (LoadFailed, StoredWrongly, CannotRun)
"""What ends the part of one peer in one figure, and not the run."""


@frozen
class Scale:
    """How much a run does; sizes are in bytes, times in seconds."""

    rounds: int
    large: int = 8
    """Pieces of 64 MB on one connection."""
    large_each: int = 2
    """The same on each of 4 connections."""
    synced: int = 8
    """The same, with and without syncs."""
    small: int = 1000
    """Pieces of 50 KB on one connection."""
    small_each: int = 100
    """The same on each of 8 connections."""
    shared_each: int = 100
    """The same on each of 16 connections."""
    body: int = 2_000_000_000
    """The large body of the memory figure."""
    slow: int = 400
    """Slow uploads at once."""
    probes: int = 200
    """Requests of each kind whose latency is measured in a round."""
    probe_seconds: float = 3
    """How long they are asked for at most."""


FULL = Scale(rounds=5)
QUICK = Scale(
    rounds=1,
    large=2,
    large_each=1,
    synced=2,
    small=200,
    small_each=25,
    shared_each=25,
    body=500_000_000,
    slow=100,
    probes=40,
    probe_seconds=2,
)


@frozen
class Failed:
    """A peer did not do what was asked of it."""

    figure: str
    peer: str
    words: str


@frozen
class Timed:
    """What an upload took: seconds, processor seconds of the server, and bytes."""

    seconds: float
    cpu: float
    sent: Sent


@define(eq=False)
class Contest:
    """One run; ``folder`` is on a disk and ``memory`` on tmpfs, and both are its own."""

    content: Content
    folder: Path
    memory: Path | None
    scale: Scale
    samples: list[Sample] = field(factory=list)
    versions: dict[str, str] = field(factory=dict)
    missing: dict[str, str] = field(factory=dict)
    failures: list[Failed] = field(factory=list)
    _begun: float = field(factory=time.monotonic)

    def say(self, words: str) -> None:
        """Tell the one who waits what is being done."""
        print(f"{time.monotonic() - self._begun:6.1f} s  {words}", file=sys.stderr, flush=True)

    def record(self, figure: str, peer: str, measure: str, number: int, value: float) -> None:
        """Keep a sample of a round."""
        self.samples.append(Sample(Series(figure, peer, measure), number, value))

    @contextmanager
    def failing(self, figure: str, peer: str) -> Iterator[None]:
        """Note a failure of a peer, and go on without it."""
        try:
            yield
        except FAILURES as error:
            self.failures.append(Failed(figure, peer, str(error)))
            self.say(f"{figure}: {peer} failed: {error}")

    @contextmanager
    def servers(self, figure: str, peers: Sequence[Peer], folder: Path | None = None) -> Iterator[list[Server]]:
        """Start the peers that can be had, each in a folder of its own; end them."""
        place = Path(tempfile.mkdtemp(prefix=f"{figure}-", dir=folder or self.folder))
        with ExitStack() as stack:
            begun = []
            for peer in peers:
                with self.failing(figure, peer.name):
                    try:
                        self.versions[peer.name] = peer.version()
                        begun.append(stack.enter_context(serving(peer, place)))
                    except Missing as error:
                        self.missing[peer.name] = str(error)
            servers = []
            for server in begun:  # they start all at once
                with self.failing(figure, server.peer.name):
                    server.running.wait_until_it_listens()
                    servers.append(server)
            yield servers

    def rounds(self, figure: str, servers: list[Server]) -> Iterator[tuple[int, Server]]:
        """Yield all servers in every round, each time with another one first; a failed one is left out."""
        for number in range(self.scale.rounds):
            shift = number % len(servers) if servers else 0
            for server in servers[shift:] + servers[:shift]:
                if not any((one.figure, one.peer) == (figure, server.peer.name) for one in self.failures):
                    yield number, server

    def upload(self, server: Server, uploads: Uploads) -> Timed:
        """Upload to a server, and measure; what is stored is checked, and removed, after that."""
        with running(uploads) as load:
            load.wait_for("ready")
            before = cpu_seconds(server.running.pids)
            load.go_on()
            sent = load.result()
            time.sleep(SETTLE)
            cpu = cpu_seconds(server.running.pids) - before
        self.check(server, sent.stored)
        return Timed(sent.seconds, cpu, sent)

    def check(self, server: Server, stored: Sequence[Stored]) -> None:
        """Check what a server has stored by size and digest, and make room again.

        Small files stay until the end: ext4 is slow to make new ones where many have been removed of late.
        """
        self.content.check(server.folder, stored)
        for file in stored:
            if file.size >= LARGE:
                (server.folder / file.path).unlink()
