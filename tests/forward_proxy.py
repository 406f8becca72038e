"""An HTTP proxy: CONNECT, and requests whose target is a whole URL. Threads; for one test."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until there are none."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class ForwardProxy:
    """Listens on ``port``; ``asked`` are the request lines that came. ``status`` answers CONNECT."""

    def __init__(self, status: str = "200 OK") -> None:
        """Listen."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.asked: list[str] = []
        self._status = status
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for line in self._lines:
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._lines.append(near)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = near.recv(65536)
            if not data:
                return
            head += data
        line, _, rest = head.partition(b"\r\n")
        method, target, version = line.decode().split()
        self.asked.append(f"{method} {target.split('?')[0]}")
        if method == "CONNECT":
            near.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            if not self._status.startswith("200"):
                near.close()
                return
            host, port = target.rsplit(":", 1)
        else:
            parts = urlsplit(target)
            host, port = parts.hostname or "", str(parts.port or 80)
            path = target.split("/", 3)[3]
            rest = f"{method} /{path} {version}\r\n".encode() + rest
        far = socket.create_connection((host, int(port)))
        self._lines.append(far)
        if method != "CONNECT":
            far.sendall(rest)
        threading.Thread(target=_pump, args=(far, near), daemon=True).start()
        _pump(near, far)
