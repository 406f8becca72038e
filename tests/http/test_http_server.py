"""What all connections share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from in_memory import server_of
from twisted.web.http import stringToDatetime

from onec_twisted.http import server as server_module

if TYPE_CHECKING:
    import pytest
    from twisted.internet.task import Clock


def test_the_date_is_made_once_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a date of HTTP."""
    server = server_of(clock)
    assert stringToDatetime(server.date()) > 0
    made = iter((b"first", b"second"))
    monkeypatch.setattr(server_module, "datetimeToString", lambda: next(made))
    clock.advance(1)
    assert (server.date(), server.date()) == (b"first", b"first")
    clock.advance(1)
    assert server.date() == b"second"


def test_it_begins_open(clock: Clock) -> None:
    """Connections are kept, until the daemon is about to end."""
    assert not server_of(clock).closing
