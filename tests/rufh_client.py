"""A server of RUFH, the IETF's resumable uploads, as its wire shows it: interim answers, HTTP/1.0, TLS."""

from __future__ import annotations

import socket
import ssl
import uuid
from base64 import b64encode
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import tus_server
from attrs import define, evolve, field, frozen
from http_sf import StructuredFieldError, parse
from tus_server import MOMENT, TIMEOUT, Answer, Broken, must

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Value = str | int | None
    Headers = Mapping[str, Value | tuple[str, ...]]
    """What a request tells; a header that is None is left out, one of several values has as many lines."""

PARTIAL = "application/partial-upload"
RESUMPTION = 104

VERSIONS = (6, 8, 9)
"""The interop versions that are asked."""


@frozen
class Reply(Answer):
    """A final answer, and the interim ones before it."""

    interim: tuple[Answer, ...] = ()

    @property
    def told(self) -> tuple[Answer, ...]:
        """Return the interim answers of RUFH."""
        return tuple(one for one in self.interim if one.status == RESUMPTION)


def complete_of(answer: Answer) -> bool | None:
    """Return what ``Upload-Complete`` says, None if there is none. Raises ``Broken`` for anything but a Boolean."""
    told = answer.header("Upload-Complete")
    if told is None:
        return None
    must(told in {"?0", "?1"}, f"Upload-Complete: {told}")
    return told == "?1"


def limits_of(answer: Answer) -> dict[str, int]:
    """Return what ``Upload-Limit`` says. Raises ``Broken`` when there is none, or it is no Dictionary of Integers."""
    raw = answer.header("Upload-Limit")
    if raw is None:
        raise Broken("no Upload-Limit")
    try:
        members = parse(raw.encode("latin-1"), tltype="dictionary")
    except StructuredFieldError:
        raise Broken(f"Upload-Limit: {raw}") from None
    assert isinstance(members, dict)
    found = {}
    for name, member in members.items():
        value = member[0] if isinstance(member, tuple) else None
        if type(value) is not int:
            raise Broken(f"Upload-Limit: {raw}")
        found[name] = value
    return found


@define(eq=False)
class Line(tus_server.Line):
    """One connection for one request, whose head has been sent; ``interim`` are the interim answers so far."""

    interim: list[Answer] = field(factory=list, init=False)

    def _head(self) -> tuple[int, dict[str, str]]:
        status, headers = super()._head()
        if status < 200:
            self.interim.append(Answer(status, headers))
        return status, headers

    def told(self, seconds: float = TIMEOUT) -> Answer | None:
        """Return the next interim answer; None when the final one comes first, or none within so many seconds."""
        self.connection.settimeout(seconds)
        try:
            status, headers = self._head()
        except TimeoutError:
            return None
        finally:
            self.connection.settimeout(TIMEOUT)
        if status < 200:
            return self.interim[-1]
        self._begun = Answer(status, headers)
        return None

    def reply(self) -> Reply:
        """Return the final answer, and all interim ones. Raises ``ConnectionError``, ``TimeoutError``."""
        final = self.answer()
        return Reply(final.status, final.headers, final.body, tuple(self.interim))


