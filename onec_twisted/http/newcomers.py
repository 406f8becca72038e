"""Closes an idle connection for a new one when there are too many; connections in use are left alone.

So strangers who hold every descriptor cannot keep others out: a new connection replaces the one that has been idle
longest, of the address that has most.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

from onec_twisted.http.sockets import close_now, is_plain
from onec_twisted.runtime.descriptors import NEWCOMER_SHARE, is_scarce

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.http.connections import Connections
    from onec_twisted.http.interfaces import IConnection

__all__ = ["Newcomers"]

LOOKED_AT = 100
"""Candidates of which one is closed: the connections that have been idle longest."""

WARNING_INTERVAL = 60.0
"""Seconds between two warnings in the log."""


@define(eq=False)
class Newcomers:
    """The idle connections, for which no request is being handled.

    There may be as many connections in total as there are descriptors, or ``most`` when that is not 0.
    """

    connections: Connections
    clock: IReactorTime
    most: int = 0
    _resting: dict[IConnection, str | None] = field(factory=dict, init=False)
    """Idle connections, the longest idle first, and their addresses."""
    _warned_at: float | None = field(default=None, init=False)
    _log = Logger()

    def comes(self, connection: IConnection, address: str | None) -> None:
        """Accept a new connection, or close it."""
        if self._may_stay(address):
            self.rests(connection, address)
        elif is_plain(connection.transport):
            close_now(connection.transport)
        else:  # a TLS handshake is about to begin
            connection.abort()

    def _may_stay(self, address: str | None) -> bool:
        """Return whether a new connection may stay; over the limit, an idle one is closed for it."""
        if is_scarce(self.connections.total, NEWCOMER_SHARE):
            self._warn()
        elif not self.most or self.connections.total <= self.most:
            return True
        held = self.connections.held
        longest = list(islice(self._resting.items(), LOOKED_AT))
        if not longest:
            return False
        other, its_address = max(longest, key=lambda one: held(one[1]))
        if held(address) > held(its_address):
            return False
        self.leaves(other)
        close_now(other.transport)
        return True

    def rests(self, connection: IConnection, address: str | None) -> None:
        """Note that a connection is idle until its next request."""
        self._resting[connection] = address

    def leaves(self, connection: IConnection) -> None:
        """Note that a connection is in use, or has ended."""
        self._resting.pop(connection, None)

    def _warn(self) -> None:
        """Log a warning, at most once per ``WARNING_INTERVAL``."""
        now = self.clock.seconds()
        if self._warned_at is None or now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            self._log.warn(
                "{connections} connections are open, and the other descriptors are reserved for their requests: "
                "idle connections are closed to accept new ones; raise LimitNOFILE=, or lower "
                "--connections-per-address",
                connections=self.connections.total,
            )
