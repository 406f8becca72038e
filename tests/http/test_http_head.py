"""What the head of a request says, and what of it may be shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

from onec_twisted.http.head import (
    LONGEST_HEAD,
    MOST_FIELDS,
    Head,
    MalformedHead,
    contradicted,
    head_in,
    parse_head,
    path_of,
    query_of,
    shortened,
    without_secrets,
)

HOST = b"Host: x"


def head(*lines: bytes, line: bytes = b"POST /a HTTP/1.1") -> bytes:
    """Return a head of these lines, without the empty line that ends it."""
    return b"\r\n".join((line, *lines))


def as_twisted_takes_it(head: bytes) -> tuple[bytes, bytes, list[tuple[bytes, list[bytes]]], int | None] | None:
    """Return method, target, fields and length as Twisted's own channel understands them; None if it refuses."""
    seen: list[Any] = []

    class Probe(Request):
        """Notes what it is shown."""

        def gotLength(self, length: int | None) -> None:
            """Note it."""
            channel: Any = self.channel
            seen.append((channel._command, channel._path, list(self.requestHeaders.getAllRawHeaders()), length))
            super().gotLength(0)  # for a long body it opens a file, which nothing here closes

        def process(self) -> None:
            """Answer nothing."""

    channel: Any = HTTPChannel()
    transport = StringTransport()
    channel.requestFactory = Probe
    channel.callLater = Clock().callLater
    channel.makeConnection(transport)
    channel.dataReceived(head + b"\r\n\r\n")
    return seen[0] if seen and b"400" not in transport.value() else None


def fields_as_twisted_names_them(taken: Head) -> list[tuple[bytes, list[bytes]]]:
    """Return the fields, each name in Twisted's capitals."""
    headers = Headers()
    for name, values in taken.fields.items():
        headers.setRawHeaders(name, values)
    return [(name, list(values)) for name, values in headers.getAllRawHeaders()]


def test_what_a_head_says() -> None:
    """All values of each name, and where the body ends."""
    taken = parse_head(head(HOST, b"A-b:  1 ", b"Content-Length: 5", b"a-B:", b"C:d:e\t"))

    assert taken == Head(
        b"POST",
        b"/a",
        b"HTTP/1.1",
        {b"host": [b"x"], b"a-b": [b"1", b""], b"content-length": [b"5"], b"c": [b"d:e"]},
        length=5,
        stays=True,
        expects=False,
    )
    assert parse_head(head(HOST)).length == 0
    assert parse_head(head(HOST, b"Transfer-Encoding: Chunked")).length is None


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET /a b.zip HTTP/1.1", b"/a%20b.zip"),
        (b"GET  /a HTTP/1.1", b"%20/a"),
        (b"GET /a HTTP/1.1 HTTP/1.1", b"/a%20HTTP/1.1"),
        (b"GET /\xd0\xbc\x7f HTTP/1.1", b"/%D0%BC%7F"),
        (b"GET /a%20b?c=d HTTP/1.1", b"/a%20b?c=d"),
    ],
)
def test_targets_that_are_not_encoded(line: bytes, target: bytes) -> None:
    """Nodes send names as they are."""
    assert parse_head(head(HOST, line=line)).target == target


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /",
        b"GET / HTTP/1.1 ",
        b"GET /\tHTTP/1.1",
        b"GET /\t HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b" GET / HTTP/1.1",
        b"G\xcaT / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET / HTTP/1.1\n",
    ],
)
def test_what_is_no_request_line(line: bytes) -> None:
    """It is not guessed at."""
    with pytest.raises(MalformedHead):
        parse_head(head(HOST, line=line))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"a",
        b": b",
        b"a : b",
        b"a b: c",
        b"\xe9: b",
        b"a(: b",
        b"a: b\nc: d",
        b"a: b\rc: d",
        b"a: b\r",
        b"a: \0",
        b"Host: x",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: +1",
        b"Content-Length: 1_0",
        b"Content-Length: 1 0",
        b"Content-Length: 0x1",
        b"Content-Length: \xb2",
        b"Content-Length:",
        b"Content-Length: 1\r\n 2",
        b"Content-Length: " + b"0" * 60 + b"1",
    ],
)
def test_fields_that_are_malformed(line: bytes) -> None:
    """Nor are these."""
    with pytest.raises(MalformedHead):
        parse_head(head(HOST, line))


def test_a_line_that_is_continued() -> None:
    """A blank at its beginning makes it a part of the one before; the first line of all has none before it."""
    assert parse_head(head(HOST, b"a: b", b"  c", b"\td: e")).fields[b"a"] == [b"b c d: e"]
    assert parse_head(head(HOST, b"a:", b" b")).fields[b"a"] == [b"b"]
    for line in (b" Host: x", b" HTTP/1.1", b"\tHost: x\r\nHost: x"):
        with pytest.raises(MalformedHead):
            parse_head(head(line))


def test_how_many_fields_there_may_be() -> None:
    """As many as Twisted takes."""
    assert len(parse_head(head(*[HOST] + [b"a: b"] * (MOST_FIELDS - 1))).fields[b"a"]) == MOST_FIELDS - 1
    with pytest.raises(MalformedHead):
        parse_head(head(*[HOST] + [b"a: b"] * MOST_FIELDS))


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        ([], True),
        ([b"Connection: keep-alive"], True),
        ([b"Connection: Close"], False),
        ([b"Connection: TE,close"], False),
        ([b"Connection: TE", b"Connection: close"], False),
        ([b"Connection: closed"], True),
    ],
)
def test_who_wants_the_end_of_the_connection(lines: list[bytes], stays: bool) -> None:
    """One word of a list is enough; HTTP/1.0 always does."""
    assert parse_head(head(HOST, *lines)).stays is stays
    assert not parse_head(head(*lines, line=b"GET / HTTP/1.0")).stays


