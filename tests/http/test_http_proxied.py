"""Whether a request shows a proxy."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field

from onec_twisted.http.proxied import BY_A_PROXY, shows_proxy


@define
class Sent:
    """A request."""

    trusted_proxy: bool = False
    headers: dict[bytes, bytes] = field(factory=dict)

    def getHeader(self, name: bytes) -> bytes | None:
        """Return a header."""
        return self.headers.get(name)


@pytest.mark.parametrize("name", BY_A_PROXY)
def test_a_header_shows_it(name: bytes) -> None:
    """Also one that is empty."""
    assert shows_proxy(cast("Any", Sent(headers={name: b""})))


def test_an_address_shows_it() -> None:
    """A proxy that the administrator trusts needs no header."""
    assert shows_proxy(cast("Any", Sent(trusted_proxy=True)))


def test_nothing_shows_it() -> None:
    """A client has other headers."""
    assert not shows_proxy(cast("Any", Sent(headers={b"host": b"x", b"origin": b"https://x"})))
