"""A tus server as its wire shows it: requests that may be cut, stalled, reset or chunked; and @tus/server to ask."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import uuid
from base64 import b64encode
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from attrs import define, field, frozen
from npm import install, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Headers = Mapping[str, str | int | None]
    """What a request tells; a header that is None is left out."""

VERSION = "1.0.0"
CHUNK = "application/offset+octet-stream"

TIMEOUT = 6
"""Seconds that a server has for an answer."""

MOMENT = 0.5
"""Seconds in which a server asks for a body, if it is one that does so."""

NODE = Path(__file__).parent / "javascript" / "server"
"""The program that runs @tus/server, and the exact versions of the packages that it needs."""


class Broken(AssertionError):
    """A clause does not hold; the words are the short fact that shows it."""


class NotAnnounced(Exception):
    """A server does not say that it has what a clause is about."""


def must(truth: bool, fact: str) -> None:
    """Raise ``Broken`` with a fact unless something holds."""
    if not truth:
        raise Broken(fact)


def fact_of(error: Exception) -> str:
    """Return the fact that shows that a clause does not hold: how a test of it ended."""
    if isinstance(error, Broken):
        return str(error)
    return "no answer" if isinstance(error, TimeoutError) else "closed"


@frozen
class Answer:
    """What a server answered; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return a header, None if it is not there."""
        return self.headers.get(name.lower())

    def must_be(self, *statuses: int) -> Answer:
        """Return the answer itself. Raises ``Broken`` when its status is another."""
        if self.status not in statuses:
            raise Broken(str(self.status))
        return self

    def must_refuse(self) -> Answer:
        """Return the answer itself. Raises ``Broken`` when it is no 4xx."""
        if not 400 <= self.status < 500:
            raise Broken(str(self.status))
        return self

    @property
    def offset(self) -> int:
        """Return its ``Upload-Offset``. Raises ``Broken`` when there is none."""
        return self._number("Upload-Offset")

    @property
    def length(self) -> int:
        """Return its ``Upload-Length``. Raises ``Broken`` when there is none."""
        return self._number("Upload-Length")

    def _number(self, name: str) -> int:
        told = self.header(name)
        if told is None:
            raise Broken(f"no {name}")
        if not (told.isascii() and told.isdigit()):
            raise Broken(f"{name}: {told}")
        return int(told)


@define(eq=False)
class Line:
    """One connection for one request, whose head has been sent."""

    connection: socket.socket
    method: str
    _came: bytes = b""
    _begun: Answer | None = field(default=None, init=False)

    def send(self, data: bytes) -> None:
        """Send some of the body; a server that has answered already may not want it."""
        with suppress(ConnectionError):
            self.connection.sendall(data)

    def send_chunks(self, chunks: Sequence[bytes], *, all_of_it: bool = True) -> None:
        """Send some of a chunked body, or all that is left of it."""
        framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk]
        self.send(b"".join([*framed, b"0\r\n\r\n" if all_of_it else b""]))

    def is_invited(self) -> bool:
        """Return whether the server asks for the body, after a head with ``Expect: 100-continue``."""
        self.connection.settimeout(MOMENT)
        try:
            status, _ = head = self._head()
            if status >= 200:
                self._begun = Answer(*head)
            return status < 200
        except (TimeoutError, ConnectionError):
            return False
        finally:
            self.connection.settimeout(TIMEOUT)

    def end(self) -> None:
        """Break off in order: whatever was sent arrives, then the end; return when the server has closed as well."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(65536):
                pass
        self.connection.close()

    def reset(self) -> None:
        """Break off as a host does that has lost its network: nothing that is still on its way arrives."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def answer(self) -> Answer:
        """Return the final answer. Raises ``ConnectionError`` when there is none, ``TimeoutError``."""
        status, headers = 100, dict[str, str]()
        if self._begun is not None:
            status, headers = self._begun.status, self._begun.headers
        while status < 200:
            status, headers = self._head()
        return Answer(status, headers, self._body(status, headers))

    def _head(self) -> tuple[int, dict[str, str]]:
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if self.method == "HEAD" or status in {204, 304}:
            return b""
        if "chunked" in headers.get("transfer-encoding", ""):
            whole = b""
            while size := int(self._until(b"\r\n").partition(b";")[0], 16):
                whole += self._take(size)
                self._until(b"\r\n")
            return whole
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        with suppress(ConnectionError):
            while True:
                self._more()
        return self._came

    def _more(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise ConnectionAbortedError
        self._came += data

    def _until(self, end: bytes) -> bytes:
        while end not in self._came:
            self._more()
        taken, _, self._came = self._came.partition(end)
        return taken

    def _take(self, size: int) -> bytes:
        while len(self._came) < size:
            self._more()
        taken, self._came = self._came[:size], self._came[size:]
        return taken


@frozen
class Server:
    """A server that takes uploads at ``url``, http alone; ``login`` is ``user:password`` for Basic.

    ``must_pass`` says whether a clause that does not hold is a test that fails.
    """

    name: str
    url: str
    login: str = ""
    must_pass: bool = True

    @contextmanager
    def begin(self, method: str, url: str, headers: Headers, body: bytes = b"") -> Iterator[Line]:
        """Have a connection on which the head of a request was sent, and some of its body."""
        parts = urlsplit(url)
        assert parts.scheme == "http", url
        told: dict[str, str | int | None] = {"Host": parts.netloc, "Connection": "close"}
        if method != "OPTIONS":
            told["Tus-Resumable"] = VERSION
        if self.login:
            told["Authorization"] = "Basic " + b64encode(self.login.encode()).decode()
        told.update(headers)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in told.items() if value is not None]
        with socket.create_connection((parts.hostname, parts.port or 80), TIMEOUT) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Line(connection, method)
            line.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            yield line

    def ask(self, method: str, url: str, headers: Headers | None = None, body: bytes = b"") -> Answer:
        """Send a whole request, and return the answer."""
        length = len(body) if body or method in {"POST", "PATCH"} else None
        with self.begin(method, url, {"Content-Length": length, **(headers or {})}, body) as line:
            return line.answer()

    def options(self) -> Answer:
        """Ask what is on offer."""
        return self.ask("OPTIONS", self.url)

    def listed(self, name: str) -> list[str]:
        """Return what a header of OPTIONS lists."""
        told = self.options().header(name) or ""
        return [word.strip() for word in told.split(",") if word.strip()]

    def must_announce(self, *extensions: str) -> None:
        """Raise ``NotAnnounced`` for an extension that the server does not say it has."""
        if set(extensions) - set(self.listed("Tus-Extension")):
            raise NotAnnounced

    def post(self, headers: Headers, body: bytes = b"") -> Answer:
        """Ask for a new upload."""
        return self.ask("POST", self.url, headers, body)

    def located(self, answer: Answer) -> str:
        """Return the URL of an upload that was made just now. Raises ``Broken``."""
        location = answer.must_be(201).header("Location")
        if not location:
            raise Broken("no Location")
        return urljoin(self.url, location)

    def make(self, length: int | None = None, metadata: str | None = None) -> str:
        """Make an upload, of a length that is not known if None, and return its URL. Raises ``Broken``."""
        deferred = 1 if length is None else None
        headers = {"Upload-Length": length, "Upload-Defer-Length": deferred, "Upload-Metadata": metadata}
        try:
            return self.located(self.post(headers))
        except Broken as broken:
            raise Broken(f"POST: {broken}") from None

    def nowhere(self) -> str:
        """Return the URL of an upload that was never made."""
        return urljoin(self.url.rstrip("/") + "/", uuid.uuid4().hex)

    def head(self, url: str) -> Answer:
        """Ask how far an upload is."""
        return self.ask("HEAD", url)

    def offset(self, url: str) -> int:
        """Return how far an upload is. Raises ``Broken``."""
        return self.head(url).must_be(200, 204).offset

    def patch(self, url: str, offset: str | int | None, body: bytes, headers: Headers | None = None) -> Answer:
        """Send bytes of an upload."""
        return self.ask("PATCH", url, {**_patch_headers(offset), **(headers or {})}, body)

    @contextmanager
    def begin_patch(
        self, url: str, offset: int, length: int | None, headers: Headers | None = None
    ) -> Iterator[Line]:
        """Have a connection on which the head of a PATCH was sent; its body is chunked if ``length`` is None."""
        framing: dict[str, str | int | None] = {"Content-Length": length}
        if length is None:
            framing["Transfer-Encoding"] = "chunked"
        with self.begin("PATCH", url, {**_patch_headers(offset), **framing, **(headers or {})}) as line:
            yield line

    @contextmanager
    def stalled(self, url: str, offset: int, sent: bytes) -> Iterator[Line]:
        """Have a PATCH of 1 MiB that runs, but whose sender has stopped after some bytes."""
        with self.begin_patch(url, offset, 2**20, {"Expect": "100-continue"}) as line:
            line.is_invited()
            line.send(sent)
            yield line


def _patch_headers(offset: str | int | None) -> dict[str, str | int | None]:
    return {"Content-Type": CHUNK, "Upload-Offset": offset}


def fate(line: Line) -> str:
    """Return the status that somebody hears who sends no more, or that the connection was closed."""
    try:
        return str(line.answer().status)
    except ConnectionError:
        return "closed"


@contextmanager
def peer(folder: Path) -> Iterator[Server]:
    """Have @tus/server run, with its files in a folder."""
    cache, node = install(NODE), shutil.which("node")
    assert node is not None, "node is not installed"
    process = subprocess.Popen(
        [node, str(cache / "server.mjs"), str(folder)], cwd=cache, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            name = f"@tus/server {wanted(NODE)['@tus/server']}"
            yield Server(name, f"http://127.0.0.1:{port}/files", must_pass=False)
        finally:
            process.terminate()
