"""Pipes between sockets and files: splice(2) moves bytes through them without copying. No Twisted."""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress

from attrs import field, frozen

__all__ = ["PIPE_SIZE", "Pipe", "Pipes", "fill", "readable_soon"]

PIPE_SIZE = 1024 * 1024
"""Bytes that a pipe between a socket and a file may hold: the most that Linux allows without root."""

READABLE_WAIT = 2
"""Milliseconds that a worker waits for an empty socket: longer than a round trip to the reactor."""


@frozen
class Pipe:
    """A pipe, by its two descriptors."""

    reading: int
    writing: int

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reading)
        os.close(self.writing)


@frozen
class Pipes:
    """A pool of pipes: as many as workers ever needed at the same time."""

    _free: list[Pipe] = field(factory=list, init=False)

    def take(self) -> Pipe:
        """Return an empty pipe. Raises ``OSError`` when no descriptor is left."""
        try:
            return self._free.pop()
        except IndexError:
            return _new_pipe()

    def give_back(self, pipe: Pipe) -> None:
        """Return an empty pipe to the pool."""
        self._free.append(pipe)


def _new_pipe() -> Pipe:
    pipe = Pipe(*os.pipe2(os.O_CLOEXEC))
    with suppress(OSError):  # the user's limit is exceeded: a smaller pipe works as well
        fcntl.fcntl(pipe.writing, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return pipe


def fill(pipe: int, socket: int, most: int) -> int | None:
    """Move bytes from a socket to a pipe; return their number, 0 at the end of the connection, None if none wait."""
    try:
        return os.splice(socket, pipe, most, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
    except BlockingIOError:
        return None
    except OSError:
        return 0


def readable_soon(socket: int) -> bool:
    """Return whether the socket becomes readable within ``READABLE_WAIT``."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(READABLE_WAIT))
