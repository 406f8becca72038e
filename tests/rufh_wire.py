"""RUFH byte by byte on real connections, interim answers and all: what ``http.client`` does not show."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from daemon import PATIENCE
from rufh_in_memory import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = "/files/"
BASIC = "Basic " + base64.b64encode(b"shop:secret").decode()
BLOCK = 65536


class NoAnswer(ConnectionError):
    """The connection ended before its final answer."""


@frozen
class Heard:
    """An answer, interim or final; the headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def offset(self) -> int | None:
        """Return the offset that was told, None if none was."""
        told = self.headers.get("upload-offset")
        return None if told is None else int(told)

    @property
    def complete(self) -> str | None:
        """Return ``Upload-Complete``, None if there is none."""
        return self.headers.get("upload-complete")

    @property
    def path(self) -> str:
        """Return the path of the upload."""
        return "/" + self.headers["location"].split("/", 3)[3]


def sha256_field(data: bytes) -> str:
    """Return a digest as clients send it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def head(
    method: str, path: str, length: int | str | None = None, protocol: str = "HTTP/1.1", **headers: str
) -> bytes:
    """Return the head of a request of the user ``shop``; the length of its body may be ``chunked``."""
    told = {"Host": "shop.example", "Authorization": BASIC}
    if length == "chunked":
        told["Transfer-Encoding"] = "chunked"
    elif length is not None:
        told["Content-Length"] = str(length)
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes, size: int = BLOCK) -> bytes:
    """Return a body in chunks, with the last one."""
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@define(eq=False)
class Talk:
    """One connection; ``heard`` is all that came on it, ``interim`` what of it was not final."""

    line: socket.socket
    is_head: bool = False
    patience: float = PATIENCE
    heard: list[Heard] = field(factory=list)
    _rest: bytes = b""

    @property
    def interim(self) -> list[Heard]:
        """Return the interim answers."""
        return [one for one in self.heard if one.status < 200]

    @property
    def final(self) -> Heard | None:
        """Return the last final answer, None as long as there is none."""
        return next((one for one in reversed(self.heard) if one.status >= 200), None)

    def send(self, data: bytes) -> None:
        """Send, and hear what comes meanwhile; stop at a final answer. Raises ``OSError``."""
        for at in range(0, len(data), BLOCK):
            self.line.sendall(data[at : at + BLOCK])
            self.listen()
            if self.final is not None:
                return

    def listen(self) -> None:
        """Hear what has come, without waiting. A socket of TLS may be readable, and have nothing for us."""
        self.line.settimeout(0)
        try:
            while True:
                self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self.line.settimeout(self.patience)

    def hear(self) -> Heard:
        """Wait for the final answer. Raises ``NoAnswer``, ``OSError``."""
        while self.final is None:
            self._receive()
        return self.final

    def hear_interim(self) -> Heard:
        """Wait for an answer of any kind. Raises ``NoAnswer``, ``OSError``."""
        while not self.heard:
            self._receive()
        return self.heard[0]

    def _receive(self) -> None:
        block = self.line.recv(BLOCK)
        if not block:
            raise NoAnswer
        self._rest += block
        self.heard += self._whole()

    def _whole(self) -> Iterator[Heard]:
        """Take the answers that are there as a whole from what has come."""
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._rest[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = 0 if self.is_head else int(headers.get("content-length", 0))
            body = self._rest[end + 4 : end + 4 + size]
            if len(body) < size:
                return
            self._rest = self._rest[end + 4 + size :]
            yield Heard(int(first.split(" ")[1]), headers, body)


@define(eq=False)
class Client:
    """A client of RUFH that speaks one version, None for one that names none; each request has its connection."""

    port: int
    version: int | None = 9
    context: ssl.SSLContext | None = None
    patience: float = PATIENCE
    """Seconds after which it gives up on an answer."""

    def open(self, method: str = "") -> Talk:
        """Connect."""
        line: socket.socket = socket.create_connection(("127.0.0.1", self.port), self.patience)
        if self.context is not None:
            try:
                line = self.context.wrap_socket(line, server_hostname="localhost")
            except BaseException:
                line.close()
                raise
        return Talk(line, method == "HEAD", self.patience)

    def head(self, method: str, path: str, length: int | str | None = None, **headers: str) -> bytes:
        """Return the head of a request; one that is empty is left out."""
        version = {} if self.version is None else {"Upload_Draft_Interop_Version": str(self.version)}
        return head(method, path, length, **{**version, **headers})

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Talk:
        """Send a request, and wait for its answer. Raises ``NoAnswer``, ``OSError``."""
        talk = self.open(method)
        with closing(talk.line):
            with suppress(ConnectionError):  # what was answered before the end of the body is still there
                talk.send(self.head(method, path, None if body is None else len(body), **headers) + (body or b""))
            talk.hear()
        return talk

    def post(self, body: bytes, complete: str, **headers: str) -> Talk:
        """Make an upload with these bytes."""
        return self.ask("POST", FILES, body, **{"Upload_Complete": complete, **headers})

    def add(self, path: str, offset: int, body: bytes, complete: str, **headers: str) -> Talk:
        """Append bytes."""
        return self.ask("PATCH", path, body, **{**append(offset, complete), **headers})

    def look(self, path: str) -> Heard:
        """Ask how far an upload is."""
        return self.ask("HEAD", path).hear()


def append(offset: int, complete: str) -> dict[str, str]:
    """Return the headers of an append."""
    return {"Upload_Offset": str(offset), "Upload_Complete": complete, "Content_Type": PARTIAL}


def named(name: str) -> dict[str, str]:
    """Return the header that names a file."""
    return {"Content_Disposition": f'attachment; filename="{name}"'}
