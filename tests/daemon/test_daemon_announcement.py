"""What the log says once the daemon is ready."""

from __future__ import annotations

from typing import Any

import pytest
from in_memory import config_of
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from onec_twisted.daemon.announcement import address_text, announce


def ours(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was announced, without what others log."""
    return [event for event in events if "folder" in event]


@pytest.mark.parametrize(
    ("address", "is_secure", "text"),
    [
        (IPv4Address("TCP", "127.0.0.1", 8080), False, "http://127.0.0.1:8080"),
        (IPv4Address("TCP", "0.0.0.0", 443), True, "https://0.0.0.0:443"),
        (IPv6Address("TCP", "::", 8080), False, "http://[::]:8080"),
        (UNIXAddress(b"/run/onec/http.sock"), False, "unix:/run/onec/http.sock"),
        (UNIXAddress(None), False, "unix:"),
    ],
)
def test_addresses(address: Any, is_secure: bool, text: str) -> None:
    """As one writes them into 1C."""
    assert address_text(address, is_secure=is_secure) == text


@pytest.mark.parametrize(
    ("importer", "words"),
    [
        ("keep", "nobody: --importer=keep imports nothing"),
        ("http://user:secret@127.0.0.1:8000/import", "http://***@127.0.0.1:8000/import"),
    ],
)
def test_who_where_and_then(importer: str, words: str, nothing_left_behind: list[dict[str, Any]]) -> None:
    """One line, without a password."""
    config = config_of(f"--importer={importer}", "--min-free=10")
    announce(config, ["http://127.0.0.1:8080", "unix:/s"], "/media/1c_temp", 100)

    (event,) = ours(nothing_left_behind)
    assert (event["addresses"], event["users"]) == ("http://127.0.0.1:8080, unix:/s", "memory:shop")
    assert event["importer"] == words


def test_a_disk_that_is_too_full(nothing_left_behind: list[dict[str, Any]]) -> None:
    """The daemon starts, and says that it takes nothing."""
    announce(config_of("--min-free=100"), [], "/media/1c_temp", 100)

    assert [event.get("reserved") for event in ours(nothing_left_behind)] == [None, 100]
