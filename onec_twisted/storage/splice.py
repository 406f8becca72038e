"""Pipes between sockets and files: splice(2) moves bytes into one and out of it, and copies nothing. No Twisted."""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress

from attrs import field, frozen

__all__ = ["PIPE_SIZE", "Pipe", "Pipes", "fill", "readable_soon"]

PIPE_SIZE = 1024 * 1024
"""Bytes that a pipe between a socket and a file may hold; Linux gives no more to those who are not root."""

READABLE_WAIT = 2
"""Milliseconds that a worker waits for a socket that has run dry: longer than the way to the reactor and back."""


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
    """Pipes between sockets and files: as many as there were ever workers that needed one at the same time."""

    _free: list[Pipe] = field(factory=list, init=False)

    def take(self) -> Pipe:
        """Return an empty pipe. Raises ``OSError`` when no descriptor is left."""
        try:
            return self._free.pop()
        except IndexError:
            return _new_pipe()

    def give_back(self, pipe: Pipe) -> None:
        """Take an empty pipe back."""
        self._free.append(pipe)


def _new_pipe() -> Pipe:
    pipe = Pipe(*os.pipe2(os.O_CLOEXEC))
    with suppress(OSError):  # the system's limit for this user: a small one works as well
        fcntl.fcntl(pipe.writing, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return pipe


def fill(pipe: int, socket: int, most: int) -> int | None:
    """Move what waits in a socket to a pipe; return the bytes, 0 at the end of the connection, None if none wait."""
    try:
        return os.splice(socket, pipe, most, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
    except BlockingIOError:
        return None
    except OSError:
        return 0


def readable_soon(socket: int) -> bool:
    """Return whether something comes within a moment."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(READABLE_WAIT))
