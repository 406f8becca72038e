"""The sender's side: HTTP/1.1 on a blocking socket, plain or with TLS."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from bench.tls import with_tls

if TYPE_CHECKING:
    from bench.content import Content

__all__ = ["HOST", "Address", "Answer", "Connection"]

PATIENCE = 60.0
"""Seconds that a peer may be silent."""

HOST = "127.0.0.1"
"""All traffic stays on this machine."""


@frozen
class Address:
    """Where a peer listens."""

    port: int
    tls: bool = False
    host: str = HOST


@frozen
class Answer:
    """An HTTP answer; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@define(eq=False)
class Connection:
    """A connection that is kept as long as the peer keeps it, and made anew when a request needs it."""

    address: Address
    content: Content
    _socket: socket.socket | None = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)

    def open(self) -> socket.socket:
        """Return the connected socket."""
        if self._socket is None:
            self._socket = socket.create_connection((self.address.host, self.address.port), PATIENCE)
            # with a time-out the socket would not block, and every wait would cost one more system call
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seconds = struct.pack("ll", int(PATIENCE), 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
            if self.address.tls:
                self._socket = with_tls(self._socket)
        return self._socket

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def head(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        """Return the bytes of a request before its body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address.host}:{self.address.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, piece: int = 0, size: int | None = None
    ) -> Answer:
        """Send a request, with a piece of ``size`` bytes as its body if there is one, and read the whole answer."""
        headers = headers or {}
        if size is not None:
            headers = {**headers, "Content-Length": str(size)}
        head = self.head(method, path, headers)
        self.content.send(self.open(), piece, size or 0, head=head)
        return self.answer()

    def answer(self) -> Answer:
        """Read one answer."""
        head, _, self._rest = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        code = int(status.split(" ", 2)[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if code not in (204, 304):
            body = self._chunked() if "chunked" in headers.get("transfer-encoding", "") else self._sized(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(code, headers, body)

    def _more(self) -> None:
        received = self.open().recv(65536)
        if not received:
            raise ConnectionError("the peer closed the connection before it answered")
        self._rest += received

    def _until(self, end: bytes) -> bytes:
        while end not in self._rest:
            self._more()
        return self._rest

    def _sized(self, headers: dict[str, str]) -> bytes:
        return self._take(int(headers.get("content-length", "0")))

    def _take(self, length: int) -> bytes:
        while len(self._rest) < length:
            self._more()
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def _chunked(self) -> bytes:
        body = b""
        while True:
            size, _, self._rest = self._until(b"\r\n").partition(b"\r\n")
            length = int(size, 16)
            chunk = self._take(length + 2)[:length]
            if not length:
                return body
            body += chunk
