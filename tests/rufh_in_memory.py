"""A client of RUFH of an exchange without sockets, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define
from in_memory import TUS_PATH
from tus_in_memory import Heard, TusInMemory

if TYPE_CHECKING:
    from line import Line

PARTIAL = "application/partial-upload"


def all_heard(raw: bytes) -> list[Heard]:
    """Return the answers of one request, interim ones first."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(headers.get("content-length", 0))
        found.append(Heard(int(first.split(" ")[1]), headers, raw[:size]))
        raw = raw[size:]
    return found


@define(eq=False)
class RufhInMemory(TusInMemory):
    """A client of RUFH, in ``version`` of the draft; None for one that names none."""

    version: int | None = 9

    def head(self, method: str, path: str, length: int | str | None = None, **headers: str) -> bytes:
        """Return the head of a request; a header that is empty is left out."""
        version = {} if self.version is None else {"Upload_Draft_Interop_Version": str(self.version)}
        return super().head(method, path, length, **{"Tus_Resumable": "", **version, **headers})

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> list[Heard]:
        """Send a request, and return its answers."""
        line = self.open()
        length = None if body is None else len(body)
        return all_heard(line.send(self.head(method, path, length, **headers) + (body or b"")))

    def post(self, body: bytes, complete: str, **headers: str) -> list[Heard]:
        """Make an upload with these bytes."""
        return self.ask("POST", TUS_PATH + "/", body, **{"Upload_Complete": complete, **headers})

    def begin_post(self, length: int | str, complete: str, body: bytes = b"", **headers: str) -> Line:
        """Begin to make an upload, and return the connection."""
        line = self.open()
        line.send(self.head("POST", TUS_PATH + "/", length, **{"Upload_Complete": complete, **headers}) + body)
        return line

    def add(self, path: str, offset: int, body: bytes, complete: str, **headers: str) -> list[Heard]:
        """Append bytes to an upload."""
        told = {"Upload_Offset": str(offset), "Upload_Complete": complete, "Content_Type": PARTIAL}
        return self.ask("PATCH", path, body, **{**told, **headers})

    def careful(self, **headers: str) -> str:
        """Make an upload without bytes, and return its path."""
        (*_, answer) = self.post(b"", "?0", **headers)
        assert answer.status == 201, answer
        return path_of(answer)

    def rows(self, statement: str) -> list[Any]:
        """Return what is on record."""
        rows: list[Any] = self.exchange.catalog.recorder.database.read(
            lambda cursor: cursor.execute(statement).fetchall()
        )
        return rows

    def look(self, path: str, method: str = "HEAD") -> Heard:
        """Ask how far an upload is."""
        (answer,) = self.ask(method, path)
        return answer


def path_of(answer: Heard) -> str:
    """Return the path of the upload of an answer."""
    return answer.headers["location"].removeprefix("http://shop.example")
