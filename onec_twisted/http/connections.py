"""Who is at the other end of a connection, and how many connections an address has.

A proxy's word about the client is taken only when the administrator trusts the proxy: anybody can write
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
"""Proxies in a row that are looked at."""

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([0-9.]+):\d+")

UNIX = "unix"
"""The name of whoever connects to a unix socket."""


@frozen
class TrustedProxies:
    """The proxies whose headers are believed: networks, and whether unix sockets are."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> TrustedProxies:
        """Return proxies that are written as an address, a network, or ``unix``. Raises ``ValueError``."""
        names = list(texts)
        return cls(tuple(ip_network(name) for name in names if name != UNIX), UNIX in names)

    def trusts(self, address: str | None) -> bool:
        """Return whether an address, None on a unix socket, is one of them."""
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
        """Return who sends through a proxy: the last address that is none of theirs.

        ``peer`` is who is connected to us, and trusted; ``forwarded_for`` is ``X-Forwarded-For``, to which each proxy
        adds whom it got the request from. What is no address ends the search: a stranger wrote it.
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
    """Return an address, as IPv4 where IPv6 only carries one. Raises ``ValueError``."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _address_in(text: str) -> str | None:
    """Return an address as it stands in ``X-Forwarded-For``, without a port; None when there is none."""
    match = _WITH_PORT.fullmatch(text.strip())
    try:
        return str(_parsed((match[1] or match[2]) if match is not None else text.strip()))
    except ValueError:
        return None


def counted_as(address: str) -> str:
    """Return what an address is counted as: one who has an IPv6 address has all of its /64."""
    if ":" not in address:
        return address
    parsed = _parsed(address.partition("%")[0])
    return str(parsed if isinstance(parsed, IPv4Address) else ip_network(f"{parsed}/64", strict=False))


@define(eq=False)
class Connections:
    """How many connections are open, in all and by address; ``most`` of one address, or /64 network of IPv6.

    0 is no limit. A trusted proxy may have as many as it likes; the clients behind it are counted by their requests.
    """

    most: int = 0
    trusted: TrustedProxies = TrustedProxies()
    total: int = field(default=0, init=False)
    _trusts_somebody: bool = field(init=False)
    _open: Counter[str] = field(factory=Counter, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nobody."""
        self._trusts_somebody = self.trusted != TrustedProxies()

    def trusts(self, address: str | None) -> bool:
        """Return whether an address, None on a unix socket, is a trusted proxy's."""
        return self._trusts_somebody and self.trusted.trusts(address)

    def enter(self, address: str) -> bool:
        """Count one more of an address, if it may have one more; return whether."""
        counted = counted_as(address)
        if self.most and self._open[counted] >= self.most:
            return False
        self._open[counted] += 1
        return True

    def held(self, address: str | None) -> int:
        """Return how many an address has; none are counted of a unix socket, nor of a trusted proxy."""
        return self._open[counted_as(address)] if address is not None else 0

    def leave(self, address: str) -> None:
        """Count one less of an address."""
        counted = counted_as(address)
        self._open[counted] -= 1
        if not self._open[counted]:
            del self._open[counted]


@define(eq=False)
class Entry:
    """One connection among those of its address."""

    connections: Connections
    address: str | None = field(default=None, init=False)
    is_one_too_many: bool = field(default=False, init=False)
    _is_counted: bool = field(default=False, init=False)

    def enter(self, address: str | None) -> None:
        """Count the connection for an address, unless that is a trusted proxy's or a unix socket."""
        self.leave()
        self.address = address
        if address is not None and not self.connections.trusts(address):
            self._is_counted = self.connections.enter(address)
            self.is_one_too_many = not self._is_counted

    def leave(self) -> None:
        """Count the connection no more."""
        if self._is_counted and self.address is not None:
            self.connections.leave(self.address)
        self._is_counted = self.is_one_too_many = False
