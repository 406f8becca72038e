"""A TCP proxy that breaks connections on purpose: one thread for each, plain sockets; for one test."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK = 65536
PATIENCE = 60
"""Seconds after which a thread that should have ended is a failure."""


@frozen
class Cut:
    """Reset both ends once so many bytes have gone to the server."""

    after: int


@frozen
class Stall:
    """Carry nothing more to the server once so many bytes have gone there; both ends stay open."""

    after: int


@frozen
class Swallow:
    """Once so many bytes have gone to the server, drop the first answer that comes, and reset the client's end."""

    after: int = 0


Break: TypeAlias = Cut | Stall | Swallow


def _reset(line: socket.socket) -> None:
    """Close a socket by RST: who lingers for no time at all sends no FIN."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


@define(eq=False)
class BreakingProxy:
    """Listens on ``port`` of 127.0.0.1 and carries to another; each connection takes the next of ``breaks``, if any.

    ``broken`` counts the breaks that came to pass, ``connections`` all that were made.
    """

    target: int
    breaks: Iterable[Break] = ()
    port: int = field(init=False)
    connections: int = field(default=0, init=False)
    broken: int = field(default=0, init=False)
    _left: Iterator[Break] = field(init=False)
    _listening: socket.socket = field(init=False)
    _lines: list[socket.socket] = field(factory=list, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        """Listen."""
        self._left = iter(self.breaks)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        """Listen no more, and end all connections and threads."""
        for line in [self._listening, *self._lines]:
            with suppress(OSError):  # closed by its thread
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        """Begin with each connection that is made."""
        with self._listening, suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket()
                # What was carried has been read by the server, all but a little: breaks come where a test wants them.
                far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BLOCK)
                self._lines += [near, far]
                self.connections += 1
                self._start(self._serve, near, far, next(self._left, None))

    def _serve(self, near: socket.socket, far: socket.socket, how: Break | None) -> None:
        """Carry both ways until one end closes, or the break comes."""
        most = how.after if isinstance(how, Cut | Stall) else None
        carried = 0
        with near, far, suppress(OSError):
            far.connect(("127.0.0.1", self.target))
            while True:
                stalled = isinstance(how, Stall) and carried == how.after
                ready, _, _ = select.select([far] if stalled else [near, far], [], [])
                if far in ready:
                    answer = far.recv(BLOCK)
                    if not answer:
                        return
                    if isinstance(how, Swallow) and carried >= how.after:
                        self.broken += 1
                        _reset(near)
                        return
                    near.sendall(answer)
                if near in ready:
                    request = near.recv(BLOCK if most is None else min(BLOCK, most - carried))
                    if not request:
                        return
                    far.sendall(request)
                    carried += len(request)
                    if carried == most:
                        self.broken += 1
                    if isinstance(how, Cut) and carried == most:
                        _reset(near)
                        _reset(far)
                        return
