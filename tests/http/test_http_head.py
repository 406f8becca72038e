"""What the head of a request says, and what of it may be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.http.head import contradicted, path_of, query_of, shortened, without_secrets


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
        ([(b"Host", [b"a", b"a"])], None),
        ([(b"Host", [b"a", b"b"])], "Host"),
        ([(b"Cookie", [b"a=1; b=2", b"a=1"])], None),
        ([(b"Cookie", [b"a=1", b"a=2"])], "Cookie"),
        ([(b"X-Other", [b"a", b"b"])], None),
    ],
)
def test_headers_that_contradict_themselves(headers: list[tuple[bytes, list[bytes]]], name: str | None) -> None:
    """Equal lines are harmless, and so are headers that decide nothing."""
    assert contradicted(headers) == name


def test_what_is_long_is_shortened() -> None:
    """A line of the log is not for strangers to make long."""
    assert (shortened(b"abc", 3), shortened(b"abcd", 3)) == (b"abc", b"abc...")
