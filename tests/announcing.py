"""A resource that sends interim answers before and while a body comes, and how a client reads them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.http.answer import Answer
from onec_twisted.http.interfaces import IBodyConsumer, IRequest, IStreamingResource
from onec_twisted.model.errors import FileTooLarge

if TYPE_CHECKING:
    import socket

    from onec_twisted.http.interim import InterimResponses
    from onec_twisted.model.errors import Refused

LOTS = 2**30
VERSION = b"upload-draft-interop-version"
LOCATION = (b"Location", b"http://shop.example/files/1")

Heard = tuple[int, dict[bytes, bytes], bytes]
"""An answer: status, headers by their names in lower case, body."""


@implementer(IBodyConsumer)
@define(eq=False)
class Digest:
    """What a body comes to; sends an interim answer after each ``step`` bytes of it, or more."""

    request: IRequest
    step: int
    told: list[int] = field(factory=list)
    """What was sent of how much had come."""
    came: int = 0
    sum: hashlib._Hash = field(factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        """Take a part of the body."""
        self.came += len(data)
        self.sum.update(data)
        last = self.told[-1] if self.told else 0
        offset = ((b"Upload-Offset", b"%d" % self.came),)
        if self.step and self.came - last >= self.step and self.request.interim(104, offset):
            self.told.append(self.came)


@implementer(IStreamingResource)
class Announcing(Resource):
    """Answers with the SHA-256 of a body; to whoever names a version it sends 104 before, and while, the body comes.

    ``policy`` says to whom of them, ``step`` how many bytes come between two.
    """

    isLeaf = True

    def __init__(self, policy: InterimResponses, step: int = 1) -> None:
        """Start without requests."""
        super().__init__()
        self.policy = policy
        self.step = step
        self.requests: list[IRequest] = []
        self.told: list[list[int]] = []
        """What each request was sent of its offset; nothing where not even the address was sent."""

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        """Take the body."""
        self.requests.append(request)
        version = request.getHeader(VERSION)
        announced = (
            version is not None
            and self.policy.allows(request)
            and request.interim(104, (LOCATION, (b"Upload-Draft-Interop-Version", version)))
        )
        digest = Digest(request, self.step if announced else 0)
        self.told.append(digest.told)
        await request.body.stream_to(digest, LOTS, FileTooLarge())
        return Answer(body=digest.sum.hexdigest().encode("ascii"))


def upload(body: bytes, *more: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """Return a request that names a version of the draft."""
    head = (b"POST /files " + version, b"Host: x", b"Upload-Draft-Interop-Version: 9", *more)
    return b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body))


def heard_in(received: bytes) -> list[Heard]:
    """Return the whole answers, interim and final, that a connection has brought."""
    return _split(received)[0]


def _split(received: bytes) -> tuple[list[Heard], bytes]:
    """Return whole answers, and what stands behind them."""
    heard: list[Heard] = []
    place = 0
    while (end := received.find(b"\r\n\r\n", place)) >= 0:
        first, *lines = received[place:end].split(b"\r\n")
        pairs = (line.partition(b": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        size = int(headers.get(b"content-length", b"0"))
        body = received[end + 4 : end + 4 + size]
        if len(body) < size:
            break
        heard.append((int(first.split(b" ")[1]), headers, body))
        place = end + 4 + size
    return heard, received[place:]


def hear(line: socket.socket, finals: int = 1) -> list[Heard]:
    """Read answers from a connection up to the given number of final ones, or to its end."""
    heard: list[Heard] = []
    rest = b""
    while sum(status >= 200 for status, *_ in heard) < finals:
        block = line.recv(65536)
        if not block:
            break
        more, rest = _split(rest + block)
        heard += more
    return heard
