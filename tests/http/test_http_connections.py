"""Who is at the other end, and how many of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.http.connections import Connections, TrustedProxies

PROXIES = TrustedProxies.of(["10.0.0.0/8", "192.0.2.1", "fd00::/8", "unix"])


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("::ffff:10.1.2.3", True),
        ("fd00::1%eth0", True),
        ("2001:db8::1", False),
        ("nonsense", False),
        (None, True),
    ],
)
def test_who_is_trusted(address: str | None, trusted: bool) -> None:
    """Addresses, networks, IPv4 inside IPv6, and unix sockets when they are named."""
    assert PROXIES.trusts(address) is trusted
    assert not TrustedProxies().trusts(address)


@pytest.mark.parametrize("text", ["shop.example", "10.0.0.1/8", "", "10.0.0.0/33"])
def test_what_is_no_address(text: str) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        TrustedProxies.of([text])


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6,203.0.113.7,10.0.0.2", "203.0.113.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("2001:db8::7", "2001:db8::7"),
        ("203.0.113.7:4000", "203.0.113.7"),
        ("[2001:db8::7]:4000", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, <script>", "10.0.0.1"),
        ("<script>, 10.0.0.2", "10.0.0.2"),
        ("[203.0.113.7", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.7," + "10.0.0.2," * 1000 + "10.0.0.3", "10.0.0.2"),
    ],
)
def test_the_client_behind_proxies(forwarded_for: str, client: str) -> None:
    """The last one that no trusted proxy is: what stands before it, anybody may have written."""
    assert PROXIES.client("10.0.0.1", forwarded_for) == client


@given(st.text())
def test_whatever_is_written_there(forwarded_for: str) -> None:
    """Somebody is found."""
    assert PROXIES.client("10.0.0.1", forwarded_for)


def test_counting() -> None:
    """There is no room for one above the limit, until one has gone; addresses do not mix, and are forgotten."""
    connections = Connections(2)
    assert [connections.enter("a") for _ in range(3)] == [True, True, False]
    assert connections.enter("b")
    connections.leave("a")
    assert connections.enter("a")
    for address in ("a", "a", "b"):
        connections.leave(address)

    assert not connections._open


def test_one_who_has_many_addresses() -> None:
    """Whoever has an IPv6 address has a network of them."""
    connections = Connections(1)
    assert connections.enter("2001:db8::1")
    assert not connections.enter("2001:db8::2")
    assert connections.enter("2001:db8:0:1::1")
    connections.leave("2001:db8::1")
    assert connections.enter("2001:db8::2")


def test_an_address_of_ipv4_that_ipv6_carries() -> None:
    """Is counted as what it is: all that a dual-stack socket hears from IPv4 lie in one /64."""
    connections = Connections(1)
    assert connections.enter("::ffff:192.0.2.1")
    assert not connections.enter("192.0.2.1")
    assert connections.enter("::ffff:192.0.2.2")


def test_no_limit() -> None:
    """0 is any number."""
    connections = Connections()

    assert all(connections.enter("a") for _ in range(10_000))
