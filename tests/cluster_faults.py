"""What happens to daemons that share PostgreSQL and a store in a chaos: each fault, one at a time."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from cluster_nodes import Daemon
    from postgres import Server
    from seaweed import Seaweed

LONGEST_FREEZE = 6.0
"""Seconds that a daemon or a line is frozen at most: others take over after 5."""

BLOCK = 65536


@define(eq=False)
class Gate:
    """A TCP proxy to a port of 127.0.0.1, which can be shut: then nothing passes, and nothing ends."""

    target: int
    port: int = field(init=False)
    _listening: socket.socket = field(init=False)
    _open: threading.Event = field(factory=threading.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Listen."""
        self._open.set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self, seconds: float) -> None:
        """Let nothing pass for a while."""
        self._open.clear()
        time.sleep(seconds)
        self._open.set()

    def close(self) -> None:
        """Take no more connections."""
        self._open.set()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(ours,), daemon=True).start()

    def _connect(self, ours: socket.socket) -> None:
        self._open.wait()
        try:
            theirs = socket.create_connection(("127.0.0.1", self.target), 30)
        except OSError:
            ours.close()
            return
        theirs.settimeout(None)
        back = threading.Thread(target=self._carry, args=(theirs, ours), daemon=True)
        back.start()
        self._carry(ours, theirs)
        back.join()
        ours.close()
        theirs.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK):
                self._open.wait()
                sink.sendall(data)
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)
            return
        for line in (source, sink):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@define(eq=False)
class Faults:
    """Disturbs daemons and what they share; ``counts`` is how often each happened.

    ``gates`` are the ways of each daemon to PostgreSQL and to the store.
    """

    daemons: Sequence[Daemon]
    postgresql: Server
    store: Seaweed
    gates: Sequence[Gate]
    chance: random.Random
    counts: dict[str, int] = field(factory=dict)

    def go_on(self, seconds: float) -> None:
        """Disturb for a while."""
        kinds: list[tuple[str, int, Callable[[], None]]] = [
            ("daemon killed", 6, self._kill),
            ("daemon frozen", 6, self._freeze),
            ("daemon restarted", 2, self._restart),
            ("cut off", 5, self._cut_off),
            ("PostgreSQL crashed", 1, self._crash_postgresql),
            ("store crashed", 1, self._crash_store),
        ]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(0.1, 1.0))
            ((name, _, happen),) = self.chance.choices(kinds, [weight for _, weight, _ in kinds])
            happen()
            self.counts[name] = self.counts.get(name, 0) + 1

    def _kill(self) -> None:
        daemon = self.chance.choice(self.daemons)
        daemon.kill()
        daemon.start()

    def _restart(self) -> None:
        daemon = self.chance.choice(self.daemons)
        daemon.stop()
        daemon.start()

    def _freeze(self) -> None:
        process = self.chance.choice(self.daemons).process
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.5, LONGEST_FREEZE))
        process.send_signal(signal.SIGCONT)

    def _cut_off(self) -> None:
        self.chance.choice(self.gates).shut(self.chance.uniform(0.5, LONGEST_FREEZE))

    def _crash_postgresql(self) -> None:
        self.postgresql.stop()
        time.sleep(self.chance.uniform(0.0, 1.0))
        self.postgresql.start()

    def _crash_store(self) -> None:
        self.store.stop()
        time.sleep(self.chance.uniform(0.0, 1.0))
        self.store.start_again()
