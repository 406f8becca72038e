"""The administrator's door: how many may come in, for how long, and what they may bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.web.server import Request

from onec_twisted.http.head import contradicted
from onec_twisted.http.site import GuardedSite
from onec_twisted.model.errors import ContradictoryHeaders, TooManyConnections

if TYPE_CHECKING:
    from twisted.web.resource import Resource

    from onec_twisted.http.channel import ExchangeChannel
    from onec_twisted.http.server import Server

__all__ = ["MOST_CONNECTIONS", "AdminDoor"]

MOST_CONNECTIONS = 100
"""Connections of administrators, and of programs that watch."""

LONGEST_BODY = 16 * 1024
"""Bytes of a form; ours have less than a hundred."""


class AdminRequest(Request):
    """A request of the administrator's browser, or of a program that watches.

    Twisted keeps bodies whole, before anybody has logged in: one that is longer than a form ends its connection.
    """

    _is_over = False

    def gotLength(self, length: int | None) -> None:
        """Take no more than a form has, and nothing from who has too many connections or says two things."""
        channel = cast("ExchangeChannel", self.channel)
        is_no_form = length is None or length > LONGEST_BODY
        twice = contradicted(self.requestHeaders.getAllRawHeaders())
        super().gotLength(0 if is_no_form else length)
        if channel.is_one_too_many(getattr(self.client, "host", None)):
            channel.refuse(TooManyConnections())
        elif twice is not None:
            channel.refuse(ContradictoryHeaders(twice))
        elif is_no_form:
            self._is_over = True
            channel.abort()

    def give_up(self) -> None:
        """Answer nothing: the connection is about to end."""
        self._is_over = True

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of a form; TLS still passes data on when the connection is closed."""
        if not self._is_over:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, unless the connection has been ended."""
        if not self._is_over:
            cast("ExchangeChannel", self.channel).body_ended()
            super().requestReceived(command, path, version)


class AdminDoor(GuardedSite):
    """A site with a limited number of connections: descriptors are those of uploads, too.

    Of too many, those that ask for nothing make room. A request has the time of a head, its form included.
    """

    def __init__(self, resource: Resource, server: Server) -> None:
        """Serve a resource."""
        super().__init__(resource, server, requestFactory=AdminRequest)