def test_who_waits_to_be_asked() -> None:
    """HTTP/1.0 does not know this."""
    expects = b"Expect: 100-Continue"

    assert parse_head(head(HOST, expects)).expects
    assert not parse_head(head(expects, line=b"POST / HTTP/1.0")).expects


def test_a_head_that_comes_in_parts() -> None:
    """It is found wherever the parts end, with what follows it; what is none is refused at its first line."""
    wire = head(HOST, b"a: b") + b"\r\n\r\n"
    for place in range(len(wire)):
        assert head_in(wire[:place]) is None
        assert head_in(wire + b"body", place) == (parse_head(wire[:-4]), len(wire))
    assert head_in(b"G(T / HTTP/1.1\r") is None
    assert all(refuses(b"G(T / HTTP/1.1\r\n", searched) for searched in range(16))


def refuses(wire: bytes, searched: int = 0) -> bool:
    """Return whether what has come is refused."""
    try:
        head_in(wire, searched)
    except MalformedHead:
        return True
    return False


def test_how_long_a_head_may_be() -> None:
    """16 KB, whether or not it ends."""
    longest = head(HOST, b"a: ") + b"x" * (LONGEST_HEAD - len(head(HOST, b"a: ")))

    assert head_in(longest) is None
    assert head_in(longest + b"\r\n\r\n") is not None
    assert refuses(longest + b"x\r\n\r\n")
    assert refuses(longest + b"x" * 4)


PARTS = st.sampled_from(
    [
        *(b"\r\nHost: x", b"\r\nA: b", b"\r\nConnection: close", b"\r\nExpect: 100-continue", b"\r\n ", b"\r\n\t"),
        *(b"\r\nContent-Length: ", b"\r\nTransfer-Encoding: ", b"chunked", b"gzip", b"identity", b"12", b"1", b"+"),
        *(
            b"Host",
            b"x",
            b":",
            b": ",
            b",",
            b" ",
            b"\t",
            b"\r\n",
            b"\r",
            b"\n",
            b"\0",
            b"\xff",
            b"\x0b",
            b"GET / HTTP/1.1",
        ),
    ]
)
LINES = st.sampled_from([b"POST /a HTTP/1.1", b"POST /a HTTP/1.0", b"G(T / HTTP/1.1", b"GET"])


@given(st.lists(PARTS, max_size=12), LINES)
@settings(max_examples=1000)
@example([b"\r\nHost: x", b"\r\nContent-Length: ", b"1", b"\r\nContent-Length: ", b"1"], b"POST /a HTTP/1.1")
def test_we_are_as_strict_as_twisted(parts: list[bytes], line: bytes) -> None:
    """What its channel refuses we refuse, and what we take we understand as it does."""
    wire = line + b"".join(parts)
    assume(b"\r\n\r\n" not in wire and not wire.endswith(b"\r\n"))
    try:
        taken = parse_head(wire)
    except MalformedHead:
        return

    encoded = b" ".join((taken.method, taken.target, taken.version)) + wire[len(wire.split(b"\r\n")[0]) :]
    assert as_twisted_takes_it(encoded) == (
        taken.method,
        taken.target,
        fields_as_twisted_names_them(taken),
        taken.length,
    )


@pytest.mark.parametrize(
    ("uri", "path", "query"),
    [
        (b"/1c_exchange.php?a=1", b"/1c_exchange.php", b"a=1"),
        (b"/?wc1c=exchange?type=x", b"/", b"wc1c=exchange?type=x"),
        (b"http://shop.example/1c_exchange.php?a=http://b/", b"/1c_exchange.php", b"a=http://b/"),
        (b"http://shop.example", b"/", b""),
        (b"/a?u=http://x", b"/a", b"u=http://x"),
        (b"*", b"*", b""),
    ],
)
def test_request_targets(uri: bytes, path: bytes, query: bytes) -> None:
    """A proxy may send the whole URL, RFC 9112 section 3.2.2."""
    assert (path_of(uri), query_of(uri)) == (path, query)


@given(st.text("0123456789abcdef", min_size=16, max_size=16), st.sampled_from(["sessid", "SESSID", "s%65ssid"]))
def test_secrets_are_hidden(secret: str, key: str) -> None:
    """However the key is written, and wherever it stands."""
    for uri in (f"/x?type=a&{key}={secret}", f"/x?{key}={secret}&mode=b", f"/x?a=b?{key}={secret}&"):
        hidden = without_secrets(uri.encode())

        assert secret.encode() not in hidden
        assert b"=***" in hidden


def test_what_is_no_secret_is_shown() -> None:
    """The rest of a URL helps whoever reads the log."""
    assert without_secrets(b"/x?mode=file&filename=a&sessid=1") == b"/x?mode=file&filename=a&sessid=***"
    assert without_secrets(b"/x") == b"/x"


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({b"host": [b"a", b"a"]}, None),
        ({b"host": [b"a", b"b"]}, "Host"),
        ({b"upload-offset": [b"1", b"2"]}, "Upload-Offset"),
        ({b"cookie": [b"a=1; b=2", b"a=1"]}, None),
        ({b"cookie": [b"a=1", b"a=2"]}, "Cookie"),
        ({b"x-other": [b"a", b"b"]}, None),
    ],
)
def test_headers_that_contradict_themselves(headers: dict[bytes, list[bytes]], name: str | None) -> None:
    """Equal lines are harmless, and so are headers that decide nothing."""
    assert contradicted(headers) == name


def test_what_is_long_is_shortened() -> None:
    """A line of the log is not for strangers to make long."""
    assert (shortened(b"abc", 3), shortened(b"abcd", 3)) == (b"abc", b"abc...")
