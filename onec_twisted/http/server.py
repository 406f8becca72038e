"""What all connections to one of our ports share: limits, counters, clock, and how they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen
from twisted.web.http import RESPONSES, datetimeToString

from onec_twisted.http.allowance import Allowance
from onec_twisted.http.answer import head_of
from onec_twisted.http.newcomers import Newcomers
from onec_twisted.runtime.seldom import Seldom

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IReactorTime

    from onec_twisted.http.connections import Connections
    from onec_twisted.http.refusals import Refusals
    from onec_twisted.model.errors import Refused
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["REASONS", "REST_TIMEOUT", "Limits", "Server"]

REASONS = {
    **RESPONSES,
    104: b"Upload Resumption Supported",
    423: b"Locked",
    429: b"Too Many Requests",
    460: b"Checksum Mismatch",
}
"""Reason phrases, with those that Twisted lacks.

They are of draft-ietf-httpbis-resumable-upload section 5, RFC 4918 section 11.3, RFC 6585 section 4 and tus 1.0.0.
"""

REST_TIMEOUT = 60.0
"""Seconds that a connection may stay open without a request: Twisted's own number."""


@frozen
class Limits:
    """Limits on what a stranger may use.

    A request head may take ``header_timeout`` seconds; a body must arrive at ``min_rate`` bytes per second on average
    over the last minute, 0 means no limit. A body's sender may be silent for ``body_timeout`` seconds.
    """

    header_timeout: float = 30.0
    min_rate: int = 0
    body_timeout: float = 60.0


@define(eq=False)
class Server:
    """What a channel and a request need to know about the listening server.

    ``refusals`` answers requests that reach no resource; ``most_connections`` may be open in total, 0 means no limit.
    ``closing`` means that the daemon is about to stop: an answer closes its connection, so that the node connects to
    the next daemon.
    """

    clock: IReactorTime
    limits: Limits
    connections: Connections
    metrics: Metrics
    refusals: Refusals
    most_connections: int = 0
    closing: bool = field(default=False, init=False)
    newcomers: Newcomers = field(init=False)
    allowance: Allowance = field(init=False)
    seldom: Seldom = field(init=False)
    _date: bytes = field(default=b"", init=False)
    _date_made: int = field(default=-1, init=False)

    def __attrs_post_init__(self) -> None:
        """Start without connections."""
        self.newcomers = Newcomers(self.connections, self.clock, self.most_connections)
        self.allowance = Allowance(self.clock)
        self.seldom = Seldom(self.clock.seconds)

    def date(self) -> bytes:
        """Return the value of a Date header, renewed once a second."""
        second = int(self.clock.seconds())
        if self._date_made != second:
            self._date, self._date_made = datetimeToString(), second
        return self._date

    def refuse(self, refused: Refused, peer: IAddress) -> bytes:
        """Return the answer to an incomplete or malformed request, as bytes; it closes the connection."""
        answer = self.refusals.refuse_unseen(refused, str(getattr(peer, "host", "-")))
        return head_of(answer, b"HTTP/1.1", REASONS[answer.status], self.date(), closes=True) + answer.body
