"""The limit: blocking loops with a thread for each connection, that take a body with as few calls as they can."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench.peer import Launch, Missing, module_command
from bench.targets import Plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.client import Address
    from bench.targets import Target

__all__ = ["CopyLoop", "SpliceLoop"]

BUFFER = 256 * 1024
"""Bytes that ``recv_into`` may take at once."""

PIPE = 1024 * 1024
"""Bytes that the pipe holds between the socket and the file."""

F_SETPIPE_SZ = 1031
"""fcntl's name for it came with Python 3.10 on some systems only."""

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


@frozen
class CopyLoop:
    """A loop of recv and write."""

    name: str = "recv/write loop"

    def version(self) -> str:
        """Return what it is."""
        return f"Python {platform.python_version()}, recv_into of 256 KiB and write"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        return Launch((*module_command(__name__, folder, port), "copy"))

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)


@frozen
class SpliceLoop:
    """A loop of splice(2), by which no byte enters the program."""

    name: str = "splice loop"

    def version(self) -> str:
        """Return what it is."""
        if not hasattr(os, "splice"):
            raise Missing("this system has no splice(2)")
        return f"Python {platform.python_version()}, splice through a pipe of 1 MiB"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        return Launch((*module_command(__name__, folder, port), "splice"))

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)


def copy(connection: socket.socket, file: int, length: int) -> None:
    """Take ``length`` bytes from a connection into a file by recv and write."""
    buffer = memoryview(bytearray(BUFFER))
    while length:
        count = connection.recv_into(buffer, min(length, BUFFER))
        if not count:
            raise ConnectionError
        length -= count
        _write(file, buffer[:count])


def splice(connection: socket.socket, file: int, length: int) -> None:
    """Take ``length`` bytes from a connection into a file by splice."""
    import fcntl

    out, into = os.pipe()
    try:
        fcntl.fcntl(into, F_SETPIPE_SZ, PIPE)
        while length:
            held = os.splice(connection.fileno(), into, min(length, PIPE))
            if not held:
                raise ConnectionError
            length -= held
            while held:
                held -= os.splice(out, file, held)
    finally:
        os.close(out)
        os.close(into)


def _write(file: int, block: memoryview | bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(file, rest) :]


def serve(connection: socket.socket, folder: Path, take: Callable[[socket.socket, int, int], None]) -> None:
    """Serve one connection until it ends."""
    received = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in received:
                more = connection.recv(65536)
                if not more:
                    return
                received += more
            head, _, received = received.partition(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].decode().rpartition("/")[2]
            found = LENGTH.search(head)
            length = int(found[1]) if found else 0
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                early, received = received[:length], received[length:]
                _write(file, early)
                take(connection, file, length - len(early))
            finally:
                os.close(file)
            connection.sendall(CREATED)


def main(folder: Path, port: int, take: Callable[[socket.socket, int, int], None]) -> None:
    """Serve on a port, for ever."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, folder, take), daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), {"copy": copy, "splice": splice}[sys.argv[3]])
