"""Addresses of sites, and what is said of those that cannot be asked."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from onec_twisted.http.client import reason_of, url_of


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("wrong version number", "TLS failed (the port speaks plain http or something else)"),
        ("sslv3 alert handshake failure", "TLS failed (sslv3 alert handshake failure)"),
    ],
)
def test_a_port_without_tls(said: str, words: str) -> None:
    """Is told in words that say what to look at; other troubles in those of OpenSSL."""
    assert reason_of(SSL.Error([("SSL routines", "", said)])) == words


@pytest.mark.parametrize(
    ("scheme", "argument", "url"),
    [
        ("http", "//shop.example/x", "http://shop.example/x"),
        ("https", "//shop.example:8443/x?y=1", "https://shop.example:8443/x?y=1"),
        ("http", "http://shop.example/x", "http://shop.example/x"),
        ("http", "https://shop.example/x", "https://shop.example/x"),
        ("http", "//[::1]:8000/", "http://[::1]:8000/"),
    ],
)
def test_addresses(scheme: str, argument: str, url: str) -> None:
    """Written as a whole, or behind the name of the importer."""
    assert url_of(scheme, argument) == url


@pytest.mark.parametrize(
    "argument", ["", "//", "/x", "shop", "//u:p@shop/", "//shop:99999/", "//shop:0/", "//мой/", "//a/#b"]
)
def test_what_is_no_address(argument: str) -> None:
    """Is told at the start."""
    with pytest.raises(ValueError, match=r"write it as in"):
        url_of("http", argument)
