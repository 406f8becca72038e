"""The client at the other end of a connection, and the number of connections per address.

What a proxy reports about the client is believed only when the administrator trusts the proxy: anybody can send
``X-Forwarded-For``.
"""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UNIX", "Connections", "Entry", "TrustedProxies", "counted_as"]

MOST_HOPS = 20
"""Proxies in a chain that are examined."""

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([0-9.]+):\d+")

UNIX = "unix"
"""The name for clients that connect to a unix socket."""


@frozen
class TrustedProxies:
    """The proxies whose headers are trusted: networks, and whether unix sockets are."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> TrustedProxies:
        """Return proxies given as addresses, networks, or ``unix``. Raises ``ValueError``."""
        names = list(texts)
        return cls(tuple(ip_network(name) for name in names if name != UNIX), UNIX in names)

    def trusts(self, address: str | None) -> bool:
        """Return whether an address, None on a unix socket, is a trusted proxy."""
        if address is None:
            return self.unix
        if not self.networks:
            return False
        try:
            parsed = _parsed(address.partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)

    def client(self, peer: str | None, forwarded_for: str) -> str | None:
        """Return the client behind a proxy: the last address that is not a trusted proxy.

        ``peer`` is the trusted proxy connected to us; ``forwarded_for`` is ``X-Forwarded-For``, to which each proxy
        appends the address it received the request from. The search ends at anything that is not an address, as an
        untrusted client wrote it.
        """
        client = peer
        for text in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            address = _address_in(text)
            if address is None:
                break
            client = address
            if not self.trusts(client):
                break
        return client


def _parsed(text: str) -> IPv4Address | IPv6Address:
    """Return an address, an IPv4-mapped IPv6 address as IPv4. Raises ``ValueError``."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _address_in(text: str) -> str | None:
    """Return an address from ``X-Forwarded-For``, without its port; None when it is not an address."""
    match = _WITH_PORT.fullmatch(text.strip())
    try:
        return str(_parsed((match[1] or match[2]) if match is not None else text.strip()))
    except ValueError:
        return None


def counted_as(address: str) -> str:
    """Return what an address is counted as: the owner of an IPv6 address has its whole /64."""
    if ":" not in address:
        return address
    parsed = _parsed(address.partition("%")[0])
    return str(parsed if isinstance(parsed, IPv4Address) else ip_network(f"{parsed}/64", strict=False))


@define(eq=False)
class Connections:
    """Counts open connections, in total and by address; ``most`` per address, or per /64 network of IPv6.

    0 means no limit. A trusted proxy has no limit; the clients behind it are counted by their requests.
    """

    most: int = 0
    trusted: TrustedProxies = TrustedProxies()
    total: int = field(default=0, init=False)
    _trusts_somebody: bool = field(init=False)
    _open: Counter[str] = field(factory=Counter, init=False)

    def __attrs_post_init__(self) -> None:
        """Start without connections."""
        self._trusts_somebody = self.trusted != TrustedProxies()

    def trusts(self, address: str | None) -> bool:
        """Return whether an address, None on a unix socket, belongs to a trusted proxy."""
        return self._trusts_somebody and self.trusted.trusts(address)

    def enter(self, address: str) -> bool:
        """Count one more connection of an address, if its limit permits; return whether it does."""
        counted = counted_as(address)
        if self.most and self._open[counted] >= self.most:
            return False
        self._open[counted] += 1
        return True

    def held(self, address: str | None) -> int:
        """Return how many an address has; unix sockets and trusted proxies are not counted."""
        return self._open[counted_as(address)] if address is not None else 0

    def leave(self, address: str) -> None:
        """Count one connection less of an address."""
        counted = counted_as(address)
        self._open[counted] -= 1
        if not self._open[counted]:
            del self._open[counted]


@define(eq=False)
class Entry:
    """One connection, counted for its address."""

    connections: Connections
    address: str | None = field(default=None, init=False)
    is_one_too_many: bool = field(default=False, init=False)
    _is_counted: bool = field(default=False, init=False)

    def enter(self, address: str | None) -> None:
        """Count the connection for an address, unless that is a trusted proxy or a unix socket."""
        self.leave()
        self.address = address
        if address is not None and not self.connections.trusts(address):
            self._is_counted = self.connections.enter(address)
            self.is_one_too_many = not self._is_counted

    def leave(self) -> None:
        """Stop counting the connection."""
        if self._is_counted and self.address is not None:
            self.connections.leave(self.address)
        self._is_counted = self.is_one_too_many = False
