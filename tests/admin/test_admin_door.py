"""The administrator's door: who comes in, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from administrator import Administrator, waiting
from line import Line

from onec_twisted.admin.door import LONGEST_BODY, MOST_CONNECTIONS

if TYPE_CHECKING:
    from in_memory import InMemory


def test_a_body_that_is_no_form(exchange: InMemory) -> None:
    """The connection is closed; nothing of it is kept."""
    administrator = Administrator(exchange)
    for length in (b"Content-Length: %d" % (LONGEST_BODY + 1), b"Transfer-Encoding: chunked"):
        line = Line(administrator.site, "127.0.0.1")
        line.send(b"POST /sessions/x/end HTTP/1.1\r\nHost: 127.0.0.1\r\n" + length + b"\r\n\r\n")
        request = line.protocol.request
        line.send(b"x" * 100_000)  # TLS goes on delivering

        assert line.closed
        assert request.content.getvalue() == b""
        line.lose()


def test_connections_are_limited(exchange: InMemory) -> None:
    """One too many is closed while all others are being answered, and there is room again when one has gone."""
    administrator, _, lines = waiting(exchange, *["/"] * MOST_CONNECTIONS)
    late = Line(administrator.site)
    assert late.transport.disconnecting
    late.lose()
    lines.pop().lose()
    administrator.looked_at.workers = exchange.means.workers

    assert administrator.ask("/health/live").status == 200
    for line in lines:
        line.lose()