@frozen
class Server:
    """A server that takes uploads at ``url``; ``login`` is ``user:password`` for Basic.

    Its clients speak ``version`` of the draft. ``trusted`` are the certificates that they accept, those of the system
    if None.
    """

    url: str
    login: str = ""
    version: int = VERSIONS[-1]
    trusted: ssl.SSLContext | None = None

    @classmethod
    def at(cls, url: str) -> Server:
        """Return the server at a URL, which may have a user name and a password."""
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        return cls(urlunsplit(parts._replace(netloc=host)), unquote(user))

    def speaking(self, version: int) -> Server:
        """Return the same server for clients of another version."""
        return evolve(self, version=version)

    def _connect(self, url: str) -> socket.socket:
        parts = urlsplit(url)
        assert parts.hostname is not None, url
        is_secure = parts.scheme == "https"
        connection = socket.create_connection((parts.hostname, parts.port or (443 if is_secure else 80)), TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not is_secure:
            return connection
        context = self.trusted or ssl.create_default_context()
        return context.wrap_socket(connection, server_hostname=parts.hostname)

    @contextmanager
    def begin(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes = b"",
        protocol: str = "HTTP/1.1",
        target: str | None = None,
    ) -> Iterator[Line]:
        """Have a connection on which a request's head was sent, for the URL's target or another, and some body."""
        parts = urlsplit(url)
        told: dict[str, Value | tuple[str, ...]] = {"Host": parts.netloc, "Connection": "close"}
        told["Upload-Draft-Interop-Version"] = self.version
        if self.login:
            told["Authorization"] = "Basic " + b64encode(self.login.encode()).decode()
        told.update(headers)
        target = target or (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} {protocol}"]
        for name, value in told.items():
            lines += [
                f"{name}: {one}" for one in (value if isinstance(value, tuple) else (value,)) if one is not None
            ]
        with self._connect(url) as connection:
            line = Line(connection, method)
            line.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            yield line

    def ask(
        self, method: str, url: str, headers: Headers | None = None, body: bytes = b"", protocol: str = "HTTP/1.1"
    ) -> Reply:
        """Send a whole request, and return the answers."""
        length = len(body) if body or method in {"POST", "PATCH"} else None
        with self.begin(method, url, {"Content-Length": length, **(headers or {})}, body, protocol) as line:
            return line.reply()

    def options(self) -> Reply:
        """Ask what is on offer."""
        return self.ask("OPTIONS", self.url, {"Upload-Draft-Interop-Version": None})

    def options_of_all(self) -> Answer | None:
        """Ask what is on offer for all resources (``OPTIONS *``); None if the server does not say."""
        with self.begin("OPTIONS", self.url, {"Upload-Draft-Interop-Version": None}, target="*") as line:
            try:
                answer = line.answer()
            except ConnectionError:
                return None
        return answer if 200 <= answer.status < 300 else None

    def post(self, complete: Value | tuple[str, ...], body: bytes = b"", headers: Headers | None = None) -> Reply:
        """Ask for a new upload."""
        return self.ask("POST", self.url, {"Upload-Complete": complete, **(headers or {})}, body)

    @contextmanager
    def begin_post(self, complete: str, length: int | None, headers: Headers | None = None) -> Iterator[Line]:
        """Have a connection on which the head of a POST was sent; its body is chunked if ``length`` is None."""
        with self.begin(
            "POST", self.url, {"Upload-Complete": complete, **framing(length), **(headers or {})}
        ) as line:
            yield line

    def located(self, answer: Answer) -> str:
        """Return the URL of an upload. Raises ``Broken``."""
        location = answer.header("Location")
        if not location:
            raise Broken("no Location")
        return urljoin(self.url, location)

    def make(self, length: int | None = None, headers: Headers | None = None) -> str:
        """Make an upload without bytes, and return its URL. Raises ``Broken``."""
        try:
            made = self.post("?0", b"", {"Upload-Length": length, **(headers or {})})
            must(200 <= made.status < 300, str(made.status))
            return self.located(made)
        except Broken as broken:
            raise Broken(f"POST: {broken}") from None

    def nowhere(self) -> str:
        """Return the URL of an upload that was never made."""
        return urljoin(self.url.rstrip("/") + "/", uuid.uuid4().hex)

    def head(self, url: str, headers: Headers | None = None) -> Reply:
        """Ask how far an upload is."""
        return self.ask("HEAD", url, headers)

    def found(self, url: str) -> Reply:
        """Ask how far an upload is that is there. Raises ``Broken``."""
        found = self.head(url)
        must(200 <= found.status < 300, f"HEAD: {found.status}")
        return found

    def offset(self, url: str) -> int:
        """Return how far an upload is. Raises ``Broken``."""
        return self.found(url).offset

    def must_stay(self, url: str, offset: int) -> None:
        """Raise ``Broken`` when an upload is elsewhere, or complete."""
        found = self.found(url)
        must(found.offset == offset, f"offset {found.offset}, not {offset}")
        must(not complete_of(found), "complete")

    def must_be_gone(self, url: str) -> None:
        """Raise ``Broken`` unless an upload takes nothing any more."""
        self.head(url).must_be(404, 410)
        self.patch(url, 0, "?1", b"bytes").must_be(404, 410)

    def patch(
        self,
        url: str,
        offset: Value | tuple[str, ...],
        complete: Value | tuple[str, ...],
        body: bytes = b"",
        headers: Headers | None = None,
    ) -> Reply:
        """Append bytes to an upload."""
        return self.ask("PATCH", url, {**_appending(offset, complete), **(headers or {})}, body)

    def append(
        self, url: str, offset: int, complete: str, body: bytes = b"", headers: Headers | None = None
    ) -> Reply:
        """Append bytes to an upload, which succeeds. Raises ``Broken``."""
        reply = self.patch(url, offset, complete, body, headers)
        must(200 <= reply.status < 300, f"PATCH: {reply.status}")
        return reply

    @contextmanager
    def begin_patch(
        self, url: str, offset: int, complete: str, length: int | None, headers: Headers | None = None
    ) -> Iterator[Line]:
        """Have a connection on which the head of a PATCH was sent; its body is chunked if ``length`` is None."""
        told: Headers = {**_appending(offset, complete), **framing(length), **(headers or {})}
        with self.begin("PATCH", url, told) as line:
            yield line

    @contextmanager
    def stalled(self, url: str, sent: bytes = b"") -> Iterator[Line]:
        """Have a PATCH of 1 MiB from offset 0 that runs, but whose sender has stopped after some bytes."""
        with self.begin_patch(url, 0, "?1", 2**20, {"Expect": "100-continue"}) as line:
            line.told(MOMENT)
            line.send(sent)
            yield line


def framing(length: int | None) -> Headers:
    """Return how the body of a request ends: after so many bytes, or with its last chunk."""
    return {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": length}


def _appending(offset: Value | tuple[str, ...], complete: Value | tuple[str, ...]) -> Headers:
    return {"Content-Type": PARTIAL, "Upload-Offset": offset, "Upload-Complete": complete}


def fate(line: Line) -> str:
    """Return the status that somebody gets who sends no more, or that the connection was closed."""
    with suppress(ConnectionError):
        return str(line.answer().status)
    return "closed"
