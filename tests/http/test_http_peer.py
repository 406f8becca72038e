"""Whether a peer still waits for its answer."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from zope.interface.verify import verifyObject

from onec_twisted.http.interfaces import IPeer
from onec_twisted.http.peer import Peer, peer_of
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from collections.abc import Iterator

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["tcp", "unix"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The daemon's end of a connection, and its peer's, which has sent a request that nobody has read."""
    if request.param == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
    theirs.sendall(b"POST / HTTP/1.1\r\n")
    with ours, theirs:
        yield ours, theirs


def transport_of(ours: socket.socket) -> Any:
    """Return what Twisted has for a socket."""
    return SimpleNamespace(socket=ours, fileno=ours.fileno)


def test_they_are_what_they_say() -> None:
    """The peer, and the one of a fake body, provide the interface."""
    assert verifyObject(IPeer, Peer(None))
    assert verifyObject(IPeer, FakeBody().peer())


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_a_peer_that_has_closed_its_end_does_not_wait(ends: Ends, how: str, over_tls: bool) -> None:
    """Nor one that has only ended what it sends, whatever is unread; one that does nothing waits."""
    ours, theirs = ends
    transport: Any = transport_of(ours)
    if over_tls:
        transport = SimpleNamespace(transport=transport)
    peer = peer_of(transport)
    assert peer.waits()
    if how == "close":
        theirs.close()
    else:
        theirs.shutdown(socket.SHUT_WR)

    assert not peer.waits()
    peer.close()
    assert ours.recv(4) == b"POST"


def test_it_may_be_asked_when_the_connection_is_closed(ends: Ends) -> None:
    """Its descriptor is its own: no other connection can get its number meanwhile; closing it twice does no harm."""
    ours, theirs = ends
    before = len(os.listdir("/proc/self/fd"))
    peer = peer_of(transport_of(ours))
    ours.close()
    assert peer.waits()
    theirs.close()
    assert not peer.waits()
    peer.close()
    peer.close()

    assert len(os.listdir("/proc/self/fd")) == before - 2


def test_a_connection_without_a_socket_waits() -> None:
    """One in memory, as tests have it."""
    peer = peer_of(SimpleNamespace(transport=SimpleNamespace()))  # type: ignore[arg-type]
    assert peer.waits()
    peer.close()
