"""A connection to a site, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from in_memory import PATH
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.web.server import Site


@define(eq=False)
class Line:
    """A connection to a site, and what it answers."""

    site: Site
    address: str = "192.168.1.1"
    transport: StringTransport = field(init=False)
    protocol: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Connect."""
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", self.address, 54321))
        self.protocol = self.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, *chunks: bytes) -> bytes:
        """Send bytes, one read of the socket each, and return all that was answered so far."""
        for chunk in chunks:
            self.protocol.dataReceived(chunk)
        return self.answered

    @property
    def answered(self) -> bytes:
        """Return what was answered so far."""
        return bytes(self.transport.value())

    @property
    def closed(self) -> bool:
        """Return whether the site has closed the connection."""
        return bool(self.transport.disconnecting)

    def lose(self) -> None:
        """Break the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


def post(session: tuple[str, str], name: str, body: bytes, *headers: bytes, chunks: int = 0) -> bytes:
    """Return the bytes of one piece; ``chunks`` above 0 is the size of its chunks."""
    cookie, sessid = session
    head = [
        f"POST {PATH}?type=catalog&mode=file&filename={name}&sessid={sessid} HTTP/1.1".encode(),
        b"Host: shop.example",
        f"Cookie: {cookie}".encode(),
        *headers,
    ]
    if not chunks:
        return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])
    parts = [body[start : start + chunks] for start in range(0, len(body), chunks)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", coded + b"0\r\n\r\n"])
