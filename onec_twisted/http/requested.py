"""What is requested, and by whom: the half of a request that resources read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from twisted.internet.address import IPv4Address, IPv6Address

from onec_twisted.http.head import path_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from onec_twisted.http.channel import ExchangeChannel

__all__ = ["Requested"]

MAPPED = "::ffff:"
"""Prefix of an IPv4 address on an IPv6 socket."""


class Requested:
    """A request as it came; names in camelCase are those of Twisted's ``Request``, as Twisted's tree expects them.

    ``prepath`` and ``postpath`` are the segments of the path above and below the resource, decoded.
    """

    trusted_proxy = False
    """Whether a trusted proxy sends this for its client: then it may report our public address."""

    _entered: str | None = None
    """The address for which it is counted as a connection: that of a client behind a proxy."""
    _secure = False

    def __init__(self, channel: ExchangeChannel) -> None:
        """Take what the head says."""
        head = channel.head
        self.channel = channel
        self.site, self.server = channel.site, channel.server
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = path_of(head.target)
        self.prepath: list[bytes] = []
        # as PHP sites do: merge slashes, and ignore a trailing one (nginx merges them, PHP has PATH_INFO)
        self.postpath: list[bytes] = [unquote_to_bytes(part) for part in self.path.split(b"/") if part]
        self.client: IAddress = channel.getPeer()
        self._fields = head.fields

    def getHeader(self, name: bytes) -> bytes | None:
        """Return the last value of a header, by its name in lower case."""
        values = self._fields.get(name)
        return values[-1] if values is not None else None

    def joined(self, name: bytes) -> bytes | None:
        """Return all lines of a header as one list (RFC 9110 section 5.3), by its name in lower case."""
        values = self._fields.get(name)
        return b", ".join(values) if values is not None else None

    def getCookie(self, name: bytes) -> bytes | None:
        """Return the value of a cookie, the last one of this name."""
        found = None
        for line in self._fields.get(b"cookie", ()):
            for pair in line.split(b";"):
                key, equals, value = pair.partition(b"=")
                if equals and key.lstrip() == name:
                    found = value
        return found

    def from_proxy(self, name: bytes) -> bytes:
        """Return the header value set by the proxy nearest the client; other proxies append theirs."""
        return b",".join(self._fields.get(name, ())).partition(b",")[0].strip()

    def getClientAddress(self) -> IAddress:
        """Return the address of the client, which a trusted proxy may have reported."""
        return self.client

    def isSecure(self) -> bool:
        """Return whether the client's connection is TLS, to us or to a trusted proxy."""
        return self._secure or self.channel.isSecure()

    def meet_client(self) -> bool:
        """Determine the client; return whether it has too many connections, or too many requests through a proxy."""
        connections = self.server.connections
        peer: str | None = getattr(self.client, "host", None)
        port: int = getattr(self.client, "port", 0)
        if peer is not None and peer.startswith(MAPPED):  # IPv4, on a socket that takes both
            peer = peer[len(MAPPED) :]
            self.client = IPv4Address("TCP", peer, port)
        if not connections.trusts(peer):
            return self.channel.is_one_too_many(peer)
        self.trusted_proxy = True
        self._secure = self.from_proxy(b"x-forwarded-proto").lower() == b"https"
        forwarded = b",".join(self._fields.get(b"x-forwarded-for", ()))
        client = connections.trusted.client(peer, forwarded.decode("latin-1"))
        if client is None or client == peer:
            return False
        kind = IPv6Address if ":" in client else IPv4Address
        self.client = kind("TCP", client, port)
        if not connections.enter(client):
            return True
        self._entered = client
        return False

    def leave(self) -> None:
        """Stop counting it as a connection of a client behind a proxy."""
        if self._entered is not None:
            connections = self.server.connections
            connections.leave(self._entered)
            self._entered = None
