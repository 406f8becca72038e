"""Who may stay when descriptors run out; ``test_field_files`` has it with connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.task import Clock

from onec_twisted.http import newcomers
from onec_twisted.http.connections import Connections
from onec_twisted.http.newcomers import LOOKED_AT, Newcomers

if TYPE_CHECKING:
    import pytest


@define(eq=False)
class Channel:
    """A connection."""

    aborted: bool = field(default=False, init=False)

    @property
    def transport(self) -> Channel:
        """Return what it has a descriptor of."""
        return self

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


def test_one_is_closed_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that rest longest, whatever the number of all."""
    monkeypatch.setattr(newcomers, "is_scarce", lambda number, _: number > 10)
    connections = Connections()
    several: Any = Newcomers(connections, Clock())
    resting = [Channel() for _ in range(LOOKED_AT * 2)]
    for number, channel in enumerate(resting):
        address = f"10.0.{number}.1"
        connections.enter(address)
        several.rests(channel, address)
    for _ in range(3):
        connections.enter("10.0.150.1")
    came = [Channel(), Channel(), Channel()]
    for total, channel in zip((10, 11, 11), came, strict=True):
        connections.total = total
        several.comes(channel, "10.1.1.1")

    assert not any(channel.aborted for channel in came)
    assert [place for place, channel in enumerate(resting) if channel.aborted] == [0, 1]
