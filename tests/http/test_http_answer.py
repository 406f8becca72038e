"""The head of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.http.answer import Answer, head_of, interim_head, xml_in

DATE = b"Thu, 26 Nov 2026 00:00:00 GMT"


class Stream:
    """A body from elsewhere."""

    def __init__(self, length: int | None) -> None:
        """Have a length."""
        self.length = length


def head(answer: Answer, version: bytes = b"HTTP/1.1", *, closes: bool = False) -> list[bytes]:
    """Return the lines of an answer's head."""
    raw = head_of(answer, version, b"OK", DATE, closes=closes)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


def test_an_answer_with_a_body() -> None:
    """It has a date, a type and a length, and its own headers behind them."""
    assert head(Answer(200, b"success", headers=((b"Upload-Offset", b"7"),)), closes=True) == [
        b"HTTP/1.1 200 OK",
        b"Date: " + DATE,
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 7",
        b"Upload-Offset: 7",
        b"Connection: close",
    ]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body(status: int) -> None:
    """Nothing is said of a body that there cannot be."""
    assert head(Answer(status)) == [b"HTTP/1.1 %d OK" % status, b"Date: " + DATE]


@pytest.mark.parametrize(
    ("length", "version", "line"),
    [
        (5, b"HTTP/1.1", b"Content-Length: 5"),
        (None, b"HTTP/1.1", b"Transfer-Encoding: chunked"),
        (None, b"HTTP/1.0", None),
    ],
)
def test_a_body_from_elsewhere(length: int | None, version: bytes, line: bytes | None) -> None:
    """It comes with a length, in chunks, or until the connection ends."""
    assert head(Answer(stream=Stream(length)), version)[3:] == ([line] if line is not None else [])


@given(st.binary(), st.binary(), st.binary())
def test_no_header_can_begin_another(name: bytes, value: bytes, content_type: bytes) -> None:
    """CR and LF in it become spaces, whoever has put them there."""
    lines = head(Answer(content_type=content_type, headers=((name, value), (b"Next", b"one"))))

    assert len(lines) == 6
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert lines[4] == (name + b": " + value).replace(b"\r", b" ").replace(b"\n", b" ")


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_no_header_of_an_interim_answer_can_begin_another(headers: list[tuple[bytes, bytes]]) -> None:
    """It has a line for each, whatever is in it, and nothing else."""
    first, *lines, blank, end = interim_head(104, b"OK", headers).split(b"\r\n")

    assert (first, blank, end) == (b"HTTP/1.1 104 OK", b"", b"")
    assert lines == [(n + b": " + v).replace(b"\r", b" ").replace(b"\n", b" ") for n, v in headers]


def test_xml_in_some_encoding() -> None:
    """A charset that is unknown is not made up."""
    assert xml_in("WINDOWS-1251") == b"application/xml; charset=windows-1251"
    assert xml_in("") == b"application/xml"
