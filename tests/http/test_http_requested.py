"""What is requested, and by whom. ``test_http_channel`` has the clients behind a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from line import Line

from onec_twisted.http.head import parse_head
from onec_twisted.http.requested import Requested

if TYPE_CHECKING:
    from in_memory import InMemory


def requested(exchange: InMemory, *lines: bytes, target: bytes = b"/") -> Requested:
    """Return a request with these lines in its head."""
    channel: Any = Line(exchange.site).protocol
    channel.head = parse_head(b"\r\n".join((b"GET %s HTTP/1.1" % target, b"Host: x", *lines)))
    return Requested(channel)


def test_the_last_of_equal_headers_counts(exchange: InMemory) -> None:
    """One that is not there has no value."""
    request = requested(exchange, b"A: 1", b"a:2")

    assert request.getHeader(b"a") == b"2"
    assert request.getHeader(b"b") is None


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([], None),
        ([b"Cookie: a=1"], b"1"),
        ([b"Cookie: b=2; a=1;c=3"], b"1"),
        ([b"Cookie: b=2", b"Cookie: a=1"], b"1"),
        ([b"Cookie: a=1; a=2"], b"2"),
        ([b"Cookie: a=b=c"], b"b=c"),
        ([b"Cookie: aa=1; A=1; a; =1;"], None),
    ],
)
def test_cookies(exchange: InMemory, lines: list[bytes], value: bytes | None) -> None:
    """In one line or several, among others."""
    assert requested(exchange, *lines).getCookie(b"a") == value


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", []),
        (b"/a/b?c/d", [b"a", b"b"]),
        (b"//a//b/", [b"a", b"b"]),
        (b"/a%2Fb/%d0%bc", [b"a/b", b"\xd0\xbc"]),
        (b"http://x/a", [b"a"]),
    ],
)
def test_paths(exchange: InMemory, target: bytes, path: list[bytes]) -> None:
    """Segments, decoded; the tree of resources takes them one after the other."""
    request = requested(exchange, target=target)

    assert (request.prepath, request.postpath) == ([], path)
    assert (request.method, request.uri, request.clientproto) == (b"GET", target, b"HTTP/1.1")


def test_what_several_proxies_say(exchange: InMemory) -> None:
    """The one nearest the client wrote the first value."""
    request = requested(exchange, b"A: 1 , 2", b"A: 3")

    assert (request.from_proxy(b"a"), request.from_proxy(b"b")) == (b"1", b"")
