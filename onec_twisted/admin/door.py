"""Limits for the administrator's site: on connections, time, the size of requests, and the names it goes by."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from twisted.web.server import Request

from onec_twisted.http.head import contradicted
from onec_twisted.http.request import CONTINUE
from onec_twisted.http.sending import show_headers
from onec_twisted.http.site import GuardedSite
from onec_twisted.model.errors import ContradictoryHeaders, TooManyConnections

if TYPE_CHECKING:
    from twisted.web.resource import Resource

    from onec_twisted.http.channel import ExchangeChannel
    from onec_twisted.http.server import Server

__all__ = ["MOST_CONNECTIONS", "AdminDoor", "names_us"]

MOST_CONNECTIONS = 100
"""Most connections of administrators and monitoring programs."""

LONGEST_BODY = 16 * 1024
"""Most bytes of a form; ours have less than a hundred."""


class AdminRequest(Request):
    """A request of the administrator's browser, or of a monitoring program.

    Twisted buffers whole bodies, even before authentication: a body longer than a form ends its connection.
    """

    _is_over = False

    def gotLength(self, length: int | None) -> None:
        """Reject a body longer than a form, contradictory headers, and one connection too many."""
        channel = cast("ExchangeChannel", self.channel)
        show_headers(self, channel.head)
        is_no_form = length is None or length > LONGEST_BODY
        twice = contradicted(channel.head.fields)
        super().gotLength(0 if is_no_form else length)
        if channel.is_one_too_many(getattr(self.client, "host", None)):
            channel.refuse(TooManyConnections())
        elif twice is not None:
            channel.refuse(ContradictoryHeaders(twice))
        elif is_no_form:
            self._is_over = True
            channel.abort()
        elif channel.head.expects:
            channel.write(CONTINUE)

    def give_up(self) -> None:
        """Send no response: the connection is about to end."""
        self._is_over = True

    def handleContentChunk(self, data: bytes) -> None:
        """Receive a part of a form; TLS still passes data on after the connection was closed."""
        if not self._is_over:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Respond, unless the connection has been ended."""
        if not self._is_over:
            cast("ExchangeChannel", self.channel).head_ended()
            super().requestReceived(command, path, version)


class AdminDoor(GuardedSite):
    """A site with a limited number of connections, because uploads need descriptors, too.

    Beyond the limit, idle connections make room. A request must arrive within the time limit for a head, including
    its form.
    """

    def __init__(self, resource: Resource, server: Server) -> None:
        """Serve a resource."""
        super().__init__(resource, server, requestFactory=AdminRequest)


def names_us(request: Request) -> bool:
    """Return whether a request names this server by an address or by ``localhost``, or arrived over a unix socket.

    An attacker may point another site's name at this address, and the browser would then treat its pages as ours (DNS
    rebinding). Where a password is required, that gains nothing.
    """
    if not hasattr(request.getClientAddress(), "host"):
        return True
    try:
        host = urlsplit(f"//{(request.getHeader(b'host') or b'localhost').decode('latin-1')}").hostname or ""
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False
