"""Pages of exactly the origins that were named may upload, and Location leads back through a proxy."""

from __future__ import annotations

import pytest

from onec_twisted.resumable.origins import Origins, location, parse_origin

SHOP = b"https://shop.example"


@pytest.mark.parametrize("text", ["https://shop.example", "http://localhost:3000", "http://[::1]:8080"])
def test_an_origin(text: str) -> None:
    """Is as a browser sends it."""
    assert parse_origin(text) == text.encode()


@pytest.mark.parametrize(
    "text",
    ["*", "", "shop.example", "https://shop.example/", "https://Shop.example", "ftp://a", "null", "https://a b"],
)
def test_what_is_no_origin(text: str) -> None:
    """No browser would ever send it."""
    with pytest.raises(ValueError, match="not an origin"):
        parse_origin(text)


def test_nobody_is_allowed() -> None:
    """Then nothing is said of it, and caches need not care."""
    assert Origins().headers(SHOP, preflight=True) == ()


def test_who_is_allowed() -> None:
    """Hears its own name, never a star: it may bring a cookie or a password."""
    origins = Origins(frozenset({SHOP}))
    asked = dict(origins.headers(SHOP, preflight=True))
    told = dict(origins.headers(SHOP, preflight=False))

    assert asked[b"Access-Control-Allow-Origin"] == told[b"Access-Control-Allow-Origin"] == SHOP
    assert asked[b"Access-Control-Max-Age"] == b"86400"
    assert b"PATCH" in asked[b"Access-Control-Allow-Methods"]
    assert b"Upload-Offset" in told[b"Access-Control-Expose-Headers"]
    assert b"Access-Control-Allow-Methods" not in told


@pytest.mark.parametrize("origin", [None, b"http://shop.example", b"https://shop.example:444", b"null"])
def test_who_is_not(origin: bytes | None) -> None:
    """Hears nothing but that answers differ."""
    assert Origins(frozenset({SHOP})).headers(origin, preflight=False) == ((b"Vary", b"Origin"),)


@pytest.mark.parametrize(
    ("host", "prefix", "secure", "means"),
    [
        (b"", b"", False, b"/files/1"),
        (b"", b"", True, b"/files/1"),
        (b"shop.example", b"", True, b"https://shop.example/files/1"),
        (b"shop.example:8443", b"/up/", False, b"http://shop.example:8443/up/files/1"),
        (b"[::1]:80", b"", False, b"http://[::1]:80/files/1"),
        (b"", b"/up", False, b"/up/files/1"),
        (b"evil.example/x", b"//evil.example", True, b"/files/1"),
        (b"a, b", b"/a b", True, b"/files/1"),
        (b"a\r\nX: y", b"/a\r\n", True, b"/files/1"),
    ],
)
def test_where_an_upload_is(host: bytes, prefix: bytes, secure: bool, means: bytes) -> None:
    """What cannot be a host or a path is passed over."""
    assert location(b"/files/1", host, prefix, secure=secure) == means
