"""A tus client of an exchange without sockets, byte by byte."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from in_memory import PASSWORD, TUS_PATH, USER, basic
from line import Line

if TYPE_CHECKING:
    from in_memory import InMemory

CHUNK = "application/offset+octet-stream"


@frozen
class Heard:
    """What a tus client heard."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def offset(self) -> int | None:
        """Return the offset that was told, None if none was."""
        told = self.headers.get("upload-offset")
        return None if told is None else int(told)


def heard(raw: bytes) -> Heard:
    """Return the last answer of some."""
    head, _, body = raw[raw.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Heard(int(first.split(" ")[1]), {name.lower(): value for name, value in headers.items()}, body)


def metadata(**pairs: str) -> str:
    """Return an ``Upload-Metadata``."""
    return ",".join(f"{key} {b64encode(value.encode()).decode()}".rstrip() for key, value in pairs.items())


@define(eq=False)
class TusInMemory:
    """A client; its requests have a connection each. ``cookie`` is a session's."""

    exchange: InMemory
    user: str = USER
    cookie: str | None = None
    lines: list[Line] = field(factory=list)

    def head(self, method: str, path: str, length: int | str | None = None, **headers: str) -> bytes:
        """Return the head of a request; a header that is empty is left out."""
        told = {"Tus-Resumable": "1.0.0"}
        if self.cookie is not None:
            told["Cookie"] = self.cookie
        elif self.user:
            told["Authorization"] = basic(self.user, PASSWORD)
        if length == "chunked":
            told["Transfer-Encoding"] = "chunked"
        elif length is not None:
            told["Content-Length"] = str(length)
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        lines = [f"{method} {path} HTTP/1.1", "Host: shop.example"]
        lines += [f"{name}: {value}" for name, value in told.items() if value]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def open(self, address: str = "192.168.1.1") -> Line:
        """Return a new connection."""
        line = Line(self.exchange.site, address)
        self.lines.append(line)
        return line

    def close(self) -> None:
        """End all connections."""
        for line in self.lines:
            line.lose()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Heard:
        """Send a request, and return the answer."""
        line = self.open()
        return heard(
            line.send(self.head(method, path, None if body is None else len(body), **headers) + (body or b""))
        )

    def create(self, length: int | None, **headers: str) -> Heard:
        """Make an upload."""
        told = {"Upload_Length": str(length)} if length is not None else {"Upload_Defer_Length": "1"}
        return self.request("POST", TUS_PATH + "/", b"", **told, **headers)

    def made(self, length: int | None, **headers: str) -> str:
        """Make an upload, and return its path."""
        answer = self.create(length, **headers)
        assert answer.status == 201, answer
        return answer.headers["location"].removeprefix("http://shop.example")

    def patch(self, path: str, offset: int, body: bytes, **headers: str) -> Heard:
        """Send bytes of an upload."""
        return self.request("PATCH", path, body, **{"Upload_Offset": str(offset), "Content_Type": CHUNK, **headers})

    def begin(self, path: str, offset: int, length: int | str, body: bytes = b"", **headers: str) -> Line:
        """Begin to send bytes of an upload, and return the connection."""
        line = self.open()
        head = self.head("PATCH", path, length, **{"Upload_Offset": str(offset), "Content_Type": CHUNK, **headers})
        line.send(head + body)
        return line

    def offset(self, path: str) -> int | None:
        """Return how far an upload is."""
        return self.request("HEAD", path).offset

    def stored(self) -> dict[str, bytes]:
        """Return every file by its name, without its session's folder."""
        return {
            path.partition("/")[2]: content
            for path, content in self.exchange.files().items()
            if not path.endswith("manifest.json")
        }

    def handoffs(self) -> list[tuple[str, str, str]]:
        """Return event, name and state of every hand-off on record."""
        rows = self.exchange.catalog.recorder.database.read(
            lambda cursor: cursor.execute("SELECT event, filename, state FROM handoffs ORDER BY number").fetchall()
        )
        return [tuple(row) for row in rows]
